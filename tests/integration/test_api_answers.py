"""Every resource of the API, on moods that are really in a state store; the wall clock is the test's."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter

from api import examples, history, models
from api.app import context_of, create_app
from crowdmood.mood import Mood, MoodChange, to_rfc3339
from crowdmood.settings import BusSettings, CameraSettings, Settings
from crowdmood.streams.moods import MoodReader, MoodStore

MINUTE_MS = 60_000
KICKOFF_MS = examples.OK.as_of_ms


@dataclass
class Wall:
    """The wall clock: as real, until a test lets time pass."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Api:
    """The application as a client sees it, and the store behind it."""

    portal: BlockingPortal
    client: httpx.AsyncClient
    store: MoodStore
    wall: Wall = field(default_factory=Wall)

    def get(self, path: str, headers: dict[str, str] | None = None, **query: str | int) -> httpx.Response:
        return self.portal.call(lambda: self.client.get(path, params=query, headers=headers))

    def publish(
        self,
        *moods: Mood,
        changes: Iterable[MoodChange] = (),
        cameras: dict[str, Any] | None = None,
        keep_s: float | None = None,
    ) -> None:
        self.store.publish(
            moods, changes=changes, run_id="test", checkpoint={}, cameras=cameras or {}, keep=100_000, keep_s=keep_s
        )

    def eventually(self, path: str, holds: Callable[[Any], bool], **query: str | int) -> Any:
        """The answer as soon as it is as wanted."""
        deadline = time.monotonic() + 5
        while not holds(answer := self.get(path, **query).json()):
            assert time.monotonic() < deadline, answer
            time.sleep(0.01)
        return answer


@pytest.fixture
def store(server_url: str, bus_settings: BusSettings) -> Iterator[MoodStore]:
    store = MoodStore(server_url, bus_settings.key_prefix)
    yield store
    store.close()


@pytest.fixture
def api(server_url: str, bus_settings: BusSettings, store: MoodStore) -> Iterator[Api]:
    wall = Wall()
    settings = Settings(
        state_url=server_url,
        bus=bus_settings,
        cameras=(CameraSettings(id="configured", uri="rtsp://user:secret@camera.example/"),),
    )
    app = create_app(settings, MoodReader(server_url, bus_settings.key_prefix), wall)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://api.example")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        api = Api(portal, client, store, wall)
        deadline = time.monotonic() + 5
        while not context_of(app).board.loaded:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        yield api


def mood_at(minute: int, camera: str | None = None) -> Mood:
    as_of_ms = KICKOFF_MS + minute * MINUTE_MS
    return replace(
        examples.OK,
        as_of_ms=as_of_ms,
        window_start_ms=as_of_ms - 10_000,
        camera=camera,
        cameras={camera or "north": "live"},
    )


def minutes_of(answer: dict[str, Any]) -> list[int]:
    models.Moods.model_validate(answer, strict=True, extra="forbid")
    known = {to_rfc3339(KICKOFF_MS + minute * MINUTE_MS): minute for minute in range(-5, 2_000)}
    return [known[mood["as_of"]] for mood in answer["moods"]]


def pages_of(api: Api, path: str, **query: str | int) -> list[dict[str, Any]]:
    """Every page, from the first to the last."""
    pages = [api.get(path, **query).json()]
    while pages[-1]["next"]:
        pages.append(api.get(path, **query, cursor=pages[-1]["next"]).json())
    return pages


def test_before_the_first_mood_the_answer_is_stale_and_complete(api: Api) -> None:
    response = api.get("/mood")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert models.Mood.model_validate(response.json(), strict=True, extra="forbid").status == "stale"


def test_a_new_mood_is_answered_within_a_moment_as_it_was_published(api: Api) -> None:
    api.publish(mood_at(0, "north"), mood_at(0))
    assert api.eventually("/mood", lambda mood: mood["status"] == "ok") == mood_at(0).to_dict()
    assert api.get("/mood").text == mood_at(0).to_json()
    assert api.get("/mood", camera="north").json() == mood_at(0, "north").to_dict()
    api.publish(mood_at(1))
    api.eventually("/mood", lambda mood: mood["as_of"] == mood_at(1).to_dict()["as_of"])


def test_a_mood_that_was_there_before_the_start_is_answered(
    server_url: str, bus_settings: BusSettings, store: MoodStore, request: pytest.FixtureRequest
) -> None:
    store.publish([mood_at(0), mood_at(0, "north")], run_id="test", checkpoint={}, cameras={}, keep=100)
    api: Api = request.getfixturevalue("api")
    assert api.get("/mood").json()["status"] == "ok"
    assert api.get("/mood", camera="north").json()["camera"] == "north"


def test_a_mood_grows_stale_when_nothing_new_comes(api: Api) -> None:
    api.publish(mood_at(0))
    api.eventually("/mood", lambda mood: mood["status"] == "ok")
    api.wall.ahead_s = 60
    assert api.get("/mood").json() == mood_at(0).as_stale().to_dict()


def test_the_mood_of_ended_footage_stays(api: Api) -> None:
    ended = replace(mood_at(0), cameras={"north": "ended"})
    api.publish(ended)
    api.eventually("/mood", lambda mood: mood["status"] == "ok")
    api.wall.ahead_s = 3_600
    assert api.get("/mood").json() == ended.to_dict()


def test_an_unknown_camera_is_404_and_names_no_other(api: Api) -> None:
    api.publish(mood_at(0, "north"), cameras={"north": {"state": "live"}})
    for path in ("/mood", "/moods"):
        response = api.get(path, camera="nroth")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json() == {
            "type": "/problems/unknown-camera",
            "title": "There is no such camera.",
            "status": 404,
            "detail": "there is no camera 'nroth': GET /cameras lists those there are",
        }


def test_an_unknown_zone_is_404(api: Api) -> None:
    for path in ("/mood", "/moods", "/changes"):
        response = api.get(path, zone="hoem")
        assert (response.status_code, response.json()["type"]) == (404, "/problems/unknown-zone")


def test_no_zone_but_the_stadium_has_moods_of_single_cameras(api: Api) -> None:
    for path in ("/mood", "/moods"):
        response = api.get(path, zone="home", camera="configured")
        assert (response.status_code, response.json()["type"]) == (404, "/problems/unknown-camera")


def test_a_configured_camera_without_a_mood_is_stale_rather_than_unknown(api: Api) -> None:
    response = api.get("/mood", camera="configured")
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["camera"]) == ("stale", "configured")


def test_history_is_half_open_and_the_newest_first(api: Api) -> None:
    api.publish(*(mood_at(minute) for minute in range(6)))
    answer = api.get("/moods", **{"from": to_rfc3339(mood_at(1).as_of_ms), "to": to_rfc3339(mood_at(4).as_of_ms)})
    assert minutes_of(answer.json()) == [3, 2, 1]
    assert answer.json()["next"] is None


def test_history_is_of_the_stadium_unless_a_zone_or_a_camera_is_asked_for(api: Api) -> None:
    api.publish(mood_at(0), mood_at(0, "north"), replace(mood_at(0), zone="home"), mood_at(1), mood_at(1, "north"))
    api.eventually("/mood", lambda mood: mood["status"] == "ok", zone="home")
    assert [mood["camera"] for mood in api.get("/moods").json()["moods"]] == [None, None]
    assert [mood["camera"] for mood in api.get("/moods", camera="north").json()["moods"]] == ["north", "north"]
    assert [mood["zone"] for mood in api.get("/moods", zone="home").json()["moods"]] == ["home"]


def test_nothing_is_before_the_beginning_or_between_a_time_and_an_earlier_one(api: Api) -> None:
    api.publish(*(mood_at(minute) for minute in range(3)))
    times = {"from": to_rfc3339(mood_at(1).as_of_ms), "to": to_rfc3339(mood_at(1).as_of_ms)}
    assert api.get("/moods", cursor="0-0").json() == {"moods": [], "next": None}
    assert api.get("/moods", **times).json() == {"moods": [], "next": None}


def test_pages_of_history_hold_everything_once_although_moods_are_published_meanwhile(api: Api) -> None:
    api.publish(*(mood_at(minute) for minute in range(6)))
    first = api.get("/moods", limit=2).json()
    assert minutes_of(first) == [5, 4]
    api.publish(mood_at(6))
    second = api.get("/moods", limit=2, cursor=first["next"]).json()
    assert minutes_of(second) == [3, 2]
    third = api.get("/moods", limit=2, cursor=second["next"]).json()
    assert minutes_of(third) == [1, 0]
    assert third["next"] is None


def test_history_is_of_100_moods_unless_asked_otherwise_and_reads_on_page_by_page(api: Api) -> None:
    api.publish(*(mood_at(minute) for minute in range(1_200)))
    assert minutes_of(api.get("/moods").json()) == list(range(1_199, 1_099, -1))
    assert minutes_of(api.get("/moods", limit=1_000).json()) == list(range(1_199, 199, -1))
    pages = pages_of(api, "/moods", limit=500)
    assert [minute for page in pages for minute in minutes_of(page)] == list(range(1_199, -1, -1))


def test_footage_replayed_after_a_later_match_is_found_by_its_own_time(api: Api) -> None:
    api.publish(mood_at(100), mood_at(0), mood_at(1))
    assert minutes_of(api.get("/moods").json()) == [1, 0, 100]
    assert minutes_of(api.get("/moods", to=to_rfc3339(mood_at(50).as_of_ms)).json()) == [1, 0]


def test_a_search_is_bounded_and_goes_on_where_it_stopped(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_SCANNED", 500)
    api.publish(mood_at(0), *(mood_at(minute, "north") for minute in range(499)))
    assert minutes_of(api.get("/moods").json()) == [0]
    assert api.get("/moods").json()["next"] is None
    api.publish(mood_at(499, "north"))
    first = api.get("/moods").json()
    assert first["moods"] == []
    assert minutes_of(api.get("/moods", cursor=first["next"]).json()) == [0]


def test_changes_are_paged_as_moods_are(api: Api) -> None:
    changes = [replace(examples.CHANGE, sequence=n, as_of_ms=KICKOFF_MS + n * MINUTE_MS) for n in range(1, 6)]
    elsewhere = replace(examples.CHANGE, zone="home")
    api.publish(replace(mood_at(0), zone="home"), changes=[*changes, elsewhere])
    api.eventually("/mood", lambda mood: mood["status"] == "ok", zone="home")
    pages = pages_of(api, "/changes", limit=2)
    for page in pages:
        models.Changes.model_validate(page, strict=True, extra="forbid")
    assert [change["sequence"] for page in pages for change in page["changes"]] == [5, 4, 3, 2, 1]
    assert pages_of(api, "/changes", zone="home")[0]["changes"] == [elsewhere.to_dict()]
    bounded = api.get("/changes", **{"from": to_rfc3339(changes[1].as_of_ms), "to": to_rfc3339(changes[3].as_of_ms)})
    assert [change["sequence"] for change in bounded.json()["changes"]] == [3, 2]


def test_a_mood_is_sent_again_only_when_it_is_another_one(api: Api) -> None:
    api.publish(mood_at(0))
    api.eventually("/mood", lambda mood: mood["status"] == "ok")
    etag = api.get("/mood").headers["etag"]
    assert api.get("/mood", headers={"If-None-Match": ""}).status_code == 200
    for header in (etag, f'"another", W/{etag}', "*"):
        unchanged = api.get("/mood", headers={"If-None-Match": header})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
        assert "cache-control" in unchanged.headers
    assert api.get("/mood", headers={"If-None-Match": '"another"'}).status_code == 200
    api.publish(mood_at(1))
    api.eventually("/mood", lambda mood: mood["as_of"] == mood_at(1).to_dict()["as_of"])
    assert api.get("/mood", headers={"If-None-Match": etag}).status_code == 200


def test_a_live_mood_may_be_kept_until_its_valid_until(api: Api) -> None:
    now_ms = round(api.wall() * 1000)
    api.publish(replace(examples.OK, as_of_ms=now_ms - 2_000, valid_until_ms=now_ms + 3_500))
    api.eventually("/mood", lambda mood: mood["status"] == "ok")
    assert api.get("/mood").headers["cache-control"] in ("private, max-age=3", "private, max-age=2")
    api.wall.ahead_s = 3
    assert api.get("/mood").headers["cache-control"] == "no-cache"


def test_a_mood_of_recorded_footage_may_be_kept_for_as_long_after_its_publication(api: Api) -> None:
    table = {"north": {"state": "live", "recorded": True}}
    api.publish(cameras=table)
    api.eventually("/cameras", bool)
    api.publish(replace(examples.OK, as_of_ms=60_000, valid_until_ms=65_000, cameras={"north": "live"}))
    api.eventually("/mood", lambda mood: mood["status"] == "ok")
    assert api.get("/mood").headers["cache-control"] in ("private, max-age=4", "private, max-age=3")


def test_moods_and_changes_are_forgotten_when_they_are_too_old(api: Api) -> None:
    api.publish(mood_at(0), changes=[examples.CHANGE])
    time.sleep(0.3)
    api.publish(mood_at(1), keep_s=0.2)
    assert minutes_of(api.get("/moods").json()) == [1]
    assert api.get("/changes").json() == {"changes": [], "next": None}


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"from": "yesterday"}, "from: 'yesterday' is no RFC 3339 time"),
        ({"from": "2026-05-01T15:00:00 02:00"}, "(write '+' as %2B in an address)"),
        ({"to": "2026-05-01T15:00:00"}, "to: '2026-05-01T15:00:00' has no time zone"),
        ({"to": "2026-05-01"}, "to: '2026-05-01' has no time zone"),
        ({"limit": "0"}, "limit: Input should be greater than or equal to 1"),
        ({"limit": "1001"}, "limit: Input should be less than or equal to 1000"),
        ({"cursor": "yesterday"}, "cursor: 'yesterday' is no position that we gave"),
        ({"cursor": "18446744073709551616-0"}, "is no position that we gave"),
        ({"cursor": "\u0661-1"}, "is no position that we gave"),
        ({"zone": ""}, "zone: String should have at least 1 character"),
        ({"camera": ""}, "camera: String should have at least 1 character"),
        ({"limit": "many", "from": "x"}, "; limit: "),  # every problem is told at once
    ],
)
def test_an_invalid_question_is_422_with_one_clear_text(api: Api, query: dict[str, str], detail: str) -> None:
    response = api.get("/moods", **query)
    assert response.status_code == 422
    assert models.Problem.model_validate(response.json(), strict=True, extra="forbid").type == (
        "/problems/invalid-request"
    )
    assert detail in response.json()["detail"]


def test_what_the_framework_refuses_is_a_problem_too(api: Api) -> None:
    for response, status, title in (
        (api.get("/nowhere"), 404, "Not Found"),
        (api.portal.call(lambda: api.client.post("/mood")), 405, "Method Not Allowed"),
    ):
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json() == {"type": "about:blank", "title": title, "status": status}
    assert response.headers["allow"] == "GET"


def test_times_of_another_zone_are_understood(api: Api) -> None:
    api.publish(mood_at(0), mood_at(1))
    assert minutes_of(api.get("/moods", **{"from": "2026-05-01T17:01:00+02:00"}).json()) == [1]


def test_cameras_are_listed_with_what_became_of_their_frames_and_without_credentials(api: Api) -> None:
    table = {
        "north": {
            "state": "live",
            "since_ms": KICKOFF_MS,
            "source": "rtsp://user:secret@camera.example/stream",
            "recorded": False,
            "detail": "opened rtsp://user:secret@camera.example/stream?token=secret",
            "run_id": "live",
            "last_frame_at_ms": None,
            "frames": 3,
            "faces": 40,
            "lost": {"overload": 2},
            "late": 1,
        }
    }
    assert api.get("/cameras").json() == []
    api.publish(cameras=table)
    (north,) = api.eventually("/cameras", bool)
    TypeAdapter(list[models.Camera]).validate_python([north], strict=True, extra="forbid")
    assert (north["id"], north["since"], north["lost"]) == ("north", to_rfc3339(KICKOFF_MS), {"overload": 2})
    assert "secret" not in api.get("/cameras").text
    assert api.get("/mood", camera="north").json()["status"] == "stale"


def test_metrics_are_in_the_format_of_prometheus(api: Api) -> None:
    response = api.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert {sample.labels["server"]: sample.value for sample in families["crowdmood_server_up"].samples}["state"] == 1


def test_the_process_lives_and_is_ready(api: Api) -> None:
    assert api.get("/livez").json() == {"live": True}
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True})


def test_a_bug_is_500_without_a_trace(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("inner workings")

    monkeypatch.setattr("api.answers.no_mood_yet", broken)
    response = api.get("/mood")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "/problems/internal-error"
    assert "inner workings" not in response.text
