"""The history in a real state store: it expires by itself, keeps its order over segments, and is found by time."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import anyio
import pytest

from api import examples
from crowdmood.core.settings import BusSettings
from crowdmood.domain.mood import Mood
from crowdmood.store import history
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import START, MoodReader, MoodStore
from crowdmood.store.positions import Position, order
from tests.waiting import eventually

CHANGE = replace(examples.CHANGE, sequence=1)


@pytest.fixture
def keys(bus_settings: BusSettings) -> StateKeys:
    return StateKeys(bus_settings.key_prefix)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Segments of 50 ms."""
    monkeypatch.setattr(history, "SEGMENT_MS", 50)
    yield


def publish(store: MoodStore, *moods: Mood, keep_s: float | None = None, keep_bytes: int | None = None) -> None:
    store.publish(
        moods,
        changes=[CHANGE],
        run_id="run-1",
        checkpoint={"windows": "held"},
        cameras={},
        keep_s=keep_s,
        keep_bytes=keep_bytes,
    )


def mood(number: int, as_of_ms: int | None = None) -> Mood:
    return replace(examples.OK, people=number, as_of_ms=number if as_of_ms is None else as_of_ms)


def people(moods: list[Mood | None]) -> list[int | None]:
    return [None if found is None else found.people for found in moods]


def segments(store: MoodStore, keys: StateKeys) -> list[int]:
    return sorted(int(name) for name in store.connection.client.hkeys(keys.moods.table) if name.isdigit())


@pytest.mark.usefixtures("short")
def test_everything_expires_while_nothing_runs(store: MoodStore, keys: StateKeys) -> None:
    for number in range(5):
        publish(store, mood(number), keep_s=1.0)
        time.sleep(0.06)
    client = store.connection.client
    written = set(client.scan_iter(f"{keys.prefix}:*"))
    tables = {keys.moods.table.encode(), keys.changes.table.encode()}
    assert len(written - tables) >= 2 * 3 + 1
    eventually(lambda: set(client.scan_iter(f"{keys.prefix}:*")) == tables)
    assert b"json" not in b"".join(client.dump(name) for name in tables)


@pytest.mark.usefixtures("short")
def test_what_is_too_old_is_deleted_in_time_while_something_runs(store: MoodStore, keys: StateKeys) -> None:
    publish(store, mood(1))
    (old,) = segments(store, keys)
    time.sleep(0.2)
    publish(store, mood(2), keep_s=0.1)
    assert old not in segments(store, keys)
    assert not store.connection.client.exists(keys.moods.segment(old))
    assert people([found for _, found in store.since(START)[1]]) == [2]


def test_a_shorter_retention_holds_for_what_was_written_before(store: MoodStore, keys: StateKeys) -> None:
    publish(store, mood(1), keep_s=1_000_000)
    publish(store, mood(2), keep_s=3_600)
    (number,) = segments(store, keys)
    left_ms = store.connection.client.pttl(keys.moods.segment(number))
    assert 0 < left_ms <= 3_600_000 + history.SEGMENT_MS


@pytest.mark.usefixtures("short")
def test_entries_have_one_order_over_segments(
    store: MoodStore, keys: StateKeys, server_url: str, bus_settings: BusSettings
) -> None:
    for number in range(30):
        publish(store, mood(2 * number), mood(2 * number + 1))
        time.sleep(0.01)
    assert len(segments(store, keys)) >= 3
    position, read = START, []
    while (page := store.since(position, 7))[1]:
        position, found = page
        read += [one.people for _, one in found]
    assert read == list(range(60))

    async def check() -> None:
        with anyio.fail_after(90):
            reader = MoodReader(server_url, bus_settings.key_prefix)
            place, followed = Position(), []
            while pages := await reader.follow(place, None, 7):
                followed += [item for _, item in pages]
                place = pages[-1][0]
            assert [item.people for item in followed if isinstance(item, Mood)] == list(range(60))
            assert len(followed) == 60 + 30
            assert place == await reader.newest_position()
            backwards, before = [], None
            while entries := await reader.newest(7, before):
                backwards += [item for _, item in entries]
                before = entries[-1][0]
            assert people(backwards) == list(reversed(range(60)))
            assert await reader.mood_at(place.moods) == mood(59)
            assert await reader.keeps(Position())
            await reader.close()

    anyio.run(check)


@pytest.mark.usefixtures("short")
def test_a_reader_waits_for_entries_of_later_segments(
    store: MoodStore, server_url: str, bus_settings: BusSettings
) -> None:
    publish(store, mood(1))

    async def check() -> None:
        reader = MoodReader(server_url, bus_settings.key_prefix)
        place = await reader.newest_position()
        read: list[int | None] = []

        async def write() -> None:
            for number in range(2, 12):
                await anyio.sleep(0.04)
                await anyio.to_thread.run_sync(publish, store, mood(number))

        with anyio.fail_after(90):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write)
                while len(read) < 10:
                    for after, item in await reader.follow(place, 30):
                        place = after
                        read += people([item]) if isinstance(item, Mood) else []
        assert read == list(range(2, 12))
        await reader.close()

    anyio.run(check)


def test_ids_never_go_back_when_the_clock_does(store: MoodStore, keys: StateKeys) -> None:
    publish(store, mood(1))
    ahead = b"%d-3" % (round(time.time() * 1000) + 10 * history.SEGMENT_MS)
    store.connection.client.hset(keys.moods.table, "last", ahead)
    publish(store, mood(2), mood(3))
    assert store.newest_position() == ahead.replace(b"-3", b"-5")
    assert people([found for _, found in store.since(START)[1]]) == [1, 2, 3]
    assert people([found for _, found in store.since(ahead)[1]]) == [2, 3]


@pytest.mark.usefixtures("short")
def test_the_oldest_are_deleted_when_there_is_no_room(store: MoodStore, keys: StateKeys) -> None:
    size_bytes = len(mood(10).to_json())
    for number in range(10, 40):
        publish(store, mood(number), keep_bytes=10 * size_bytes)
        time.sleep(0.02)
    kept = [found.people for _, found in store.since(START)[1]]
    assert kept == list(range(40 - len(kept), 40))
    assert 5 <= len(kept) <= 10
    assert len(segments(store, keys)) > 1


def test_the_newest_segment_stays_however_large_it_is(store: MoodStore) -> None:
    publish(store, *(mood(number) for number in range(20)), keep_bytes=1)
    publish(store, mood(20), keep_bytes=1)
    assert store.since(START)[1][-1][1].people == 20


def test_a_history_of_an_earlier_release_goes_on(
    store: MoodStore, keys: StateKeys, server_url: str, bus_settings: BusSettings
) -> None:
    client = store.connection.client
    for number in range(1, 4):
        client.xadd(keys.moods.single, {"run": "run-1", "json": mood(number).to_json()})

    async def read() -> tuple[list[int | None], list[int | None], Position, bool]:
        reader = MoodReader(server_url, bus_settings.key_prefix)
        followed = [item for _, item in await reader.follow(Position(), None) if isinstance(item, Mood)]
        newest = [item for _, item in await reader.newest(10)]
        answer = people([*followed]), people(newest), await reader.newest_position(), await reader.keeps(Position())
        await reader.close()
        return answer

    assert anyio.run(read)[:2] == ([1, 2, 3], [3, 2, 1])
    before = store.newest_position()
    publish(store, mood(4), keep_s=3_600)
    assert order(store.newest_position()) > order(before)
    followed, newest, position, keeps = anyio.run(read)
    assert (followed, newest, keeps) == ([1, 2, 3, 4], [4, 3, 2, 1], True)
    assert position.moods == store.newest_position()
    assert 0 < client.pttl(keys.moods.single) <= 3_600_000
    client.delete(keys.moods.single)  # as when it has expired
    assert anyio.run(read)[3] is False


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("start_ms", [0, 1_780_000_000_000], ids=["footage", "live"])
def test_moods_are_found_by_time_without_reading_the_others(
    store: MoodStore, server_url: str, bus_settings: BusSettings, start_ms: int
) -> None:
    for number in range(40):
        publish(store, mood(number, start_ms + 1_000 * number))
        time.sleep(0.02)

    async def check() -> None:
        reader = MoodReader(server_url, bus_settings.key_prefix)
        wanted = {"from_ms": start_ms + 10_000, "to_ms": start_ms + 20_000}
        read = people([found for _, found in await reader.newest(100, **wanted)])
        assert set(range(10, 20)) <= set(read)
        assert len(read) < 30
        first = await reader.newest(4, **wanted)
        later = await reader.newest(100, first[-1][0], **wanted)
        assert people([found for _, found in [*first, *later]]) == read
        assert await reader.newest(100, from_ms=start_ms + 50_000) == []
        assert await reader.newest(100, to_ms=start_ms) == []
        await reader.close()

    anyio.run(check)


def test_a_long_page_is_decoded_beside_the_event_loop(
    store: MoodStore, server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, *(mood(number) for number in range(500)))
    threads: set[int] = set()
    decode = Mood.from_json

    def noting(text: bytes) -> Mood:
        threads.add(threading.get_ident())
        return decode(text)

    monkeypatch.setattr(Mood, "from_json", noting)

    async def read() -> int:
        reader = MoodReader(server_url, bus_settings.key_prefix)
        found = await reader.newest(500)
        await reader.close()
        return len(found)

    assert anyio.run(read) == 500
    assert threads
    assert threading.get_ident() not in threads


def test_two_stores_write_one_history(store: MoodStore, server_url: str, bus_settings: BusSettings) -> None:
    with closing(MoodStore(server_url, bus_settings.key_prefix)) as other:
        for number in range(6):
            publish((store, other)[number % 2], mood(number))
    assert people([found for _, found in store.since(START)[1]]) == list(range(6))


def test_a_damaged_table_hides_the_history_and_stops_nothing(
    store: MoodStore, keys: StateKeys, caplog: pytest.LogCaptureFixture
) -> None:
    publish(store, mood(1))
    store.connection.client.hset(keys.moods.table, "last", "\x00")
    assert store.since(START)[1] == []
    publish(store, mood(2))
    assert 2 in [found.people for _, found in store.since(START)[1]]
    assert "skipped the stored history table" in caplog.text
