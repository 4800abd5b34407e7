"""Regions: drawn over the API, followed by detectors, and never wider than the settings allow."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import numpy as np
import pytest

from crowdmood.core.polygons import Polygon
from crowdmood.core.settings import BusSettings, CameraSettings
from crowdmood.store.keys import StateKeys
from crowdmood.store.regions import Regions, SavedRegions
from detector.following import following
from detector.regions import Region
from tests.passing_frames import MASKED, SIZE, going_by, picture_of, settings_for
from tests.serving import running
from tests.waiting import eventually

ANY = {"If-Match": "*"}
TOP_LEFT = [[0, 0], [0.5, 0], [0, 0.5]]
IN_MASK, IN_TOP_LEFT = (0.8, 0.75), (0.1, 0.1)


def sees(region: Region, *places: tuple[float, float]) -> list[bool]:
    """Return whether faces are searched at places, given as shares of width and height."""
    allowed = region.allowed(*SIZE)
    return [bool(allowed[round(y * SIZE[1]), round(x * SIZE[0])]) for x, y in places]


def test_saves_regions_which_detectors_follow_and_forgets_them(server_url: str, bus_settings: BusSettings) -> None:
    settings = settings_for(server_url, bus_settings, preview=True)
    saved = SavedRegions(server_url, bus_settings.key_prefix, settings.run_id)
    drawn = {"include": [TOP_LEFT], "mask": []}
    floor = {"floor": {"include": [], "mask": [[list(corner) for corner in MASKED]]}}
    places = (IN_MASK, IN_TOP_LEFT, (0.3, 0.9))
    with running(settings) as api, following(settings.cameras, saved) as regions:
        api.eventually("/mood", lambda answer: answer.status_code == 200)
        url = f"{api.url}/cameras/north/regions"
        of_settings = {"include": [], "mask": [], "saved": False} | floor
        assert httpx.get(url).json() == of_settings
        assert sees(regions["north"], *places) == [False, True, True]

        assert httpx.put(url, json=drawn, headers=ANY).json() == drawn | {"saved": True} | floor
        eventually(lambda: sees(regions["north"], *places) == [False, True, False])

        assert httpx.delete(url, headers=ANY).status_code == 204
        assert httpx.get(url).json() == of_settings
        eventually(lambda: sees(regions["north"], *places) == [False, True, True])

        crossing = {"mask": [[[0, 0], [1, 1], [1, 0], [0, 1]]]}
        assert httpx.put(url, json=crossing, headers=ANY).json()["type"] == "/problems/invalid-request"
        assert httpx.get(url).json() == of_settings


@pytest.mark.parametrize(
    "drawn",
    [
        {"include": [], "mask": []},
        {"include": [[[0, 0], [1, 0], [1, 1], [0, 1]]]},
        {"include": [[[0.6, 0.5], [1, 0.5], [1, 1], [0.6, 1]]]},
        {"mask": [TOP_LEFT]},
    ],
)
@pytest.mark.parametrize("through", ["api", "state store"])
def test_no_request_unmasks_what_the_settings_mask(
    server_url: str, bus_settings: BusSettings, drawn: dict[str, object], through: str
) -> None:
    settings = settings_for(server_url, bus_settings, preview=True)
    saved = SavedRegions(server_url, bus_settings.key_prefix, settings.run_id)
    with (
        going_by(server_url, bus_settings),
        running(settings) as api,
        following(settings.cameras, saved) as regions,
    ):
        api.eventually("/mood", lambda answer: answer.status_code == 200)
        before = regions["north"]
        if through == "api":
            answer = httpx.put(f"{api.url}/cameras/north/regions", json=drawn, headers=ANY)
            assert answer.json()["floor"]["mask"] == [[list(corner) for corner in MASKED]]
        else:
            saved.save("north", Regions.model_validate(drawn))
        eventually(lambda: regions["north"] is not before)
        assert sees(regions["north"], IN_MASK) == [False]
        masked = (450, 300, 630, 470)
        brightness = np.asarray(picture_of(api).convert("L").crop(masked)).mean()
        assert brightness < 80  # noise is 127 on average; what is masked is darkened


def test_no_request_widens_the_regions_of_the_settings(server_url: str, bus_settings: BusSettings) -> None:
    stand = {"id": "north", "uri": "rtsp://camera/stream", "include": [TOP_LEFT]}
    cameras = (CameraSettings.model_validate(stand),)
    settings = settings_for(server_url, bus_settings).model_copy(update={"cameras": cameras})
    saved = SavedRegions(server_url, bus_settings.key_prefix, settings.run_id)
    everything = {"include": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}
    with running(settings) as api, following(settings.cameras, saved) as regions:
        api.eventually("/mood", lambda answer: answer.status_code == 200)
        before = regions["north"]
        assert httpx.put(f"{api.url}/cameras/north/regions", json=everything, headers=ANY).status_code == 200
        eventually(lambda: regions["north"] is not before)
        assert sees(regions["north"], IN_TOP_LEFT, IN_MASK) == [True, False]


def test_refuses_a_change_of_regions_that_others_changed_since(server_url: str, bus_settings: BusSettings) -> None:
    with running(settings_for(server_url, bus_settings)) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200)
        url = f"{api.url}/cameras/north/regions"
        read = {"If-Match": httpx.get(url).headers["etag"]}
        blind = httpx.put(url, json={})
        assert (blind.status_code, blind.json()["type"]) == (428, "/problems/precondition-required")
        assert httpx.delete(url).status_code == 428

        mine = httpx.put(url, json={"mask": [TOP_LEFT]}, headers=read)
        assert mine.status_code == 200
        assert mine.headers["etag"] == httpx.get(url).headers["etag"] != read["If-Match"]

        for late in (httpx.put(url, json={}, headers=read), httpx.delete(url, headers=read)):
            assert (late.status_code, late.json()["type"]) == (412, "/problems/changed-since")
        assert httpx.get(url).json()["mask"] == [TOP_LEFT]

        listed = {"If-Match": f'"another", {mine.headers["etag"]}'}
        assert httpx.delete(url, headers=listed).status_code == 204


def test_of_two_changes_at_once_one_is_refused(server_url: str, bus_settings: BusSettings) -> None:
    with closing(SavedRegions(server_url, bus_settings.key_prefix, "live")) as store:
        for _ in range(20):
            known = store.find("north").version
            both = threading.Barrier(2)

            def change(mask: Polygon, known: str = known, both: threading.Barrier = both) -> bool:
                both.wait()
                return store.save("north", Regions(mask=(mask,)), known.__eq__) is not None

            shifted = [tuple((x, y + np.random.default_rng().uniform(0, 0.01)) for x, y in TOP_LEFT) for _ in range(2)]
            with ThreadPoolExecutor(2) as pool:
                assert sorted(pool.map(change, shifted)) == [False, True]


def test_a_detector_keeps_masks_over_a_restart_and_through_what_it_cannot_read(
    server_url: str, bus_settings: BusSettings
) -> None:
    def saved() -> SavedRegions:
        return SavedRegions(server_url, bus_settings.key_prefix, "live")

    camera = CameraSettings.model_validate({"id": "north", "uri": "north.mp4"})
    with closing(saved()) as store:
        store.save("north", Regions(mask=(MASKED,)))
        with following([camera], saved()) as regions:
            assert sees(regions["north"], IN_MASK) == [False]
        key = StateKeys(bus_settings.key_prefix).regions("live")
        store.connection.client.hset(key, "south", b"{}}")
        assert store.all().keys() == {"north"}
