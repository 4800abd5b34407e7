"""Moods, cameras and the aggregator's checkpoint in the state store."""

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import redis
import redis.asyncio

from crowdmood.errors import ServerUnavailableError, SettingsError, UndecodableError
from crowdmood.logs import redact
from crowdmood.mood import Mood
from crowdmood.streams.connection import Client, Connection
from crowdmood.streams.keys import StateKeys

log = logging.getLogger(__name__)

CameraTable: TypeAlias = dict[str, dict[str, Any]]
"""Camera to what is known of it, as `GET /cameras` tells it."""

START = b"0-0"
"""The position before the oldest mood."""


class MoodStore:
    """The writer's and replay's view; synchronous."""

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
    ) -> None:
        """Write moods, the checkpoint after them and the cameras' table: all or nothing.

        Args:
            moods: New moods, oldest first.
            run_id: The run they belong to.
            checkpoint: Where the aggregator of this run would go on.
            cameras: What is known of each camera.
            keep: How many of the newest moods are kept.
        """
        entries = [{"run": run_id, "json": mood.to_json()} for mood in moods]

        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                for entry in entries:
                    multi.xadd(self._keys.moods, entry, maxlen=keep, approximate=True)
                multi.set(self._keys.checkpoint(run_id), json.dumps(checkpoint))
                for camera_id, known in cameras.items():
                    multi.hset(self._keys.cameras, camera_id, json.dumps(known))
                multi.execute()

        self.connection.call(transaction)

    def checkpoint(self, run_id: str) -> dict[str, Any] | None:
        """Where the aggregator of this run would go on; None when there was none."""
        value: Any = self.connection.call(lambda client: client.get(self._keys.checkpoint(run_id)))
        return None if value is None else dict(json.loads(value))

    def cameras(self) -> CameraTable:
        """What is known of each camera."""
        return _cameras(self.connection.call(lambda client: client.hgetall(self._keys.cameras)))

    def newest_position(self) -> bytes:
        """The position of the newest mood; moods after it are new."""
        entries = self.connection.call(lambda client: client.xrevrange(self._keys.moods, "+", "-", 1))
        return bytes(entries[0][0]) if entries else START

    def since(self, position: bytes, count: int = 1000) -> tuple[bytes, list[tuple[str, Mood]]]:
        """Moods after a position, oldest first, each with its run; and the position after them."""
        entries: Any = self.connection.call(lambda client: client.xrange(self._keys.moods, b"(" + position, "+", count))
        moods = [(fields[b"run"].decode(), mood) for _, fields in entries if (mood := _decoded(fields))]
        return (entries[-1][0] if entries else position), moods

    def close(self) -> None:
        """Give the sockets back."""
        self.connection.close()


class MoodReader:
    """The API's view; asynchronous and read-only."""

    def __init__(self, url: str, key_prefix: str) -> None:
        try:
            self._client = redis.asyncio.Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=5.0)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"{redact(url)!r} is no server address: use redis://, rediss:// or unix://") from error
        self._keys = StateKeys(key_prefix)

    async def ping(self) -> None:
        """Return when the store answers.

        Raises:
            ServerUnavailableError: It does not.
        """
        try:
            await self._client.ping()
        except (redis.RedisError, OSError) as error:
            raise ServerUnavailableError(f"the state server cannot be reached: {error}") from None

    async def newest(self, count: int, before: bytes | None = None) -> list[tuple[bytes, Mood | None]]:
        """The newest moods (older than a position, where one is given) with their positions, newest first.

        None stands for an entry that is no mood that we can read.
        """
        end: Any = "+" if before is None else b"(" + before
        entries: Any = await self._guard(self._client.xrevrange(self._keys.moods, end, "-", count))
        return [(position, _decoded(fields)) for position, fields in entries]

    async def follow(self, position: bytes, block_ms: int) -> list[tuple[bytes, Mood | None]]:
        """Moods after a position, oldest first; waits up to `block_ms` milliseconds for a first one.

        None stands for an entry that is no mood that we can read.
        """
        reply: Any = await self._guard(self._client.xread({self._keys.moods: position}, count=1000, block=block_ms))
        entries = next(iter(reply.values()))[0] if isinstance(reply, dict) and reply else []
        if isinstance(reply, list) and reply:
            entries = reply[0][1]
        return [(entry_id, _decoded(fields)) for entry_id, fields in entries]

    async def cameras(self) -> CameraTable:
        """What is known of each camera."""
        return _cameras(await self._guard(self._client.hgetall(self._keys.cameras)))

    async def close(self) -> None:
        """Give the sockets back."""
        await self._client.aclose()

    async def _guard(self, command: Any) -> Any:
        try:
            return await command
        except (redis.RedisError, OSError) as error:
            raise ServerUnavailableError(f"the state server cannot be reached: {error}") from None


def published_at_ms(position: bytes) -> int:
    """Wall-clock time at which the mood at this position was published, in milliseconds since 1970-01-01 UTC."""
    return int(position.partition(b"-")[0])


def _decoded(fields: Mapping[bytes, bytes]) -> Mood | None:
    try:
        return Mood.from_json(fields.get(b"json", b""))
    except UndecodableError as error:
        log.warning("passed over an entry of the mood stream: %s", error)
        return None


def _cameras(raw: Any) -> CameraTable:
    return {camera_id.decode(): json.loads(known) for camera_id, known in sorted(raw.items())}
