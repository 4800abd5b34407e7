"""The Python client, both kinds of it, against the API on a real socket."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from api import examples
from crowdmood.client import AsyncClient, Client, ClientError, Mood
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.domain.mood import to_rfc3339
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import MoodStore
from tests import timelines
from tests.serving import Running, ready, running


@dataclass
class Crowd:
    """Either client, asked in the same way; what it asked, and its clock."""

    client: Client | AsyncClient
    portal: BlockingPortal
    ahead_s: float = 0.0
    statuses: list[int] = field(default_factory=list)

    def ask(self, name: str, *words: Any, **named: Any) -> Any:
        method = getattr(self.client, name)
        if isinstance(self.client, Client):
            found = method(*words, **named)
            return list(found) if name in ("moods", "changes") else found

        async def awaited() -> Any:
            if name in ("moods", "changes"):
                return [item async for item in method(*words, **named)]
            return await method(*words, **named)

        return self.portal.call(awaited)


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    patient = {"stale_after_s": 3600}  # what is valid for how long is the moods' to say
    return load(state_url=server_url, bus=bus_settings.model_dump(), api={"port": 0}, aggregator=patient)


@pytest.fixture
def api(settings: Settings) -> Iterator[Running]:
    with ready(settings) as api:
        yield api


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Crowd]]:
    with start_blocking_portal() as portal:
        made: list[Crowd] = []

        def connect(url: str, key: str | None = None) -> Crowd:
            kind: type[Client] | type[AsyncClient] = Client if request.param == "sync" else AsyncClient
            crowd: Crowd
            client = kind(url, key, clock=lambda: time.monotonic() + crowd.ahead_s)
            crowd = Crowd(client, portal)
            made.append(crowd)
            client._http.event_hooks = {"response": [hook(crowd)]}
            return crowd

        def hook(crowd: Crowd) -> Callable[[httpx.Response], Any]:
            def note(response: httpx.Response) -> None:
                crowd.statuses.append(response.status_code)

            async def note_async(response: httpx.Response) -> None:
                note(response)

            return note if request.param == "sync" else note_async

        yield connect
        for crowd in made:
            crowd.ask("close")


VALID_S = 600
"""Seconds for which a new mood is valid: no test takes as long."""


def mood_now(**changes: Any) -> Mood:
    now_ms = round(time.time() * 1000)
    return replace(
        examples.OK,
        as_of_ms=now_ms,
        window_start_ms=now_ms - 10_000,
        valid_until_ms=now_ms + VALID_S * 1000,
        **changes,
    )


def publish(store: MoodStore, *moods: Mood, **more: Any) -> None:
    store.publish(moods, **({"run_id": "test", "checkpoint": {}, "cameras": {}, "keep": 100_000} | more))


def arrived(api: Running, status: str = "ok") -> None:
    api.eventually("/mood", lambda answer: answer.json()["status"] == status)


def test_before_the_first_mood_there_is_none_and_the_default_is_shown(api: Running, connect: Any) -> None:
    crowd = connect(api.url)
    assert crowd.ask("mood") is None
    assert crowd.ask("leading", default="neutral") == "neutral"


def test_a_mood_is_read_into_its_type(api: Running, connect: Any, store: MoodStore) -> None:
    published, of_north = mood_now(), mood_now(camera="north", dominant="sad")
    publish(store, of_north, published)
    arrived(api)
    crowd = connect(api.url)
    assert crowd.ask("mood") == published
    assert crowd.ask("mood", camera="north") == of_north
    assert crowd.ask("leading", "neutral") == "happy"
    assert crowd.ask("leading", "neutral", camera="north") == "sad"


def test_while_an_answer_is_valid_nothing_is_asked_and_then_only_whether_it_still_stands(
    api: Running, connect: Any, store: MoodStore
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
def test_a_mood_nobody_should_act_on_is_the_default(api: Running, connect: Any, store: MoodStore, status: str) -> None:
    known = mood_now()
    publish(store, known.as_stale() if status == "stale" else replace(known.as_stale(), status="insufficient"))
    api.eventually("/mood", lambda answer: answer.json()["as_of"] is not None)
    crowd = connect(api.url)
    assert crowd.ask("mood").status == status
    assert crowd.ask("leading", default="neutral") == "neutral"


def test_without_an_api_the_last_answer_holds_while_it_is_valid_and_then_the_default(
    settings: Settings, connect: Any, store: MoodStore
) -> None:
    publish(store, mood_now())
    with running(settings) as api:
        arrived(api)
        crowd = connect(api.url)
        assert crowd.ask("leading", "neutral") == "happy"
        api.stop.set()
        api.result.result(timeout=10)
    assert crowd.ask("leading", "neutral") == "happy"
    crowd.ahead_s = VALID_S + 1
    assert crowd.ask("leading", "neutral") == "neutral"
    with pytest.raises(ClientError, match="no answer from http:") as caught:
        crowd.ask("mood")
    assert caught.value.status is None


def test_history_is_read_page_by_page(api: Running, connect: Any, store: MoodStore) -> None:
    moods = [replace(examples.OK, as_of_ms=examples.OK.as_of_ms + 1_000 * number) for number in range(1_200)]
    changes = [replace(examples.CHANGE, sequence=i, as_of_ms=i * 1_000, valid_until_ms=i * 1_000) for i in (1, 2)]
    publish(store, *moods, changes=changes)
    crowd = connect(api.url)
    assert crowd.ask("moods") == moods[::-1]
    assert crowd.statuses == [200, 200]
    assert crowd.ask("moods", from_=to_rfc3339(moods[10].as_of_ms), to=to_rfc3339(moods[12].as_of_ms)) == moods[11:9:-1]
    assert crowd.ask("changes") == changes[::-1]


def test_figures_that_the_network_does_not_know_are_none(api: Running, connect: Any, store: MoodStore) -> None:
    published = replace(examples.SEVEN_LABELS, as_of_ms=mood_now().as_of_ms, valid_until_ms=mood_now().valid_until_ms)
    publish(store, published)
    arrived(api)
    crowd = connect(api.url)
    mood = crowd.ask("mood")
    assert (mood.shares["cheering"], mood.low["cheering"], mood.energy) == (None, None, None)
    assert (mood.shares["happy"], mood.people, mood.readable, mood.fit) == (0.55, 498, 412, 0.94)
    assert crowd.ask("leading", "neutral") == "happy"


def test_a_singing_crowd_leads_with_cheering(api: Running, connect: Any, store: MoodStore) -> None:
    publish(store, mood_now(dominant="cheering"))
    arrived(api)
    assert connect(api.url).ask("leading", "neutral") == "cheering"


def test_history_of_schema_1_is_read_with_none_for_what_it_lacks(
    api: Running, connect: Any, store: MoodStore, bus_settings: BusSettings
) -> None:
    keys = StateKeys(bus_settings.key_prefix)
    for key, text in ((keys.moods, timelines.SCHEMA_1_MOOD), (keys.changes, timelines.SCHEMA_1_CHANGE)):
        store.connection.client.xadd(key, {"run": "test", "json": text})
    crowd = connect(api.url)
    (mood,), (change,) = crowd.ask("moods"), crowd.ask("changes")
    assert (mood.people, mood.readable, mood.shares["cheering"], mood.energy, mood.fit) == (412, *[None] * 4)
    assert (change.to_label, change.readable, change.low["happy"]) == ("happy", None, 0.54)


def test_cameras_are_listed(api: Running, connect: Any, store: MoodStore) -> None:
    publish(store, cameras={"north": {"state": "live", "frames": 3, "faces": 40}})
    api.eventually("/cameras", lambda answer: bool(answer.json()))
    (north,) = connect(api.url).ask("cameras")
    assert (north.id, north.state, north.frames, north.faces) == ("north", "live", 3, 40)


def test_what_the_api_refuses_says_why(api: Running, connect: Any, store: MoodStore) -> None:
    publish(store, mood_now())
    arrived(api)
    crowd = connect(api.url)
    with pytest.raises(ClientError, match="nroth") as unknown:
        crowd.ask("mood", camera="nroth")
    assert (unknown.value.status, unknown.value.type) == (404, "/problems/unknown-camera")
    with pytest.raises(ClientError, match="HTTP 503: this API knows no bus") as unanswered:
        crowd.ask("predict", b"")
    assert unanswered.value.retry_after_s == 1


def test_a_key_is_sent_where_one_is_needed(
    api: Running, connect: Any, store: MoodStore, server_url: str, bus_settings: BusSettings
) -> None:
    text, key = ApiKey.make("board", "read", round(time.time() * 1000), None)
    keys = ApiKeyStore(server_url, bus_settings.key_prefix)
    keys.add(key)
    keys.close()
    publish(store, mood_now())
    api.eventually("/mood", lambda answer: answer.status_code == 401)
    assert connect(api.url, text).ask("leading", "neutral") == "happy"
    nobody = connect(api.url)
    assert nobody.ask("leading", "neutral") == "neutral"
    with pytest.raises(ClientError) as caught:
        nobody.ask("mood")
    assert caught.value.type == "/problems/unauthorized"


class Stranger(BaseHTTPRequestHandler):
    """A server that is not CrowdMood."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None: ...


def test_what_is_not_crowdmood_is_an_error_and_the_default(connect: Any) -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            crowd = connect(f"http://127.0.0.1:{server.server_port}")
            assert crowd.ask("leading", "neutral") == "neutral"
            for name in ("mood", "moods", "cameras"):
                with pytest.raises(ClientError, match="this is no answer of CrowdMood"):
                    crowd.ask(name)
        finally:
            server.shutdown()
    assert connect("no address").ask("leading", "neutral") == "neutral"
