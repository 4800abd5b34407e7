"""Messages between the stages: at least once, published and acknowledged in one transaction.

An entry is deleted when it is acknowledged, so a stream's length is what is still to be done, and frames live on the
bus only as long as somebody needs them.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import redis

from crowdmood import metrics
from crowdmood.errors import UndecodableError
from crowdmood.messages import PHOTO_CAMERA, Fields, FramesLost, Message, decode, frame_identity
from crowdmood.settings import BusSettings
from crowdmood.streams.connection import Client, Connection
from crowdmood.streams.keys import BusKeys, StreamName

T = TypeVar("T")
_SCAN_START = b"0-0"
_REPLY_TTL_MS = 10_000
"""An answer that nobody waits for any more is forgotten."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery of a message; it stays ours until it is acknowledged or somebody claims it.

    Attributes:
        stream: Where it came from.
        entry_id: Its id in that stream.
        fields: The raw message.
        deliveries: How often it has been delivered, this time included.
    """

    stream: StreamName
    entry_id: bytes
    fields: Fields
    deliveries: int = 1

    def message(self) -> Message:
        """The message in it.

        Raises:
            UndecodableError: There is none.
        """
        return decode(self.fields)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry to be given up.

    Attributes:
        entry: The entry.
        reason: A short, bounded word.
        detail: What was wrong, for people.
    """

    entry: Entry
    reason: str
    detail: str


class Bus:
    """The streams of one partition."""

    def __init__(self, url: str, settings: BusSettings, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "bus", stop)
        self.keys = BusKeys.of(settings)
        self._dead_letters_kept = settings.dead_letters_kept

    def publish(
        self,
        messages: Iterable[tuple[StreamName, Message]] = (),
        *,
        done: Iterable[Entry] = (),
        group: str = "",
        dead: Iterable[DeadLetter] = (),
        cursors: dict[str, tuple[str, int]] | None = None,
        patient: bool = True,
    ) -> None:
        """Publish results, acknowledge what they were made from and bury what is hopeless: all or nothing.

        Args:
            messages: Results, each with the stream it goes to.
            done: Entries that need no more work.
            group: The group that `done` and `dead` were delivered to.
            dead: Entries to give up: a dead letter without pixels is kept, and who waits for the frame is told.
            cursors: Camera to (run, frame): how far recorded footage is published with this.
            patient: Whether to wait while the bus is away.

        Raises:
            ServerUnavailableError: The bus is away and waiting was not wanted or was cut short.
        """
        additions = [self._addressed(name, message.to_fields()) for name, message in messages]
        finished = list(done)
        for letter in dead:
            finished.append(letter.entry)
            additions.append((self.keys.stream("dead"), _obituary(letter, group)))
            lost = _loss(letter)
            if lost is not None:
                additions.append(self._addressed("control", lost.to_fields()))

        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                for key, fields in additions:
                    bounded = self._dead_letters_kept if key == self.keys.stream("dead") else None
                    multi.xadd(key, fields, maxlen=bounded, approximate=False)
                    if key.startswith(self.keys.reply("")):
                        multi.pexpire(key, _REPLY_TTL_MS)
                for entry in finished:
                    key = self.keys.stream(entry.stream)
                    multi.xack(key, group, entry.entry_id)
                    multi.xdel(key, entry.entry_id)
                for camera_id, (run_id, frame_id) in (cursors or {}).items():
                    multi.hset(self.keys.cursors, camera_id, f"{run_id} {frame_id}")
                multi.execute()

        self.connection.call(transaction, patient=patient)

    def backlog(self, name: StreamName) -> int:
        """How many entries of a stream are still to be done."""
        entries = self.connection.call(lambda client: int(client.xlen(self.keys.stream(name))))
        metrics.STREAM_ENTRIES.labels(name).set(entries)
        return entries

    def cursor(self, camera_id: str, run_id: str) -> int:
        """The last frame of this run that was published, or -1."""
        value = self.connection.call(lambda client: client.hget(self.keys.cursors, camera_id))
        stored_run, _, frame_id = (value or b"").decode().partition(" ")
        return int(frame_id) if stored_run == run_id else -1

    def beat(self, stage: str, worker: str, ttl_s: float, using: str = "") -> None:
        """Say that a worker is ready and works, and with what; said again before `ttl_s` seconds are over."""
        key = self.keys.health(stage, worker)
        self.connection.call(lambda client: client.set(key, using.encode(), px=int(ttl_s * 1000)))

    def silence(self, stage: str, worker: str) -> None:
        """Say that a worker has stopped."""
        self.connection.call(lambda client: client.delete(self.keys.health(stage, worker)), patient=False)

    def healthy_workers(self, stage: str) -> list[str]:
        """Names of the workers of a stage that are ready and work."""
        return list(self.workers_using(stage))

    def workers_using(self, stage: str) -> dict[str, str]:
        """Workers of a stage that are ready and work, and what each works with."""

        def ask(client: Client) -> list[tuple[bytes, bytes | None]]:
            keys = sorted(client.scan_iter(match=self.keys.health(stage), count=1000))
            return list(zip(keys, client.mget(keys), strict=True)) if keys else []

        found = self.connection.call(ask, patient=False)
        return {key.decode().rpartition(":")[2]: using.decode() for key, using in found if using is not None}

    def close(self) -> None:
        """Give the sockets back."""
        self.connection.close()

    def _addressed(self, name: StreamName, fields: Fields) -> tuple[str, Fields]:
        """Where a message goes: what the aggregator would hear about a photo goes to whoever asked about it."""
        if name in ("emotions", "control") and fields[b"camera_id"] == PHOTO_CAMERA.encode():
            return self.keys.reply(fields[b"run_id"].decode()), fields
        return self.keys.stream(name), fields


class Inbox:
    """Reads streams as one consumer of a group; first what was its own before a restart.

    Besides new entries it claims, now and then, those that a dead consumer left behind.

    Args:
        bus: Where to read.
        streams: What to read.
        group: The stage's consumer group.
        consumer: Name of this worker; the same name after a restart finds its own unfinished entries.
        settings: When entries are claimed.
        claims: Whether to claim at all.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        bus: Bus,
        streams: Sequence[StreamName],
        group: str,
        consumer: str,
        settings: BusSettings,
        *,
        claims: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.group = group
        self.claimed = 0
        self._bus = bus
        self._names = {bus.keys.stream(name).encode(): name for name in streams}
        self._consumer = consumer
        self._claim_idle_ms = int(settings.claim_idle_s * 1000)
        self._clock = clock
        self._next_claim = clock() + settings.claim_idle_s if claims else math.inf
        self._redelivered_at_once = 1 if claims else None
        self._claim_cursors = dict.fromkeys(self._names, _SCAN_START)
        self._outages = bus.connection.outages
        self._own_cursors: dict[bytes, bytes] = dict.fromkeys(self._names, _SCAN_START)

    def read(self, count: int, block_ms: int) -> list[Entry]:
        """The next entries.

        Args:
            count: At most this many of each stream.
            block_ms: Longest wait for a first one, in milliseconds; 0 does not wait.

        Returns:
            Up to `count` entries of each stream, oldest first; empty when nothing came. What was delivered before
            comes one entry at a time, so that one that kills its worker takes no other down with it.

        Raises:
            ServerUnavailableError: The bus is away and we must stop.
        """
        if self._outages != self._bus.connection.outages:
            # The answer that an outage cut off may have held entries that are ours now.
            self._outages = self._bus.connection.outages
            self._own_cursors = dict.fromkeys(self._names, _SCAN_START)
        if self._own_cursors and (own := self._read_own(self._redelivered_at_once or count)):
            return own
        if self._clock() >= self._next_claim and (claimed := self._claim()):
            return claimed
        wanted = dict.fromkeys(self._names, b">")
        reply = self._call(
            lambda client: client.xreadgroup(self.group, self._consumer, wanted, count=count, block=block_ms or None)
        )
        return [entry for key, entries in _pairs(reply) for entry in self._entries(key, entries)]

    def take_everything(self) -> None:
        """Make every entry that any consumer of the group holds ours: a new leader starts from all of them.

        Done again now and then: whoever led before may have read on before it knew.
        """
        for key in self._names:
            if self._held_by_others(key):
                self._take_all(key)
                self._own_cursors[key] = _SCAN_START

    def idle(self) -> bool:
        """Whether there is nothing left to read nor anything in anybody's hands."""
        return all(self._bus.backlog(name) == 0 for name in self._names.values())

    def leave(self) -> None:
        """Forget this consumer, so that names do not pile up; not while it still holds entries."""
        for key in self._names:
            self._call(partial(self._leave, key))

    def _read_own(self, count: int) -> list[Entry]:
        """Entries delivered to this consumer before it was restarted."""
        found: list[Entry] = []
        reply = self._call(
            lambda client: client.xreadgroup(self.group, self._consumer, dict(self._own_cursors), count=count)
        )
        seen = dict(_pairs(reply))
        for key in list(self._own_cursors):
            entries = seen.get(key, [])
            if not entries:
                del self._own_cursors[key]
                continue
            self._own_cursors[key] = entries[-1][0]
            found += self._entries(key, entries, redelivered=True)
        return found

    def _claim(self) -> list[Entry]:
        """An entry of each stream that some consumer took and has not finished for too long."""
        found: list[Entry] = []
        for key in self._names:
            cursor, entries = self._autoclaim(key, self._claim_idle_ms, self._claim_cursors[key], 1)
            self._claim_cursors[key] = cursor
            found += self._entries(key, entries, redelivered=True)
        scanned = all(cursor == _SCAN_START for cursor in self._claim_cursors.values())
        if scanned and not found:
            self._next_claim = self._clock() + self._claim_idle_ms / 2000
        self.claimed += len(found)
        return found

    def _held_by_others(self, key: bytes) -> bool:
        held = self._call(lambda client: client.xpending(key, self.group))
        return any(row["name"] != self._consumer.encode() for row in held["consumers"])

    def _take_all(self, key: bytes) -> None:
        cursor, _ = self._autoclaim(key, 0, _SCAN_START, 1000)
        while cursor != _SCAN_START:
            cursor, _ = self._autoclaim(key, 0, cursor, 1000)

    def _autoclaim(self, key: bytes, idle_ms: int, cursor: bytes, count: int) -> tuple[bytes, list[Any]]:
        def claim(client: Client) -> tuple[bytes, list[Any]]:
            reply = client.xautoclaim(key, self.group, self._consumer, idle_ms, cursor, count=count)
            return reply[0], reply[1]

        return self._call(claim)

    def _leave(self, key: bytes, client: Client) -> None:
        if not client.xpending_range(key, self.group, "-", "+", 1, consumername=self._consumer):
            client.xgroup_delconsumer(key, self.group, self._consumer)

    def _entries(self, key: bytes, raw: Iterable[Any], *, redelivered: bool = False) -> list[Entry]:
        # An entry deleted while it was pending comes without fields: there is nothing left to do for it.
        present = [(entry_id, fields) for entry_id, fields in raw if fields]
        times = self._deliveries(key, [entry_id for entry_id, _ in present]) if redelivered else {}
        return [Entry(self._names[key], entry_id, fields, times.get(entry_id, 1)) for entry_id, fields in present]

    def _deliveries(self, key: bytes, ids: list[bytes]) -> dict[bytes, int]:
        def ask(client: Client) -> list[Any]:
            with client.pipeline(transaction=False) as pipeline:
                for entry_id in ids:
                    pipeline.xpending_range(key, self.group, entry_id, entry_id, 1)
                return list(pipeline.execute())

        replies = self._call(ask) or []
        return {row["message_id"]: int(row["times_delivered"]) for rows in replies for row in rows}

    def _call(self, operation: Callable[[Client], T]) -> T:
        """Run an operation; a group or stream that the server lost is made again, from the stream's start."""

        def with_groups(client: Client) -> T:
            try:
                return operation(client)
            except redis.ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                self._create_groups(client)
                return operation(client)

        return self._bus.connection.call(with_groups)

    def _create_groups(self, client: Client) -> None:
        for key in self._names:
            try:
                client.xgroup_create(key, self.group, id="0", mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise


def _pairs(reply: Any) -> list[tuple[bytes, list[Any]]]:
    """The reply of XREADGROUP as (stream, entries), whether the client speaks RESP 2 or 3."""
    if not reply:
        return []
    if isinstance(reply, dict):
        return [(key, [entry for batch in batches for entry in batch]) for key, batches in reply.items()]
    return [(key, entries) for key, entries in reply]


def _obituary(letter: DeadLetter, group: str) -> Fields:
    """A dead letter: everything that helps to find the cause, and no pixels."""
    kept = (b"kind", b"camera_id", b"run_id", b"frame_id", b"captured_at_ms", b"width", b"height")
    fields = {name: letter.entry.fields[name][:256] for name in kept if name in letter.entry.fields}
    return fields | {
        b"stage": group.encode(),
        b"stream": letter.entry.stream.encode(),
        b"reason": letter.reason.encode(),
        b"detail": letter.detail.encode()[:500],
        b"deliveries": b"%d" % letter.entry.deliveries,
    }


def _loss(letter: DeadLetter) -> FramesLost | None:
    """What to tell those who wait for the frame; None when the entry does not even say which frame it was."""
    try:
        camera_id, run_id, frame_id = frame_identity(letter.entry.fields)
    except UndecodableError:
        return None
    return FramesLost(camera_id, run_id, frame_id, frame_id, letter.reason)
