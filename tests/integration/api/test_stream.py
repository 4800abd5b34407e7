"""Server-sent events and the WebSocket as clients get them: on real sockets, from a real state store."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import websockets.exceptions
from websockets.sync.client import connect

from api import examples, feed, models
from crowdmood.core.settings import BusSettings, Settings, load, required_url
from crowdmood.domain.mood import Mood, MoodChange, to_rfc3339
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from crowdmood.store.moods import MoodStore
from crowdmood.store.positions import Position
from tests.answering import MINUTE_MS, mood_at
from tests.serving import Running, ready, running
from tests.streaming import Events, Message, Socket, events_of, socket_of

SLOW_AFTER_S = 1.0
EITHER = pytest.mark.parametrize("open_stream", [events_of, socket_of])


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    return load(
        state_url=server_url,
        bus=bus_settings.model_dump(),
        api={"port": 0, "stream_heartbeat_s": 0.2, "stream_slow_after_s": SLOW_AFTER_S},
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[Running]:
    with ready(settings) as api:
        yield api


def change_at(minute: int) -> MoodChange:
    return replace(examples.CHANGE, sequence=minute + 1, as_of_ms=examples.OK.as_of_ms + minute * MINUTE_MS)


def publish(store: MoodStore, *moods: Mood, changes: tuple[MoodChange, ...] = (), keep_s: float | None = None) -> None:
    store.publish(moods, changes=changes, run_id="test", checkpoint={}, cameras={}, keep_s=keep_s)


def begin(api: Running, store: MoodStore) -> None:
    """There is a mood, and the API has seen it."""
    publish(store, mood_at(0))
    api.eventually("/mood", lambda response: response.json()["status"] == "ok")


def minutes(sent: list[Message]) -> list[tuple[str, int]]:
    known = {to_rfc3339(mood_at(minute).as_of_ms): minute for minute in range(5_000)}
    return [(message.event, known[message.data["as_of"]]) for message in sent if message.event != "heartbeat"]


@EITHER
def test_the_newest_mood_comes_at_once_and_then_each_mood_and_change_as_it_is_published(
    open_stream: Any, api: Running, store: MoodStore
) -> None:
    begin(api, store)
    with open_stream(api) as stream:
        first = next(stream)
        assert (first.event, first.data) == ("mood", api.get("/mood").json())
        publish(
            store, mood_at(1), replace(mood_at(1), zone="home"), mood_at(2, camera="north"), changes=(change_at(1),)
        )
        news = [next(message for message in stream if message.event != "heartbeat") for _ in range(2)]
    assert minutes(news) == [("mood", 1), ("change", 1)]
    assert Mood.from_json(json.dumps(news[0].data)) == mood_at(1)
    assert MoodChange.from_json(json.dumps(news[1].data)) == change_at(1)


@EITHER
def test_a_stream_is_of_the_zone_or_camera_that_is_asked_for(open_stream: Any, api: Running, store: MoodStore) -> None:
    publish(store, mood_at(0, camera="north"), replace(mood_at(0), zone="home"))
    api.eventually("/mood?zone=home", lambda response: response.json().get("status") == "ok")
    with open_stream(api, camera="north") as north, open_stream(api, zone="home") as home:
        assert (next(north).data["camera"], next(home).data["zone"]) == ("north", "home")
        publish(store, mood_at(1), changes=(change_at(1), replace(change_at(2), zone="home")))
        publish(store, mood_at(3, camera="north"))
        assert minutes([next(message for message in north if message.event != "heartbeat")]) == [("mood", 3)]
        assert minutes([next(message for message in home if message.event != "heartbeat")]) == [("change", 2)]


@EITHER
def test_silence_is_filled_with_heartbeats_whose_position_moves_on(
    open_stream: Any, api: Running, store: MoodStore
) -> None:
    begin(api, store)
    with open_stream(api) as stream:
        first, heartbeat = stream.take(2)
        assert (heartbeat.event, heartbeat.id) == ("heartbeat", first.id)
        publish(store, mood_at(1, camera="north"))  # not sent here
        later = next(message for message in stream if message.id != first.id)
        assert later.event == "heartbeat"


@EITHER
def test_a_stream_goes_on_at_another_replica_without_a_gap_or_a_repetition(
    open_stream: Any, api: Running, settings: Settings, store: MoodStore
) -> None:
    publish(store, mood_at(0), changes=(change_at(0),))
    api.eventually("/mood", lambda response: response.json()["status"] == "ok")
    with open_stream(api) as stream:
        publish(store, *(mood_at(minute) for minute in range(1, 6)), changes=(change_at(3),))
        sent = [message for message in stream.take(4) if message.event != "heartbeat"]
    publish(store, *(mood_at(minute) for minute in range(6, 2_000)), changes=(change_at(6), change_at(7)))
    with ready(settings) as other:  # starts now: it has not seen the messages before
        with open_stream(other, sent[-1].id) as stream:
            publish(store, mood_at(2_000), changes=(change_at(8),))
            sent += stream.take(2_000 - 3 + 1 + 4)
        moods = [minute for event, minute in minutes(sent) if event == "mood"]
        assert moods == list(range(2_001))
        assert [minute for event, minute in minutes(sent) if event == "change"] == [3, 6, 7, 8]
        # And the other way round: both mean the same by an id.
        with open_stream(api, sent[1_500].id) as stream:
            again = stream.take(100)
        assert again == sent[1_501:1_601]


def test_a_reader_that_fell_out_of_the_memory_of_its_replica_reads_on_from_the_store(
    settings: Settings, store: MoodStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "CAPACITY", 3)
    publish(store, mood_at(0))
    with running(settings) as api:
        api.eventually("/mood", lambda response: response.json()["status"] == "ok")
        with events_of(api) as stream:
            publish(store, *(mood_at(minute) for minute in range(1, 50)))
            assert minutes([message for message in stream.take(50) if message.event != "heartbeat"]) == [
                ("mood", minute) for minute in range(50)
            ]


@EITHER
def test_what_the_history_no_longer_holds_is_reported_as_a_gap(
    open_stream: Any, api: Running, settings: Settings, store: MoodStore
) -> None:
    begin(api, store)
    with open_stream(api) as stream:
        first = next(stream)
    publish(store, mood_at(1))
    time.sleep(0.2)
    publish(store, mood_at(2), keep_s=0.1)
    api.eventually("/mood", lambda response: response.json() == mood_at(2).to_dict())
    with open_stream(api, first.id) as stream:  # which still remembers it
        assert minutes([next(message for message in stream if message.event != "heartbeat")]) == [("mood", 1)]
    with ready(settings) as other, open_stream(other, first.id) as stream:
        gap, mood = stream.take(2)
    assert (gap.event, gap.data["type"]) == ("gap", "/problems/events-lost")
    models.Problem.model_validate(gap.data, strict=True, extra="forbid")
    assert minutes([mood]) == [("mood", 2)]


def test_an_id_from_a_future_that_never_was_starts_now(api: Running, store: MoodStore) -> None:
    most = f"{10**19 - 1}-{10**19 - 1}"
    begin(api, store)
    with events_of(api, f"{most}.{most}") as stream:
        assert next(stream).event == "heartbeat"
        publish(store, mood_at(1))
        assert minutes([next(message for message in stream if message.event != "heartbeat")]) == [("mood", 1)]


def test_a_mood_that_grows_stale_is_sent_as_stale_once(settings: Settings, store: MoodStore) -> None:
    aggregator = settings.aggregator.model_copy(update={"stale_after_s": 0.5})
    publish(store, mood_at(0))
    with ready(settings.model_copy(update={"aggregator": aggregator})) as api, events_of(api) as stream:
        sent = stream.take(12)
    states = [message.data["status"] for message in sent if message.event == "mood"]
    assert states in (["ok", "stale"], ["stale"])
    assert sent[-1].id == sent[0].id


@pytest.mark.parametrize("given", ["1-1", "x", "1-1.1-18446744073709551616", "1-1.x-1", "1-1.1-1.1-1"])
def test_an_invalid_id_is_refused_before_anything_is_sent(api: Running, given: str) -> None:
    response = httpx.get(f"{api.url}/mood/stream", headers={"Last-Event-ID": given})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/invalid-request")
    with pytest.raises(websockets.exceptions.InvalidStatus) as refusal, socket_of(api, given):
        pass
    assert refusal.value.response.status_code == 422
    assert json.loads(refusal.value.response.body)["type"] == "/problems/invalid-request"


def test_an_unknown_camera_is_refused_before_anything_is_sent(api: Running) -> None:
    response = httpx.get(f"{api.url}/mood/stream", params={"camera": "nroth"})
    assert (response.status_code, response.json()["type"]) == (404, "/problems/unknown-camera")
    with pytest.raises(websockets.exceptions.InvalidStatus) as refusal, socket_of(api, camera="nroth"):
        pass
    assert refusal.value.response.status_code == 404


def overwhelm(api: Running, store: MoodStore, thousands: int) -> None:
    """Publish more than the buffers hold between the API and a client that reads nothing, for longer than it may."""
    for first in range(0, 1_000 * thousands, 1_000):
        publish(store, *(mood_at(minute) for minute in range(first, first + 1_000)))
    newest = mood_at(1_000 * thousands - 1).to_dict()
    api.eventually("/mood", lambda response: response.json() == newest)
    time.sleep(3 * SLOW_AFTER_S)


def test_a_slow_reader_is_cut_off_with_the_reason_and_where_to_go_on(api: Running, store: MoodStore) -> None:
    begin(api, store)
    host, port = api.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.settimeout(60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(b"GET /mood/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        overwhelm(api, store, 6)
        received = bytearray()
        while not received.endswith(b"0\r\n\r\n") and (some := connection.recv(1 << 20)):
            received += some
    end = received[received.rindex(b"event: end") :].decode()
    assert json.loads(end.partition("data: ")[2].partition("\n")[0])["type"] == "/problems/too-slow"
    sent = received.count(b"event: mood")
    assert 10 < sent < 6_000
    position = end.partition("id: ")[2].partition("\n")[0]
    with events_of(api, position) as stream:
        rest = [message for message in stream.take(6_001 - sent) if message.event != "heartbeat"]
    assert len(rest) == 6_001 - sent
    assert 'crowdmood_streams_ended_total{reason="too-slow"}' in api.get("/metrics").text


def test_a_slow_websocket_is_closed_with_the_reason(api: Running, store: MoodStore) -> None:
    begin(api, store)
    with connect(api.url.replace("http", "ws", 1) + "/mood/stream", max_queue=1) as connection:
        overwhelm(api, store, 8)
        last: str | bytes = ""
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
            while True:
                last = connection.recv(timeout=60)
    end = json.loads(last)
    assert (end["event"], end["data"]["type"]) == ("end", "/problems/too-slow")
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "/problems/too-slow")


@EITHER
def test_a_server_that_stops_says_so_to_every_stream(open_stream: Any, api: Running, store: MoodStore) -> None:
    with open_stream(api) as stream:
        next(stream)
        api.stop.set()
        end = next(message for message in stream if message.event == "end")
        assert end.data["type"] == "/problems/stopping"
        assert str(Position.parse(end.id)) == end.id
        assert api.result.result(timeout=60) == 0


def test_a_stream_ends_with_the_key_that_opened_it(settings: Settings) -> None:
    text, key = ApiKey.make("board", "read", round(time.time() * 1000), None)
    with contextlib.closing(ApiKeyStore(required_url(settings.state_url, "state"), settings.bus.key_prefix)) as keys:
        keys.add(key)
        with ready(settings) as api:
            address, given = f"{api.url}/mood/stream", {"Authorization": f"Bearer {text}"}
            assert httpx.get(address).status_code == 401
            with (
                httpx.stream("GET", address, headers=given, timeout=60) as response,
                connect(address.replace("http", "ws", 1), additional_headers=given) as connection,
            ):
                events, messages = Events(response), Socket(lambda: connection.recv(timeout=60))
                assert (next(events).event, next(messages).event) == ("mood", "mood")
                keys.revoke(key.key_id, round(time.time() * 1000))
                for stream in (events, messages):
                    end = next(message for message in stream if message.event == "end")
                    assert end.data["type"] == "/problems/unauthorized"


def test_a_websocket_is_closed_with_the_reason(api: Running) -> None:
    with connect(api.url.replace("http", "ws", 1) + "/mood/stream") as connection:
        connection.recv(timeout=60)
        connection.send("hello")  # passed over
        api.stop.set()
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            while True:
                connection.recv(timeout=60)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1012, "/problems/stopping")


def test_readers_that_leave_are_forgotten(api: Running) -> None:
    def open_streams(response: httpx.Response) -> set[str]:
        return {line for line in response.text.splitlines() if line.startswith("crowdmood_streams{")}

    with events_of(api) as events, socket_of(api) as connection:
        next(events), next(connection)
        one_each = {'crowdmood_streams{protocol="sse"} 1.0', 'crowdmood_streams{protocol="websocket"} 1.0'}
        assert open_streams(api.get("/metrics")) == one_each
    none = {line.replace("1.0", "0.0") for line in one_each}
    api.eventually("/metrics", lambda response: open_streams(response) == none)
