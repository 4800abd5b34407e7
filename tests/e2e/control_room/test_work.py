"""What is done in the control room while everything works: photos, previews, masks, webhooks, keys."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route

from crowdmood.core.settings import CameraSettings
from tests.control_room import Room, camera_row, room
from tests.receiver import Answer, receiving
from tests.serving import running
from tests.waiting import eventually

from .conftest import Installation, Stadium


@pytest.fixture
def page(browser: Browser, installation: Installation) -> Iterator[Room]:
    """A page whose user may manage."""
    with room(browser, installation.url, permissions=["camera"]) as page:
        page.open()
        page.use(installation.keys["manage"])
        page.shows("#connection", "Connected")
        yield page


def test_without_a_key_the_page_asks_for_one_and_keeps_it_out_of_addresses(
    browser: Browser, installation: Installation
) -> None:
    with room(browser, installation.url) as page:
        page.open().page.wait_for_selector("#key-dialog[open]")
        page.shows("#key-why", "send 'Authorization: Bearer <key>'")
        page.page.click("#key-dialog >> text=Cancel")
        page.shows("#banner", "Authorization")
        page.use(installation.keys["read"])
        page.shows("#connection", "Connected")
        page.page.reload()
        page.shows("#connection", "Connected")
        assert not [url for url in page.asked if "cm_" in url]


def test_a_preview_needs_a_key_that_may_manage_and_masks_are_drawn_on_it(
    browser: Browser, installation: Installation
) -> None:
    with room(browser, installation.url) as page:
        page.open("cameras")
        page.use(installation.keys["read"])
        page.page.click("text=Preview…")
        page.shows("#preview-said", "allows 'read', not 'manage'")
        assert page.page.locator("#preview-stage img").is_hidden()
        page.page.click("#preview >> text=Close")

        page.use(installation.keys["manage"])
        page.page.click("text=Preview…")
        page.page.wait_for_selector("#preview-stage img:not([hidden])")
        page.page.wait_for_function("document.querySelector('#preview-stage img').naturalWidth === 960")
        page.picture("preview.jpg")

        page.page.click("text=Draw a mask")
        area = page.page.locator("#preview-stage svg").bounding_box()
        assert area
        for x, y in ((0.5, 0.5), (0.9, 0.5)):
            page.page.mouse.click(area["x"] + x * area["width"], area["y"] + y * area["height"])
        for pressed in ("ArrowDown",) * 10 + ("Enter",):  # the last corner by the keyboard, below the middle
            page.page.keyboard.press(pressed)
        page.page.keyboard.press("f")
        page.shows("#preview-tools", "Remove mask 1")
        page.page.get_by_role("button", name="Save", exact=True).click()
        page.shows("#preview-tools", "These regions are saved.")
        bearer = {"Authorization": f"Bearer {installation.keys['manage']}"}
        saved = httpx.get(f"{installation.url}/cameras/stand-1/regions", headers=bearer).json()
        assert saved["saved"]
        (mask,) = saved["mask"]
        for corner, wanted in zip(mask, ((0.5, 0.5), (0.9, 0.5), (0.5, 0.7)), strict=True):
            assert corner == pytest.approx(wanted, abs=0.01)
        page.page.click("#preview-tools >> text=Use the regions of the settings")
        page.shows("#preview-tools", "No regions are saved.")


def test_what_was_drawn_for_one_camera_is_never_saved_for_another(browser: Browser, stadium: Stadium) -> None:
    cameras = tuple(CameraSettings(id=name, uri=f"{name}.mp4") for name in ("north", "south"))
    api_settings = stadium.settings.api.model_copy(update={"preview": True})
    settings = stadium.settings.model_copy(update={"cameras": cameras, "api": api_settings})
    stadium.publish(north=camera_row(), south=camera_row())
    mask = {"mask": [[[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]]]}
    held: list[Route] = []
    with running(settings) as api, room(browser, api.url) as page:
        assert httpx.put(f"{api.url}/cameras/north/regions", json=mask, headers={"If-Match": "*"}).status_code == 200
        page.open("cameras").page.click('[aria-label="Preview of north"]')
        page.shows("#preview-tools", "Remove mask 1")
        page.page.click("#preview >> text=Close")

        # Two answers take their time.
        page.page.route("**/regions", lambda route: held.append(route) if len(held) < 2 else route.continue_())
        page.page.click('[aria-label="Preview of south"]')
        page.shows("#preview-head", "Preview of south")
        assert page.page.locator("#preview-tools button").count() == 0
        page.page.click("#preview >> text=Close")
        page.page.click('[aria-label="Preview of north"]')
        page.page.click("#preview >> text=Close")
        page.page.click('[aria-label="Preview of south"]')
        page.shows("#preview-tools", "No regions are saved.")
        with page.page.expect_response("**/north/regions"):
            held[1].continue_()
        page.page.wait_for_timeout(200)
        page.page.get_by_role("button", name="Save", exact=True).click()
        page.shows("#preview-tools", "These regions are saved.")
        assert httpx.get(f"{api.url}/cameras/south/regions").json()["mask"] == []


def test_a_photo_is_classified_and_shown_as_the_api_returns_it(
    page: Room, installation: Installation, picture: Path
) -> None:
    page.go("Photo").page.set_input_files("#file", str(picture))
    page.shows("#photo-said", "found by haar, classified by")
    rows = page.page.locator("#faces tr")
    bearer = {"Authorization": f"Bearer {installation.keys['manage']}"}
    answer = httpx.post(f"{installation.url}/predict", content=picture.read_bytes(), headers=bearer, timeout=60).json()
    assert rows.count() == len(answer["faces"]) >= 5
    assert answer["faces"][0]["label"] in rows.first.inner_text()
    drawn = page.page.evaluate(
        "(() => { const c = document.querySelector('#photo-canvas'); return [c.width, c.height]; })()"
    )
    assert drawn == [960, 540]
    page.page.set_input_files("#file", {"name": "no.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.shows("#photo-said", "it may be damaged")
    assert rows.count() == 0


def test_a_photo_of_too_many_pixels_is_made_smaller_before_it_is_sent(
    page: Room, picture: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.jpg"
    Image.open(picture).resize((3200, 1800)).save(large)
    page.go("Photo").page.set_input_files("#file", str(large))
    page.shows("#photo-said", "found by haar, classified by")
    drawn = page.page.evaluate(
        "(() => { const c = document.querySelector('#photo-canvas'); return [c.width, c.height]; })()"
    )
    assert drawn == [2666, 1500]


def test_the_photo_view_says_why_it_is_off(browser: Browser, stadium: Stadium) -> None:
    with running(stadium.settings) as api, room(browser, api.url) as page:
        page.open("photo")
        page.page.wait_for_selector("#photo-off:not([hidden])")
        assert "CROWDMOOD_API__PREDICT=true" in page.page.inner_text("#photo-off")
        assert page.page.locator("#file").is_hidden()


def test_the_browsers_camera_is_classified_frame_by_frame(page: Room) -> None:
    page.go("Photo").page.click("text=Use this device's camera")
    page.shows("#photo-said", "found by haar")
    with page.page.expect_response("**/predict"):
        pass
    page.page.click("text=Stop the camera")
    page.shows("#webcam", "Use this device's camera")


@pytest.mark.parametrize("leave", ["#webcam", "nav [href='#live']"])
def test_a_camera_that_is_given_up_while_the_browser_still_asks_is_off_when_it_is_allowed(
    page: Room, leave: str
) -> None:
    page.complaints.clear()  # it was opened without a key
    page.page.evaluate(
        """() => {
            const devices = navigator.mediaDevices, really = devices.getUserMedia.bind(devices);
            window.allow = [];
            window.given = [];
            devices.getUserMedia = async (wanted) => {
                await new Promise((resolve) => window.allow.push(resolve));
                const stream = await really(wanted);
                window.given.push(stream);
                return stream;
            };
        }"""
    )
    page.go("Photo").page.click("text=Use this device's camera")
    page.page.click(leave)
    page.page.evaluate("allow.forEach((yes) => yes())")
    page.page.wait_for_function(
        """() => given.length === allow.length &&
            given.flatMap((stream) => stream.getTracks()).every((track) => track.readyState === 'ended')"""
    )
    assert not [url for url in page.asked if url.endswith("/predict")]
    page.go("Photo").shows("#webcam", "Use this device's camera")
    assert page.complaints == []


def test_a_webhook_is_refused_registered_tried_out_and_sent_again_after_it_failed(page: Room) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: Answer(status=500)
        page.go("Webhooks").page.fill("#webhook-form [name=url]", "http://192.0.2.1/hook")
        page.page.click("#webhook-form button")
        page.shows("#webhooks-said", "url:")
        page.page.fill("#webhook-form [name=url]", receiver.url())
        page.page.fill("#webhook-form [name=description]", "<b>north board</b>")
        page.page.click("#webhook-form button")
        page.shows("#webhook-made", "whsec_")
        page.shows("#webhook-list", "<b>north board</b>")
        page.page.click("text=Send a test")
        receiver.wait(1)
        page.page.click("summary >> text=Deliveries")
        page.shows("#webhook-list", "500")
        receiver.answer = lambda _: Answer()
        page.page.click("#webhook-list >> text=Send again")
        eventually(lambda: any(json.loads(one.body).get("test") for one in receiver.taken[1:]))
        page.page.evaluate("document.activeElement.blur()")
        page.shows("#webhook-list", "delivered")
        page.page.on("dialog", lambda dialog: dialog.accept())
        page.page.click("#webhook-list >> text=Delete")
        page.shows("#webhook-list", "No webhook is registered yet.")


def test_a_key_is_made_shown_once_and_revoked(page: Room, installation: Installation) -> None:
    page.go("Keys").page.fill("#key-form [name=name]", "<i>wall</i>")
    page.page.click("#key-form >> text=Create")
    page.shows("#key-made", "cm_")
    made = page.page.inner_text("#key-made .secret")
    page.shows("#key-rows", "<i>wall</i>")
    bearer = {"Authorization": f"Bearer {made}"}
    eventually(lambda: httpx.get(f"{installation.url}/mood", headers=bearer).status_code == 200)
    page.go("Live").go("Keys")
    page.shows("#key-rows", "<i>wall</i>")
    assert page.page.inner_text("#key-made") == ""
    page.page.on("dialog", lambda dialog: dialog.accept())
    page.page.click('[aria-label="Revoke <i>wall</i>"]')
    page.shows("#key-rows", "revoked")
    eventually(lambda: httpx.get(f"{installation.url}/mood", headers=bearer).status_code == 401)


def test_masks_of_the_settings_cannot_be_removed_and_changes_of_others_are_not_overwritten(
    browser: Browser, stadium: Stadium
) -> None:
    corner = [[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]]
    north = CameraSettings.model_validate({"id": "north", "uri": "north.mp4", "mask": [corner]})
    api_settings = stadium.settings.api.model_copy(update={"preview": True})
    settings = stadium.settings.model_copy(update={"cameras": (north,), "api": api_settings})
    stadium.publish(north=camera_row())
    with running(settings) as api, room(browser, api.url) as page:
        page.open("cameras").page.click('[aria-label="Preview of north"]')
        page.shows("#preview-tools", "The regions of the settings always apply.")
        assert page.page.locator("#preview-stage polygon.mask.fixed").count() == 1
        assert page.page.locator("#preview-tools >> text=Remove").count() == 0
        others = {"mask": [[[0.5, 0.5], [0.9, 0.5], [0.9, 0.9]]]}
        answer = httpx.put(f"{api.url}/cameras/north/regions", json=others, headers={"If-Match": "*"})
        assert answer.status_code == 200
        page.page.get_by_role("button", name="Save", exact=True).click()
        page.shows("#preview-said", "These regions have changed since you opened the preview.")
        assert httpx.get(f"{api.url}/cameras/north/regions").json()["mask"] == others["mask"]
