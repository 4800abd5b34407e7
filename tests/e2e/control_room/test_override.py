"""The stop button of the control room, in Debian's browser."""

import contextlib
import time

import httpx
from playwright.sync_api import Browser

from crowdmood.core.settings import CameraSettings, required_url
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from tests.control_room import match_mood, room
from tests.serving import running

from .conftest import Stadium
from .test_live import serious


def test_boards_are_stopped_and_follow_the_crowd_again(browser: Browser, stadium: Stadium) -> None:
    stadium.publish(*(match_mood(second) for second in range(10, 40)))
    zones = {"cameras": (CameraSettings(id="north", uri="north.mp4"),), "zones": {"home": ("north",)}}
    with running(stadium.settings.model_copy(update=zones)) as api, room(browser, api.url) as page:
        page.open().shows("#connection", "Connected")
        page.shows("#mood-label", match_mood(39).dominant or "")
        page.page.get_by_role("button", name="Stop the boards…").click()
        page.page.wait_for_selector("#override[open]")
        page.page.wait_for_selector("#override-none:not([hidden])")
        assert serious(page) == []
        page.page.get_by_role("button", name="Stop", exact=True).click()
        page.shows("#override-list", "Stopped in the control room")
        page.shows("#banner", "Overridden: an operator makes boards show their default until")
        page.shows("#mood-label", "overridden")
        page.shows("#creative", "House ad")
        page.shows("#creative-why", "the default: the mood is overridden")
        assert page.page.inner_text("#mood-people") == "\u2013"
        assert httpx.get(f"{api.url}/mood").json()["status"] == "overridden"

        page.page.select_option("#override-show", "Goal!")
        page.page.fill("#override-form [name=why]", "<b>anthem</b>")
        page.page.get_by_role("button", name="Stop", exact=True).click()
        page.shows("#override-list", "<b>anthem</b>")
        page.shows("#creative", "Goal!")
        page.shows("#creative-why", "by an override")
        page.page.emulate_media(color_scheme="dark")
        assert serious(page) == []

        page.page.select_option("#override-zone", "home")
        page.page.fill("#override-start", "2099-05-01T15:00")
        page.page.fill("#override-form [name=minutes]", "1")
        page.page.get_by_role("button", name="Stop", exact=True).click()
        page.shows("#override-list", "home boards show Goal!, scheduled from 5/1/2099")
        page.page.click('[aria-label^="Cancel: home@2099"]')
        page.page.wait_for_function("() => document.querySelectorAll('#override-list li').length === 1")

        page.page.click('[aria-label="End now: stadium"]')
        page.page.wait_for_selector("#override-none:not([hidden])")
        page.page.locator("#override").get_by_role("button", name="Close").click()
        page.shows("#mood-label", match_mood(39).dominant or "")
        page.shows("#stop", "Stop the boards…")
        assert page.complaints == []


def test_a_key_that_may_not_operate_sees_the_override_and_cannot_set_one(browser: Browser, stadium: Stadium) -> None:
    stadium.publish(*(match_mood(second) for second in range(10, 40)))
    text, key = ApiKey.make("screen", ["read"], round(time.time() * 1000), None)
    operator, other = ApiKey.make("operator", ["operate"], round(time.time() * 1000), None)
    url, prefix = required_url(stadium.settings.state_url, "state"), stadium.settings.bus.key_prefix
    with contextlib.closing(ApiKeyStore(url, prefix)) as keys:
        keys.add(key)
        keys.add(other)
    with running(stadium.settings) as api, room(browser, api.url) as page:
        page.open()
        page.use(text)
        page.shows("#connection", "Connected")
        page.page.get_by_role("button", name="Stop the boards…").click()
        page.shows("#override-said", "allows 'read', not 'operate'")
        page.page.locator("#override").get_by_role("button", name="Close").click()
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
        given = {"until": until, "show": "Goal!", "why": "a test"}
        bearer = {"Authorization": f"Bearer {operator}"}
        assert httpx.put(f"{api.url}/override", json=given, headers=bearer, timeout=60).status_code == 200
        page.shows("#creative", "Goal!")
