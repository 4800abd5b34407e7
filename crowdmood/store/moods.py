"""Moods, their changes, cameras and the aggregator's checkpoint in the state store."""

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import redis
import redis.asyncio
from pydantic import BaseModel, StrictBool, StrictInt

from crowdmood.bus.connection import Client, Connection
from crowdmood.bus.lease import Lease
from crowdmood.core import metrics, stored
from crowdmood.core.errors import ServerUnavailableError, SettingsError, UndecodableError
from crowdmood.core.logs import redact
from crowdmood.domain.messages import CameraStateName
from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.domain.override import Override, Overrides, read_all
from crowdmood.store import history
from crowdmood.store.api_keys import KeyTable, read_table
from crowdmood.store.history import START, Entry, Reading, Table
from crowdmood.store.keys import HistoryKeys, StateKeys
from crowdmood.store.positions import Position, merged

T = TypeVar("T")
Item = TypeVar("Item", Mood, MoodChange)


class CameraRow(BaseModel):
    """The types of a camera's row; rows of other releases have fewer fields, or more."""

    state: CameraStateName = "opening"
    since_ms: StrictInt | None = None
    source: str = ""
    recorded: StrictBool = False
    detail: str = ""
    run_id: str | None = None
    model: str | None = None
    detector: str | None = None
    frame_count: StrictInt = 0
    last_frame_at_ms: StrictInt | None = None
    lost: dict[str, StrictInt] = {}
    unfit: dict[str, StrictInt] = {}
    accepted: StrictInt = 0
    frames: StrictInt = 0
    faces: StrictInt = 0
    late: StrictInt = 0
    duplicates: StrictInt = 0
    awaited: StrictInt = 0
    held: StrictInt = 0
    run_accepted: StrictInt = 0


CameraTable: TypeAlias = dict[str, dict[str, Any]]
"""Camera to its row, as `GET /cameras` returns it."""

_AT_ONCE = 20
"""Most entries that are decoded on the event loop at once; each takes about 20 us."""


class MoodStore:
    """Writes moods, and reads them for the aggregator and replays; synchronous."""

    def __init__(self, url: str, key_prefix: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self._keys = StateKeys(key_prefix)

    def publish(
        self,
        moods: Iterable[Mood],
        *,
        run_id: str,
        checkpoint: Mapping[str, Any],
        cameras: Mapping[str, Mapping[str, Any]],
        keep_s: float | None = None,
        keep_bytes: int | None = None,
        changes: Iterable[MoodChange] = (),
        gone: Collection[str] = (),
        lease: Lease | None = None,
    ) -> None:
        """Write moods, changes, the checkpoint after them and the cameras' rows in one transaction.

        Moods and changes that an override concerns are marked with it.

        Args:
            moods: New moods, oldest first.
            run_id: The run they belong to.
            checkpoint: The state from which the aggregator of this run continues.
            cameras: The row of each camera.
            keep_s: Seconds after which moods, changes and the checkpoint expire, also while nothing runs; None: never.
            keep_bytes: Size of the moods, and of the changes, from which the oldest are deleted before; None: no limit.
            changes: New changes, oldest first.
            gone: Cameras whose rows are removed.
            lease: The right to write, where several processes may claim it: the transaction is then executed exactly
                once or not at all. None: there is no other writer.

        Raises:
            LeadershipLostError: Another process has acquired the lease.
        """
        text = stored.to_json(checkpoint)
        metrics.CHECKPOINT_BYTES.set(len(text))
        moods, changes = self._marked(list(moods), list(changes))
        new = {
            keys: [(item.as_of_ms, {"run": run_id, "json": item.to_json()}) for item in items]
            for keys, items in ((self._keys.moods, moods), (self._keys.changes, changes))
        }

        def read(client: Client) -> tuple[int, dict[HistoryKeys, Table]]:
            seconds, microseconds = client.time()
            return seconds * 1000 + microseconds // 1000, {keys: history.current_table(client, keys) for keys in new}

        def queue(multi: Client, now_ms: int, tables: Mapping[HistoryKeys, Table]) -> None:
            for keys, items in new.items():
                history.queue_entries(multi, keys, tables[keys], items, now_ms, keep_s, keep_bytes)
            expires_ms = None if keep_s is None else max(1, round(keep_s * 1000))
            multi.set(self._keys.checkpoint(run_id), text, px=expires_ms)
            for camera_id, known in cameras.items():
                multi.hset(self._keys.cameras, camera_id, stored.to_json(known))
            if gone:
                multi.hdel(self._keys.cameras, *gone)

        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                queue(multi, *read(client))
                multi.execute()

        if lease is None:
            self.connection.call(transaction)
        else:
            # No other process writes in this term, so the tables stay as they are until the transaction.
            now_ms, tables = self.connection.call(read)
            lease.write(lambda multi: queue(multi, now_ms, tables))

    def checkpoint(self, run_id: str) -> dict[str, Any] | None:
        """Return the state from which the aggregator of this run continues; None before the first checkpoint.

        Raises:
            UndecodableError: It is damaged, or of a much newer release.
        """
        value: Any = self.connection.call(lambda client: client.get(self._keys.checkpoint(run_id)))
        return None if value is None else stored.parse(value)

    def cameras(self, *, patient: bool = True) -> CameraTable:
        """Return the row of each camera.

        Args:
            patient: Whether to wait while the store is unreachable.
        """
        return _cameras(self.connection.call(lambda client: client.hgetall(self._keys.cameras), patient=patient))

    def newest_position(self) -> bytes:
        """Return the position of the newest mood."""
        return self._newest(self._keys.moods)

    def newest_change_position(self) -> bytes:
        """Return the position of the newest change."""
        return self._newest(self._keys.changes)

    def since(self, position: bytes, count: int = 1000) -> tuple[bytes, list[tuple[str, Mood]]]:
        """Return the position after the next moods, and these moods, oldest first, each with its run."""
        return self._since(self._keys.moods, Mood.from_json, position, count)

    def changes_since(self, position: bytes, count: int = 1000) -> tuple[bytes, list[tuple[str, MoodChange]]]:
        """Return the position after the next changes, and these changes, oldest first, each with its run."""
        return self._since(self._keys.changes, MoodChange.from_json, position, count)

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()

    def _marked(self, moods: list[Mood], changes: list[MoodChange]) -> tuple[list[Mood], list[MoodChange]]:
        """Return the same, each with the override that is in force now, if any."""
        if not moods and not changes:
            return moods, changes
        raw: Any = self.connection.call(lambda client: client.hgetall(self._keys.overrides))
        zones = {mood.zone: mood.cameras for mood in moods if mood.camera is None}
        overrides, now_ms = Overrides(read_all(raw), zones), time.time() * 1000
        return (
            [_marked(mood, overrides.of(mood.zone, mood.camera, now_ms)) for mood in moods],
            [_marked(change, overrides.of(change.zone, None, now_ms)) for change in changes],
        )

    def _newest(self, keys: HistoryKeys) -> bytes:
        entries = self._read(lambda: history.read_before(keys, None, 1))
        return entries[0][0] if entries else START

    def _since(
        self, keys: HistoryKeys, read: Callable[[bytes], T], position: bytes, count: int
    ) -> tuple[bytes, list[tuple[str, T]]]:
        entries = self._read(lambda: history.read_after(keys, position, count))
        found = [(_run(fields), item) for _, fields in entries if (item := _decoded(fields, read))]
        return (entries[-1][0] if entries else position), found

    def _read(self, reading: Callable[[], Reading[T]]) -> T:
        def read(client: Client) -> T:
            steps, reply = reading(), None
            while True:
                try:
                    command = steps.send(reply)
                except StopIteration as end:
                    result: T = end.value
                    return result
                reply = client.execute_command(*command)

        return self.connection.call(read)


class MoodReader:
    """Reads moods for the API and the dispatcher; asynchronous."""

    def __init__(self, url: str, key_prefix: str) -> None:
        try:
            self._client = redis.asyncio.Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=5.0)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"{redact(url)!r} is no server address: use redis://, rediss:// or unix://") from error
        self._keys = StateKeys(key_prefix)

    async def ping(self) -> None:
        """Return when the store answers.

        Raises:
            ServerUnavailableError: The store does not answer.
        """
        try:
            await self._client.ping()
        except (redis.RedisError, OSError) as error:
            raise ServerUnavailableError(f"the state server cannot be reached: {error}") from None

    async def newest(
        self,
        count: int,
        before: bytes | None = None,
        run_id: str | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
    ) -> list[tuple[bytes, Mood | None]]:
        """Return the newest moods with their positions, newest first.

        Args:
            count: Return at most so many.
            before: Return only those before this position; None: of all.
            run_id: The run; moods of other runs are None, and so are entries that cannot be read. None: all runs.
            from_ms: Earliest `as_of` in milliseconds; most earlier moods are skipped, not all. None: no bound.
            to_ms: Latest `as_of`, as `from_ms`.
        """
        reading = history.read_before(self._keys.moods, before, count, from_ms, to_ms)
        return await self._decode(reading, Mood.from_json, run_id)

    async def newest_changes(
        self,
        count: int,
        before: bytes | None = None,
        run_id: str | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
    ) -> list[tuple[bytes, MoodChange | None]]:
        """Return the newest changes, as `newest` returns moods."""
        reading = history.read_before(self._keys.changes, before, count, from_ms, to_ms)
        return await self._decode(reading, MoodChange.from_json, run_id)

    async def mood_at(self, position: bytes) -> Mood | None:
        """Return the mood at a position; None when it has been deleted."""
        entries = await self._read(history.read_at(self._keys.moods, position))
        return _decoded(entries[0][1], Mood.from_json) if entries else None

    async def newest_position(self) -> Position:
        """Return the position after everything that was published, also if it has been deleted since."""
        tables = [await self._table(keys) for keys in (self._keys.moods, self._keys.changes)]
        return Position(*(table.last or START for table in tables))

    async def follow(
        self, position: Position, block_ms: int | None, count: int = 1000
    ) -> list[tuple[Position, Mood | MoodChange | None]]:
        """Return moods and changes after a position, oldest first, each with the position after it.

        Args:
            position: The position to continue from.
            block_ms: Longest wait for the first entry in milliseconds; None does not wait.
            count: Most moods, and most changes, of one call.

        Returns:
            Moods and changes; an entry that cannot be read is None.

        Raises:
            ServerUnavailableError: The state store does not answer.
        """
        moods, changes = await self._after(position, count)
        if block_ms is not None and not moods and not changes:
            await self._wait(position, block_ms)
            moods, changes = await self._after(position, count)
        return merged(
            position,
            [(entry, _decoded(fields, Mood.from_json)) for entry, fields in moods],
            [(entry, _decoded(fields, MoodChange.from_json)) for entry, fields in changes],
            count,
        )

    async def keeps(self, position: Position) -> bool:
        """Return whether everything that was published after a position is still stored.

        Raises:
            ServerUnavailableError: The state store does not answer.
        """
        for keys, entry in ((self._keys.moods, position.moods), (self._keys.changes, position.changes)):
            if not await self._read(history.keeps(keys, entry, await self._table(keys))):
                return False
        return True

    async def cameras(self) -> CameraTable:
        """Return the row of each camera."""
        return _cameras(await self._guard(self._client.hgetall(self._keys.cameras)))

    async def api_keys(self) -> KeyTable:
        """Return every API key, also expired and revoked ones."""
        return read_table(await self._guard(self._client.hgetall(self._keys.api_keys)))

    async def overrides(self) -> list[Override]:
        """Return every override, also those that have ended and are not deleted yet."""
        return read_all(await self._guard(self._client.hgetall(self._keys.overrides)))

    async def close(self) -> None:
        """Close the sockets."""
        await self._client.aclose()

    async def _after(self, position: Position, count: int) -> tuple[list[Entry], list[Entry]]:
        """Return moods and changes after a position, up to one point of time, so that their order is known."""
        both = self._client.pipeline(transaction=True)
        for keys in (self._keys.moods, self._keys.changes):
            both.hgetall(keys.table)
        moods, changes = map(Table.read, await self._guard(both.execute()))
        return (
            await self._read(history.read_after(self._keys.moods, position.moods, count, moods)),
            await self._read(history.read_after(self._keys.changes, position.changes, count, changes)),
        )

    async def _wait(self, position: Position, block_ms: int) -> None:
        """Return when an entry is written to the segments of now or to the stream of earlier releases."""
        seconds, _ = await self._guard(self._client.time())
        number = seconds * 1000 // history.SEGMENT_MS
        names: Any = {
            name: entry
            for keys, entry in ((self._keys.moods, position.moods), (self._keys.changes, position.changes))
            # The writer's ids may be ahead of the server's clock if that was set back.
            for name in (keys.single, *(keys.segment(n) for n in (number, number + 1, history.segment_of(entry))))
        }
        await self._guard(self._client.xread(names, count=1, block=block_ms))

    async def _decode(
        self, reading: Reading[list[Entry]], read: Callable[[bytes], T], run_id: str | None
    ) -> list[tuple[bytes, T | None]]:
        """Return entries with their items; a long page is decoded in a thread, so that other requests do not wait."""
        entries = await self._read(reading)

        def decode() -> list[tuple[bytes, T | None]]:
            return [
                (position, _decoded(fields, read) if run_id is None or fields.get(b"run") == run_id.encode() else None)
                for position, fields in entries
            ]

        return decode() if len(entries) <= _AT_ONCE else await asyncio.to_thread(decode)

    async def _table(self, keys: HistoryKeys) -> Table:
        """Return the table of a history, which may continue the stream that earlier releases wrote."""
        table = Table.read(await self._guard(self._client.hgetall(keys.table)))
        if not await self._guard(self._client.exists(keys.single)):
            return table
        return history.continued(table, await self._guard(self._client.xinfo_stream(keys.single)))

    async def _read(self, steps: Reading[T]) -> T:
        execute: Any = self._client.execute_command
        reply: Any = None
        while True:
            try:
                command = steps.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = await self._guard(execute(*command))

    async def _guard(self, command: Any) -> Any:
        try:
            return await command
        except (redis.RedisError, OSError) as error:
            raise ServerUnavailableError(f"the state server cannot be reached: {error}") from None


def published_at_ms(position: bytes) -> int:
    """Return the wall-clock time at which an entry was published, in milliseconds since 1970-01-01 UTC."""
    return int(position.partition(b"-")[0])


def _decoded(fields: Mapping[bytes, bytes], read: Callable[[bytes], T]) -> T | None:
    try:
        return read(fields.get(b"json", b""))
    except UndecodableError as error:
        stored.skipped("mood", _run(fields), error)
        return None


def _run(fields: Mapping[bytes, bytes]) -> str:
    return fields.get(b"run", b"").decode(errors="replace")


def _marked(item: Item, override: Override | None) -> Item:
    return item if override is None else replace(item, override=override.note())


def _cameras(raw: Any) -> CameraTable:
    table: CameraTable = {}
    for camera_id, known in sorted(raw.items()):
        try:
            fields = stored.parse(known)
            stored.build(CameraRow, fields)
        except UndecodableError as error:
            stored.skipped("camera", camera_id, error)
        else:
            table[camera_id.decode(errors="replace")] = fields
    return table
