"""Every resource of the API, on moods that are really in a state store; the wall clock is the test's."""

import time
from contextlib import closing
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter

from api import examples, models
from crowdmood.core.settings import BusSettings
from crowdmood.domain.mood import to_rfc3339
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from crowdmood.store.moods import MoodStore
from tests.answering import KICKOFF_MS, Api, mood_at
from tests.waiting import eventually


def test_before_the_first_mood_the_answer_is_stale_and_complete(api: Api) -> None:
    response = api.get("/mood")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json()["status"] == "stale"


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
    store.publish([mood_at(0), mood_at(0, "north")], run_id="test", checkpoint={}, cameras={})
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
            "detail": "there is no camera 'nroth': GET /cameras lists the cameras",
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
    answer = api.get("/mood")
    assert answer.headers["cache-control"] in ("private, max-age=3", "private, max-age=2")
    assert f"max-age={int(answer.headers['mood-valid-ms']) // 1000}" in answer.headers["cache-control"]
    unchanged = api.get("/mood", headers={"If-None-Match": answer.headers["etag"]})
    assert unchanged.status_code == 304
    assert 0 < int(unchanged.headers["mood-valid-ms"]) <= int(answer.headers["mood-valid-ms"])
    api.wall.ahead_s = 4
    assert api.get("/mood").headers["mood-valid-ms"] == "0"
    assert api.get("/mood").headers["cache-control"] == "no-cache"


def test_a_mood_of_recorded_footage_may_be_kept_for_as_long_after_its_publication(api: Api) -> None:
    table = {"north": {"state": "live", "recorded": True}}
    api.publish(cameras=table)
    api.eventually("/cameras", bool)
    api.publish(replace(examples.OK, as_of_ms=60_000, valid_until_ms=65_000, cameras={"north": "live"}))
    api.eventually("/mood", lambda mood: mood["status"] == "ok")
    assert api.get("/mood").headers["cache-control"] in ("private, max-age=4", "private, max-age=3")


def test_what_the_framework_refuses_is_a_problem_too(api: Api) -> None:
    for response, status, title in (
        (api.get("/nowhere"), 404, "Not Found"),
        (api.portal.call(lambda: api.client.post("/mood")), 405, "Method Not Allowed"),
    ):
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json() == {"type": "about:blank", "title": title, "status": status}
    assert response.headers["allow"] == "GET"


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


def test_a_key_expires_while_the_api_runs(api: Api, server_url: str, bus_settings: BusSettings) -> None:
    def answered(given: str) -> int:
        return api.get("/mood", headers={"Authorization": f"Bearer {given}"}).status_code

    now_ms = round(time.time() * 1000)
    (lasting, one), (brief, other) = (ApiKey.make("test", "read", now_ms, end) for end in (None, now_ms + 3_600_000))
    with closing(ApiKeyStore(server_url, bus_settings.key_prefix)) as keys:
        keys.add(one)
        keys.add(other)
    eventually(lambda: answered("") == 401)
    assert answered(brief) == 200
    api.wall.ahead_s = 3_601
    assert (answered(brief), answered(lasting)) == (401, 200)
