"""Moods, their changes, cameras and the aggregator's checkpoint in the state store."""

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
from crowdmood.core import stored
from crowdmood.core.errors import ServerUnavailableError, SettingsError, UndecodableError
from crowdmood.core.logs import redact
from crowdmood.domain.messages import CameraStateName
from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.domain.override import Override, Overrides, read_all
from crowdmood.store.api_keys import KeyTable, read_table
from crowdmood.store.keys import StateKeys
from crowdmood.store.positions import Position, merged, order

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

START = b"0-0"
"""The position before the oldest mood, and before the oldest change."""


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
        keep: int,
        keep_s: float | None = None,
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
            keep: Number of the newest moods, and of the newest changes, that are kept.
            keep_s: Seconds after which moods and changes are deleted in any case; None for no bound.
            changes: New changes, oldest first.
            gone: Cameras whose rows are removed.
            lease: The right to write, where several processes may claim it: the transaction is then executed exactly
                once or not at all. None: there is no other writer.

        Raises:
            LeadershipLostError: Another process has acquired the lease.
        """
        moods, changes = self._marked(list(moods), list(changes))
        entries = [(self._keys.moods, mood.to_json()) for mood in moods]
        entries += [(self._keys.changes, change.to_json()) for change in changes]
        kept_from_ms = 0 if keep_s is None else max(0, round((time.time() - keep_s) * 1000))

        def queue(multi: Client) -> None:
            for key, text in entries:
                multi.xadd(key, {"run": run_id, "json": text}, maxlen=keep, approximate=True)
            for key in (self._keys.moods, self._keys.changes):
                multi.xtrim(key, minid=kept_from_ms, approximate=False)
            multi.set(self._keys.checkpoint(run_id), stored.to_json(checkpoint))
            for camera_id, known in cameras.items():
                multi.hset(self._keys.cameras, camera_id, stored.to_json(known))
            if gone:
                multi.hdel(self._keys.cameras, *gone)

        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                queue(multi)
                multi.execute()

        if lease is None:
            self.connection.call(transaction)
        else:
            lease.write(queue)

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

    def _newest(self, key: str) -> bytes:
        entries = self.connection.call(lambda client: client.xrevrange(key, "+", "-", 1))
        return bytes(entries[0][0]) if entries else START

    def _since(
        self, key: str, read: Callable[[bytes], T], position: bytes, count: int
    ) -> tuple[bytes, list[tuple[str, T]]]:
        entries: Any = self.connection.call(lambda client: client.xrange(key, b"(" + position, "+", count))
        found = [(_run(fields), item) for _, fields in entries if (item := _decoded(fields, read))]
        return (entries[-1][0] if entries else position), found


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
        self, count: int, before: bytes | None = None, run_id: str | None = None
    ) -> list[tuple[bytes, Mood | None]]:
        """Return the newest moods with their positions, newest first; only those before a position, if one is given.

        An entry that cannot be read, or is of another run than `run_id`, is None.
        """
        return await self._newest(self._keys.moods, Mood.from_json, count, before, run_id)

    async def newest_changes(
        self, count: int, before: bytes | None = None, run_id: str | None = None
    ) -> list[tuple[bytes, MoodChange | None]]:
        """Return the newest changes, as `newest` returns moods."""
        return await self._newest(self._keys.changes, MoodChange.from_json, count, before, run_id)

    async def mood_at(self, position: bytes) -> Mood | None:
        """Return the mood at a position; None when it has been deleted."""
        entries: Any = await self._guard(self._client.xrange(self._keys.moods, position, position))
        return _decoded(entries[0][1], Mood.from_json) if entries else None

    async def newest_position(self) -> Position:
        """Return the position after everything that was published, also if it has been deleted since."""
        streams = [await self._stream(key) for key in (self._keys.moods, self._keys.changes)]
        return Position(*(stream["last-generated-id"] if stream else START for stream in streams))

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
        keys: Any = {self._keys.moods: position.moods, self._keys.changes: position.changes}
        reply: Any = await self._guard(self._client.xread(keys, count=count, block=block_ms))
        pages = dict(reply or ())
        moods, changes = pages.get(self._keys.moods.encode(), []), pages.get(self._keys.changes.encode(), [])
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
        for key, entry in ((self._keys.moods, position.moods), (self._keys.changes, position.changes)):
            stream = await self._stream(key)
            if stream is None:
                continue
            trimmed = stream["entries-added"] > stream["length"]
            oldest = stream["first-entry"][0] if stream["first-entry"] else stream["last-generated-id"]
            if trimmed and order(oldest) > order(entry):
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

    async def _newest(
        self, key: str, read: Callable[[bytes], T], count: int, before: bytes | None, run_id: str | None
    ) -> list[tuple[bytes, T | None]]:
        end: Any = "+" if before is None else b"(" + before
        entries: Any = await self._guard(self._client.xrevrange(key, end, "-", count))
        return [
            (position, _decoded(fields, read) if run_id is None or fields.get(b"run") == run_id.encode() else None)
            for position, fields in entries
        ]

    async def _stream(self, key: str) -> dict[str, Any] | None:
        """Return the server's information on a stream; None before its first entry."""
        if not await self._guard(self._client.exists(key)):
            return None
        return dict(await self._guard(self._client.xinfo_stream(key)))

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
