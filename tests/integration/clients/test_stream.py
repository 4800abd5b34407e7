"""Streams of the Python client, synchronous and asynchronous, against the API on a real socket."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice

import pytest

from api import examples
from crowdmood.core import metrics
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.domain import mood as published
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from crowdmood.store.moods import MoodStore
from crowdmood_client import ClientError, Event, KeyRefusedError, Mood, MoodChange, UnreachableError
from tests.answering import MINUTE_MS, mood_at
from tests.clients import Connect, as_client
from tests.ports import free_port
from tests.serving import Running, ready
from tests.waiting import eventually


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    return load(
        state_url=server_url,
        bus=bus_settings.model_dump(),
        api={"port": free_port(), "stream_heartbeat_s": 0.2},
        aggregator={"stale_after_s": 3600},
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[Running]:
    with ready(settings) as api:
        yield api


def change_at(minute: int) -> published.MoodChange:
    return replace(examples.CHANGE, sequence=minute, as_of_ms=examples.OK.as_of_ms + minute * MINUTE_MS)


def publish(
    store: MoodStore,
    *moods: published.Mood,
    changes: tuple[published.MoodChange, ...] = (),
    keep_s: float | None = None,
) -> None:
    store.publish(moods, changes=changes, run_id="test", checkpoint={}, cameras={}, keep_s=keep_s)


def begin(api: Running, store: MoodStore) -> None:
    """Publish a mood, and return once the API serves it."""
    publish(store, mood_at(0))
    api.eventually("/mood", lambda response: response.json()["status"] == "ok")


def item(event: Event) -> Mood | MoodChange | str:
    """Return what an event carries: its mood or change, else its kind."""
    return event.mood or event.change or event.kind


def moods(*minutes: int) -> list[Mood]:
    return [as_client(Mood, mood_at(minute)) for minute in minutes]


def test_yields_the_newest_mood_and_then_each_mood_and_change(api: Running, connect: Connect, store: MoodStore) -> None:
    begin(api, store)
    with connect(api.url).stream() as events:
        first = next(events)
        assert (first.kind, first.mood, first.change, first.error) == ("mood", *moods(0), None, None)
        publish(store, mood_at(1), replace(mood_at(1), zone="home"), changes=(change_at(1),))
        assert [item(event) for event in islice(events, 2)] == [*moods(1), as_client(MoodChange, change_at(1))]


def test_a_stream_follows_one_zone_or_camera(api: Running, connect: Connect, store: MoodStore) -> None:
    of_north, of_home = mood_at(0, camera="north"), replace(mood_at(0), zone="home")
    publish(store, of_north, of_home, mood_at(1))
    api.eventually("/mood?zone=home", lambda response: response.json().get("status") == "ok")
    crowd = connect(api.url)
    with crowd.stream(camera="north") as north, crowd.stream(zone="home") as home:
        assert (item(next(north)), item(next(home))) == (as_client(Mood, of_north), as_client(Mood, of_home))
        publish(store, mood_at(2), mood_at(3, camera="north"))
        assert item(next(north)) == as_client(Mood, mood_at(3, camera="north"))


def test_before_the_first_mood_a_stream_waits_for_it(api: Running, connect: Connect, store: MoodStore) -> None:
    with connect(api.url).stream() as events:
        publisher = threading.Timer(0.5, publish, (store, mood_at(0)))
        publisher.start()
        assert item(next(events)) == moods(0)[0]
        publisher.join()


def test_leading_returns_the_mood_that_a_stream_has_just_yielded(
    api: Running, connect: Connect, store: MoodStore
) -> None:
    begin(api, store)
    crowd = connect(api.url)
    now_ms = round(time.time() * 1000)
    with crowd.stream() as events:
        next(events)
        for dominant in ("sad", "cheering", "sad"):
            mood = replace(mood_at(0), as_of_ms=now_ms, valid_until_ms=now_ms + 600_000, dominant=dominant)
            publish(store, mood)
            assert next(events).mood == as_client(Mood, mood)
            assert {crowd.ask("leading", "neutral") for _ in range(3)} == {dominant}
    assert crowd.statuses == [200] * 4  # the stream, and one request for each mood


def test_a_stream_continues_without_a_gap_or_a_repetition_when_the_api_restarts(
    settings: Settings, connect: Connect, store: MoodStore
) -> None:
    with ready(settings) as api:
        begin(api, store)
        crowd = connect(api.url)
        with crowd.stream() as events:
            seen = [item(next(events))]
            publish(store, mood_at(1))
            seen.append(item(next(events)))
            publish(store, mood_at(2, camera="north"))  # of another scope: only heartbeats move on
            time.sleep(0.5)
            api.stop.set()
            seen.append(item(lost := next(events)))
            api.result.result(timeout=10)
            publish(store, mood_at(3), changes=(change_at(3),))
            with ready(settings):
                seen += [item(event) for event in islice(events, 2)]
                publish(store, mood_at(4))
                seen.append(item(next(events)))
    assert seen[:2] + seen[5:] == moods(0, 1, 4)
    assert seen[2] == "lost"
    assert lost.error is not None
    assert lost.error.type == "/problems/stopping"
    assert seen[3:5] in (
        [*moods(3), as_client(MoodChange, change_at(3))],
        [as_client(MoodChange, change_at(3)), *moods(3)],
    )


def test_a_stream_starts_after_an_event_of_an_earlier_one(api: Running, connect: Connect, store: MoodStore) -> None:
    begin(api, store)
    with connect(api.url).stream() as events:
        first = next(events)
    publish(store, mood_at(1), mood_at(2))
    with connect(api.url).stream(after=first.id) as events:
        assert [item(event) for event in islice(events, 2)] == moods(1, 2)


def test_events_that_the_history_no_longer_holds_are_a_gap(
    api: Running, settings: Settings, connect: Connect, store: MoodStore
) -> None:
    begin(api, store)
    with connect(api.url).stream() as events:
        first = next(events)
    publish(store, mood_at(1))
    time.sleep(0.2)
    publish(store, mood_at(2), keep_s=0.1)
    other = settings.model_copy(update={"api": settings.api.model_copy(update={"port": 0})})
    with ready(other) as replica, connect(replica.url).stream(after=first.id) as events:
        gap, mood = islice(events, 2)
    assert gap.kind == "gap"
    assert gap.error is not None
    assert gap.error.type == "/problems/events-lost"
    assert item(mood) == moods(2)[0]


def test_a_stream_waits_for_an_api_that_is_not_there_yet_and_says_so_once(
    settings: Settings, connect: Connect, store: MoodStore
) -> None:
    publish(store, mood_at(0))
    crowd = connect(f"http://127.0.0.1:{settings.api.port}")
    with crowd.stream() as events:
        lost = next(events)
        assert (lost.kind, lost.id, type(lost.error)) == ("lost", "", UnreachableError)
        with ready(settings):
            assert item(next(events)) == moods(0)[0]


def test_a_revoked_key_ends_a_stream_with_an_error(
    api: Running, connect: Connect, store: MoodStore, server_url: str, bus_settings: BusSettings
) -> None:
    begin(api, store)
    text, key = ApiKey.make("board", "read", round(time.time() * 1000), None)
    with closing(ApiKeyStore(server_url, bus_settings.key_prefix)) as keys:
        keys.add(key)
        api.eventually("/mood", lambda answer: answer.status_code == 401)
        with connect(api.url, text).stream() as events:
            assert item(next(events)) == moods(0)[0]
            keys.revoke(key.key_id, round(time.time() * 1000))
            with pytest.raises(KeyRefusedError, match="the key is no longer valid"):
                next(events)


@pytest.mark.parametrize(("where", "status"), [({"zone": "hmoe"}, 404), ({"after": "yesterday"}, 422)])
def test_an_unknown_zone_or_id_raises(api: Running, connect: Connect, where: dict[str, str], status: int) -> None:
    with connect(api.url).stream(**where) as events, pytest.raises(ClientError) as caught:
        next(events)
    assert caught.value.status == status


def test_leaving_a_stream_closes_its_connection(api: Running, connect: Connect, store: MoodStore) -> None:
    begin(api, store)
    with connect(api.url).stream() as events:
        next(events)
        assert open_streams() == 1
    eventually(lambda: open_streams() == 0)


def open_streams() -> float:
    """Return how many streams the API, which runs in this process, has open."""
    (family,) = metrics.STREAMS.collect()
    return sum(sample.value for sample in family.samples if sample.labels.get("protocol") == "sse")


@contextmanager
def answering(*replies: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Send each reply to a connection of its own and leave it open; give the address and the requests received."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for reply in replies:
                connection, _ = listener.accept()
                opened.append(connection)
                requests.append(connection.recv(65_536))
                connection.sendall(reply)

        opened: list[socket.socket] = []
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
        finally:
            for connection in opened:
                connection.close()
            thread.join(5)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def test_a_silent_connection_is_given_up_and_the_next_one_continues_after_the_last_event(connect: Connect) -> None:
    text = examples.OK.to_json().encode()
    first, second = (b"event: mood\nid: %d-0\ndata: %s\n\n" % (number, text) for number in (1, 2))
    with answering(HEAD + first + b": heartbeat\nid: 7-0\n\nevent: mood\nid: 9-0\nda", HEAD + second) as (
        url,
        requests,
    ):
        with connect(url, silence_s=0.5).stream() as events:
            kinds = [(event.kind, event.id) for event in islice(events, 3)]
        # An event that was cut off does not count: its id is not where the stream stands.
        assert kinds == [("mood", "1-0"), ("lost", "7-0"), ("mood", "2-0")]
        assert b"last-event-id" not in requests[0].lower()
        assert b"last-event-id: 7-0\r\n" in requests[1].lower()


def test_a_page_of_another_server_is_no_stream_and_is_retried(connect: Connect) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    mood = b"event: mood\nid: 1-0\ndata: %s\n\n" % examples.OK.to_json().encode()
    with answering(page, HEAD + mood) as (url, _), connect(url).stream() as events:
        lost, first = islice(events, 2)
    assert "its type is text/html" in str(lost.error)
    assert item(first) == as_client(Mood, examples.OK)
