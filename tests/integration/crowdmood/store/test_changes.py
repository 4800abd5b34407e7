"""Changes in a real state store: written with their moods, followed and bounded as moods are."""

from dataclasses import replace

import anyio

from api import examples
from crowdmood.core.settings import BusSettings
from crowdmood.domain.mood import MoodChange
from crowdmood.store.history import START
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import MoodReader, MoodStore
from crowdmood.store.positions import Position

FIRST = replace(examples.CHANGE, sequence=1, as_of_ms=1_000, valid_until_ms=6_000)
SECOND = replace(FIRST, sequence=2, as_of_ms=30_000, valid_until_ms=35_000, from_label="happy", to_label="sad")


def publish(store: MoodStore, *changes: MoodChange) -> None:
    store.publish([examples.OK], changes=changes, run_id="run-1", checkpoint={}, cameras={})


def test_changes_are_read_in_their_order_with_their_run(store: MoodStore) -> None:
    assert store.newest_change_position() == START
    publish(store, FIRST)
    position, changes = store.changes_since(START)
    assert changes == [("run-1", FIRST)]
    assert position == store.newest_change_position()
    publish(store)
    publish(store, SECOND)
    assert store.changes_since(position)[1] == [("run-1", SECOND)]
    assert len(store.since(START)[1]) == 3


def test_a_reader_follows_changes_and_reads_past_ones(
    store: MoodStore, server_url: str, bus_settings: BusSettings
) -> None:
    async def read() -> None:
        reader = MoodReader(server_url, bus_settings.key_prefix)
        assert await reader.follow(Position(), 1) == []
        publish(store, FIRST)
        (_, mood), (position, first) = await reader.follow(Position(), 1_000)
        assert mood == examples.OK
        assert position == await reader.newest_position()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, publish, store, SECOND)
            (_, mood), (later, second) = await reader.follow(position, 5_000)
        assert [first, second] == [FIRST, SECOND]
        assert await reader.newest_changes(10) == [(later.changes, SECOND), (position.changes, FIRST)]
        assert await reader.newest_changes(10, before=later.changes) == [(position.changes, FIRST)]
        await reader.close()

    anyio.run(read)


def test_a_reader_knows_whether_everything_since_a_position_is_still_there(
    store: MoodStore, server_url: str, bus_settings: BusSettings
) -> None:
    async def read() -> None:
        reader = MoodReader(server_url, bus_settings.key_prefix)
        assert await reader.keeps(Position())
        publish(store, FIRST)
        before = await reader.newest_position()
        assert await reader.keeps(Position())
        publish(store, SECOND)
        assert await reader.keeps(before)
        newest = await reader.newest_position()
        await anyio.sleep(0.05)
        store.publish([examples.OK], run_id="run-1", checkpoint={}, cameras={}, keep_s=0.04)
        assert not await reader.keeps(before)
        assert await reader.keeps(await reader.newest_position())
        assert await reader.newest_changes(1) == []
        # What was forgotten was published all the same: the store is not behind what was read from it.
        assert (await reader.newest_position()).reaches(newest)
        await reader.close()

    anyio.run(read)


def test_pages_of_both_go_on_without_a_gap(store: MoodStore, server_url: str, bus_settings: BusSettings) -> None:
    for sequence in range(1, 8):
        publish(store, replace(FIRST, sequence=sequence))
        publish(store)

    async def read() -> None:
        reader = MoodReader(server_url, bus_settings.key_prefix)
        position, read = Position(), []
        while page := await reader.follow(position, None, count=3):
            read += [item for _, item in page]
            position = page[-1][0]
        await reader.close()
        assert [item.sequence for item in read if isinstance(item, MoodChange)] == list(range(1, 8))
        assert sum(item == examples.OK for item in read) == 14
        assert position == Position.parse(str(position))

    anyio.run(read)


def test_what_is_no_change_is_passed_over(store: MoodStore, bus_settings: BusSettings) -> None:
    publish(store, FIRST)
    store.connection.client.xadd(StateKeys(bus_settings.key_prefix).changes.single, {"run": "run-1", "json": "{}"})
    publish(store, SECOND)
    assert [change for _, change in store.changes_since(START)[1]] == [FIRST, SECOND]
