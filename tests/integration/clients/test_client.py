"""The Python client, synchronous and asynchronous, against the API on a real socket."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from api import examples
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.domain.mood import Mood as PublishedMood
from crowdmood.domain.mood import to_rfc3339
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import MoodStore
from crowdmood_client import ClientError, KeyRefusedError, Mood, MoodChange, UnreachableError
from tests import timelines
from tests.clients import Connect, as_client
from tests.ports import free_port
from tests.serving import Running, ready, running
from tests.waiting import eventually


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    patient = {"stale_after_s": 3600}  # the moods themselves say for how long they are valid
    api = {"port": 0, "predict": True}
    return load(state_url=server_url, bus=bus_settings.model_dump(), api=api, aggregator=patient)


@pytest.fixture
def api(settings: Settings) -> Iterator[Running]:
    with ready(settings) as api:
        yield api


VALID_S = 600
"""Seconds for which a new mood is valid: no test takes as long."""


def mood_now(valid_s: float = VALID_S, **changes: Any) -> PublishedMood:
    now_ms = round(time.time() * 1000)
    return replace(
        examples.OK,
        as_of_ms=now_ms,
        window_start_ms=now_ms - 10_000,
        valid_until_ms=now_ms + round(valid_s * 1000),
        **changes,
    )


def publish(store: MoodStore, *moods: PublishedMood, **more: Any) -> None:
    store.publish(moods, **({"run_id": "test", "checkpoint": {}, "cameras": {}} | more))


def arrived(api: Running, status: str = "ok") -> None:
    api.eventually("/mood", lambda answer: answer.json()["status"] == status)


def test_returns_none_and_the_default_before_the_first_mood(api: Running, connect: Connect) -> None:
    crowd = connect(api.url)
    assert crowd.ask("mood") is None
    assert crowd.ask("leading", default="neutral") == "neutral"


def test_reads_moods_of_the_stadium_and_of_a_camera(api: Running, connect: Connect, store: MoodStore) -> None:
    published, of_north = mood_now(), mood_now(camera="north", dominant="sad")
    publish(store, of_north, published)
    arrived(api)
    crowd = connect(api.url)
    assert crowd.ask("mood") == as_client(Mood, published)
    assert crowd.ask("mood", camera="north") == as_client(Mood, of_north)
    assert crowd.ask("leading", "neutral") == "happy"
    assert crowd.ask("leading", "neutral", camera="north") == "sad"


def test_sends_nothing_while_an_answer_is_valid_and_then_its_etag(
    api: Running, connect: Connect, store: MoodStore
) -> None:
    publish(store, mood_now())
    arrived(api)
    crowd = connect(api.url)
    first = crowd.ask("mood")
    assert [crowd.ask("mood") for _ in range(5)] == [first] * 5
    assert crowd.statuses == [200]
    crowd.ahead_s = VALID_S + 1
    assert crowd.ask("mood") == first
    assert crowd.statuses == [200, 304]
    publish(store, mood_now(dominant="sad"))
    api.eventually("/mood", lambda answer: answer.json()["dominant"] == "sad")
    crowd.ahead_s = 2 * VALID_S + 2
    assert crowd.ask("leading", "neutral") == "sad"
    assert crowd.statuses == [200, 304, 200]


@pytest.mark.parametrize("status", ["insufficient", "stale"])
def test_returns_the_default_unless_the_status_is_ok(
    api: Running, connect: Connect, store: MoodStore, status: str
) -> None:
    known = mood_now()
    publish(store, known.as_stale() if status == "stale" else replace(known.as_stale(), status="insufficient"))
    api.eventually("/mood", lambda answer: answer.json()["as_of"] is not None)
    crowd = connect(api.url)
    assert crowd.ask("mood").status == status
    assert crowd.ask("leading", default="neutral") == "neutral"


def test_returns_the_default_from_valid_until_on_although_the_api_still_serves_the_mood(
    api: Running, connect: Connect, store: MoodStore
) -> None:
    published = mood_now(valid_s=1.3)
    publish(store, published)
    arrived(api)
    crowd, valid_until_s = connect(api.url), published.valid_until_ms / 1000
    returned: list[tuple[float, float, str]] = []
    while time.time() < valid_until_s + 0.7:
        before_s = time.time()
        returned.append((before_s, time.time(), crowd.ask("leading", "neutral")))
        time.sleep(0.02)
    assert {label for before_s, _, label in returned if before_s >= valid_until_s} == {"neutral"}
    # A request counts from before it was sent: with a busy machine the default comes a little early.
    early = [label for _, after_s, label in returned if after_s < valid_until_s - 0.3]
    assert len(early) > 5
    assert set(early) == {"happy"}
    assert api.get("/mood").json()["status"] == "ok"
    assert crowd.reported == []


def test_a_mood_past_its_valid_until_is_stale_and_has_no_figures(
    api: Running, connect: Connect, store: MoodStore
) -> None:
    published = mood_now(valid_s=-1)
    publish(store, published)
    arrived(api)
    assert connect(api.url).ask("mood") == as_client(Mood, published.as_stale())


def test_returns_the_last_answer_while_it_is_valid_without_an_api_and_then_the_default(
    settings: Settings, connect: Connect, store: MoodStore
) -> None:
    publish(store, mood_now())
    with running(settings) as api:
        arrived(api)
        crowd = connect(api.url)
        assert crowd.ask("leading", "neutral") == "happy"
        api.stop.set()
        api.result.result(timeout=60)
    assert crowd.ask("leading", "neutral") == "happy"
    assert crowd.client.problem is None
    crowd.ahead_s = VALID_S - 5
    assert crowd.ask("leading", "neutral") == "happy"
    crowd.ahead_s = VALID_S + 1
    assert crowd.ask("leading", "neutral") == "neutral"
    assert isinstance(crowd.client.problem, UnreachableError)
    assert crowd.reported == [crowd.client.problem]
    with pytest.raises(UnreachableError, match="no answer from http:") as caught:
        crowd.ask("mood")
    assert caught.value.status is None


def test_leading_returns_at_once_between_two_attempts_to_reach_the_api(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        crowd = connect(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.5)
        assert crowd.ask("leading", "neutral") == "neutral"
        started_s = time.monotonic()
        assert {crowd.ask("leading", "neutral") for _ in range(3)} == {"neutral"}
        assert time.monotonic() - started_s < 0.4
        crowd.ahead_s = 10
        started_s = time.monotonic()
        assert crowd.ask("leading", "neutral") == "neutral"
        assert time.monotonic() - started_s >= 0.5
    assert len(crowd.reported) == 1


def test_leading_returns_to_the_mood_when_the_api_answers_again(
    settings: Settings, connect: Connect, store: MoodStore
) -> None:
    publish(store, mood_now())
    port = free_port()
    crowd = connect(f"http://127.0.0.1:{port}")
    assert crowd.ask("leading", "neutral") == "neutral"
    with ready(settings.model_copy(update={"api": settings.api.model_copy(update={"port": port})})) as api:
        arrived(api)
        eventually(lambda: crowd.ask("leading", "neutral") == "happy")
    assert crowd.client.problem is None


def test_reads_the_history_page_by_page(api: Running, connect: Connect, store: MoodStore) -> None:
    moods = [replace(examples.OK, as_of_ms=examples.OK.as_of_ms + 1_000 * number) for number in range(1_200)]
    changes = [replace(examples.CHANGE, sequence=i, as_of_ms=i * 1_000, valid_until_ms=i * 1_000) for i in (1, 2)]
    publish(store, *moods, changes=changes)
    crowd = connect(api.url)
    expected = [as_client(Mood, mood) for mood in moods]
    assert crowd.ask("moods") == expected[::-1]
    assert crowd.statuses == [200, 200]
    of_text = crowd.ask("moods", from_=to_rfc3339(moods[10].as_of_ms), to=to_rfc3339(moods[12].as_of_ms))
    assert of_text == crowd.ask("moods", from_=expected[10].as_of, to=expected[12].as_of) == expected[11:9:-1]
    assert crowd.ask("changes") == [as_client(MoodChange, change) for change in changes[::-1]]
    assert crowd.ask("moods", run="another") == crowd.ask("changes", run="another") == []
    with pytest.raises(ValueError, match="no time zone"):
        crowd.ask("moods", to=datetime(2026, 5, 1))


def test_figures_unknown_to_the_network_are_none(api: Running, connect: Connect, store: MoodStore) -> None:
    published = replace(examples.SEVEN_LABELS, as_of_ms=mood_now().as_of_ms, valid_until_ms=mood_now().valid_until_ms)
    publish(store, published)
    arrived(api)
    crowd = connect(api.url)
    mood = crowd.ask("mood")
    assert (mood.shares["cheering"], mood.low["cheering"], mood.energy) == (None, None, None)
    assert (mood.shares["happy"], mood.people, mood.readable, mood.fit) == (0.56, 500, 400, 0.9)
    assert crowd.ask("leading", "neutral") == "happy"


def test_a_singing_crowd_leads_with_cheering(api: Running, connect: Connect, store: MoodStore) -> None:
    publish(store, mood_now(dominant="cheering"))
    arrived(api)
    assert connect(api.url).ask("leading", "neutral") == "cheering"


def test_history_of_schema_1_is_read_with_none_for_what_it_lacks(
    api: Running, connect: Connect, store: MoodStore, bus_settings: BusSettings
) -> None:
    keys = StateKeys(bus_settings.key_prefix)
    for key, text in ((keys.moods.single, timelines.SCHEMA_1_MOOD), (keys.changes.single, timelines.SCHEMA_1_CHANGE)):
        store.connection.client.xadd(key, {"run": "test", "json": text})
    crowd = connect(api.url)
    (mood,), (change,) = crowd.ask("moods"), crowd.ask("changes")
    assert (mood.people, mood.readable, mood.shares["cheering"], mood.energy, mood.fit) == (412, *[None] * 4)
    assert (change.to_label, change.readable, change.low["happy"]) == ("happy", None, 0.54)


def test_cameras_are_listed(api: Running, connect: Connect, store: MoodStore) -> None:
    publish(store, cameras={"north": {"state": "live", "frames": 3, "faces": 40}})
    api.eventually("/cameras", lambda answer: bool(answer.json()))
    (north,) = connect(api.url).ask("cameras")
    assert (north.id, north.state, north.frames, north.faces) == ("north", "live", 3, 40)


def test_a_refusal_carries_its_reason_status_and_type(api: Running, connect: Connect, store: MoodStore) -> None:
    publish(store, mood_now())
    arrived(api)
    crowd = connect(api.url)
    with pytest.raises(ClientError, match="nroth") as unknown:
        crowd.ask("mood", camera="nroth")
    assert (unknown.value.status, unknown.value.type) == (404, "/problems/unknown-camera")
    with pytest.raises(ClientError, match="HTTP 503: this API has no bus") as unanswered:
        crowd.ask("predict", b"")
    assert unanswered.value.retry_after_s == 1
    assert crowd.statuses == [404, 503, 503, 503]  # what may pass is retried


def test_an_unknown_zone_or_camera_raises_instead_of_the_default(
    api: Running, connect: Connect, store: MoodStore
) -> None:
    publish(store, mood_now())
    arrived(api)
    crowd = connect(api.url)
    for where in ({"zone": "hmoe"}, {"camera": "nroth"}):
        for _ in range(2):
            with pytest.raises(ClientError, match=r"hmoe|nroth"):
                crowd.ask("leading", "neutral", **where)
    assert crowd.ask("leading", "neutral") == "happy"  # which holds up nothing else


@pytest.fixture
def keys(server_url: str, bus_settings: BusSettings) -> Iterator[ApiKeyStore]:
    with closing(ApiKeyStore(server_url, bus_settings.key_prefix)) as keys:
        yield keys


def make_key(keys: ApiKeyStore, api: Running, name: str = "board") -> tuple[str, ApiKey]:
    """Return a key's text and the key, once the API knows it."""
    text, key = ApiKey.make(name, "read", round(time.time() * 1000), None)
    keys.add(key)
    api.eventually("/mood", lambda answer: answer.status_code == 401)
    api.eventually("/mood", lambda answer: answer.status_code == 200, text)
    return text, key


@pytest.mark.parametrize("key", [None, "cm_wrong_wrong"])
def test_a_missing_or_wrong_key_raises_at_every_call(
    api: Running, connect: Connect, store: MoodStore, keys: ApiKeyStore, key: str | None
) -> None:
    publish(store, mood_now())
    make_key(keys, api)
    crowd = connect(api.url, key)
    for _ in range(2):
        for name, words in (("leading", ["neutral"]), ("mood", []), ("moods", []), ("cameras", [])):
            with pytest.raises(KeyRefusedError, match="crowdmood keys create") as caught:
                crowd.ask(name, *words)
            assert (caught.value.status, caught.value.type) == (401, "/problems/unauthorized")
    with crowd.stream() as events, pytest.raises(KeyRefusedError):
        next(events)


def test_a_key_that_is_revoked_later_is_reported_once_and_the_default_returned(
    api: Running, connect: Connect, store: MoodStore, keys: ApiKeyStore
) -> None:
    publish(store, mood_now())
    make_key(keys, api, "another")
    text, key = make_key(keys, api)
    crowd = connect(api.url, text)
    assert crowd.ask("leading", "neutral") == "happy"
    assert keys.revoke(key.key_id, round(time.time() * 1000))
    api.eventually("/mood", lambda answer: answer.status_code == 401, text)
    assert crowd.ask("leading", "neutral") == "happy"  # that answer is still valid
    for hour in (1, 2, 3):
        crowd.ahead_s = hour * 3600
        assert crowd.ask("leading", "neutral") == "neutral"
        assert isinstance(crowd.client.problem, KeyRefusedError)
    assert crowd.statuses == [200, 401, 401, 401]
    assert [error.type for error in crowd.reported] == ["/problems/unauthorized"]
    with pytest.raises(KeyRefusedError):
        crowd.ask("mood")


def test_a_problem_is_logged_where_no_callback_is_given(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    crowd = connect(f"http://127.0.0.1:{free_port()}", on_problem=None)
    for hour in range(3):
        crowd.ahead_s = hour * 3600
        assert crowd.ask("leading", "neutral") == "neutral"
    (record,) = (record for record in caplog.records if record.name == "crowdmood_client")
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("the default is shown: no answer from http://127.0.0.1:")


class Stranger(BaseHTTPRequestHandler):
    """A server that is not CrowdMood."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None: ...


def test_a_server_that_is_not_crowdmood_is_an_error_and_a_reported_default(connect: Connect) -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            crowd = connect(f"http://127.0.0.1:{server.server_port}")
            assert crowd.ask("leading", "neutral") == "neutral"
            assert "this is not an answer of CrowdMood" in str(crowd.client.problem)
            assert crowd.reported == [crowd.client.problem]
            for name in ("mood", "moods", "cameras"):
                with pytest.raises(ClientError, match="this is not an answer of CrowdMood"):
                    crowd.ask(name)
        finally:
            server.shutdown()


@pytest.mark.parametrize("url", ["no address", "", "ftp://127.0.0.1", "127.0.0.1:8000", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused_at_once(connect: Connect, url: str) -> None:
    with pytest.raises(ValueError, match=r"write it as http://127\.0\.0\.1:8000"):
        connect(url)
