"""Read entries as one consumer of a group: new ones, its own unfinished ones, and those of dead consumers."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import redis

from crowdmood.bus.connection import Client
from crowdmood.bus.keys import StreamName
from crowdmood.bus.streams import Bus, Entry, create_group
from crowdmood.core.settings import BusSettings

T = TypeVar("T")
_SCAN_START = b"0-0"
_READ_IN_BETWEEN = 100_000
"""More entries than other consumers can read between two commands of this process."""
_GONE_AFTER_MS = 3_600_000
"""Time without a read after which a consumer is gone: a running one reads twice a second."""

_CLEAN_EVERY_S = 60.0
_LOST = ("NOGROUP", "no such key", "UNBLOCKED")
"""What servers say of a stream or group that is gone; the last one of a stream that was deleted during the wait."""


class Inbox:
    """Reads streams as one consumer of a group.

    It first returns entries that were delivered to the same consumer before a restart. From time to time it claims
    entries of other consumers that have been pending for too long.

    Args:
        bus: The bus to read.
        streams: The streams to read.
        group: The stage's consumer group.
        consumer: Name of this worker. It gets its own unfinished entries if it has the same name after a restart.
        settings: Says after how long entries are claimed.
        claims: Whether to claim entries of other consumers.
        background: Streams of which entries are read only while `streams` have none.
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
        background: Sequence[StreamName] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.group = group
        self.claimed = 0
        self._bus = bus
        self._names = {bus.keys.stream(name).encode(): name for name in (*streams, *background)}
        self._first = [bus.keys.stream(name).encode() for name in streams]
        self._background = frozenset(background)
        self._postponed: list[Entry] = []
        self._consumer = consumer
        self._claim_idle_ms = int(settings.claim_idle_s * 1000)
        self._clock = clock
        self._next_claim = clock() + settings.claim_idle_s if claims else math.inf
        self._redelivered_at_once = 1 if claims else None
        self._claim_cursors = dict.fromkeys(self._names, _SCAN_START)
        self._next_cleaning = clock() + _CLEAN_EVERY_S
        self._outages = bus.connection.outages
        self._own_cursors: dict[bytes, bytes] = dict.fromkeys(self._names, _SCAN_START)

    def read(self, count: int, block_ms: int) -> list[Entry]:
        """Return the next entries.

        Args:
            count: Most entries of each stream.
            block_ms: Longest wait for a first entry, in milliseconds; 0 does not wait.

        Returns:
            Up to `count` entries of each stream, oldest first; empty if none arrived. An entry that was delivered
            before is returned alone, so that an entry that crashes its worker takes no others with it.

        Raises:
            ServerUnavailableError: The bus is unreachable, and the process stops.
        """
        if self._outages != self._bus.connection.outages:
            # An outage may have cut off a reply with entries that now belong to this consumer.
            self._outages = self._bus.connection.outages
            self._own_cursors = dict.fromkeys(self._names, _SCAN_START)
            self._postponed = []
        if self._own_cursors and (own := self._read_own(self._redelivered_at_once or count)):
            return own
        if self._clock() >= self._next_claim and (claimed := self._claim()):
            return claimed
        if not self._background:
            return self._read_new(self._names, count, block_ms)
        if first := self._read_new(self._first, count, 0):
            return first
        if postponed := self._take_postponed():
            return postponed
        found = self._read_new(self._names, count, block_ms)
        later = [entry for entry in found if entry.stream in self._background]
        if len(later) == len(found):
            return later
        # Both came at the same moment: the background's wait until the others are done.
        self._postponed = later
        return [entry for entry in found if entry.stream not in self._background]

    def claim_all(self) -> None:
        """Claim the pending entries of every other consumer of the group; a new leader starts from all of them.

        Call it repeatedly: an earlier leader may read more entries before it notices that it lost the lead. The other
        consumers are deleted from the group; one that reads again reappears, and is claimed from at the next call.
        """
        for key in self._names:
            if others := self._other_consumers(key):
                self._call(partial(self._take_over, key, others))
                self._own_cursors[key] = _SCAN_START

    def needed(self, field: str, run_id: str) -> int:
        """Return a field of the hash `needed`; -1 if it is unknown."""
        return self._bus.needed(field, run_id)

    def unreachable(self) -> frozenset[int]:
        """Return no partition: `read` waits while the bus is unreachable."""
        return frozenset()

    def idle(self) -> bool:
        """Return whether the streams are empty: no entry is unread or pending."""
        return all(self._bus.backlog(name) == 0 for name in self._names.values())

    def leave(self) -> None:
        """Delete this consumer from the group, unless it has pending entries; else names would accumulate."""
        for key in self._names:
            self._call(partial(self._leave, key))

    def _read_new(self, keys: Iterable[bytes], count: int, block_ms: int) -> list[Entry]:
        wanted = dict.fromkeys(keys, b">")
        reply = self._call(
            lambda client: client.xreadgroup(self.group, self._consumer, wanted, count=count, block=block_ms or None)
        )
        return [entry for key, entries in _pairs(reply) for entry in self._entries(key, entries)]

    def _take_postponed(self) -> list[Entry]:
        """Return what was postponed and is still on the bus: a photo is withdrawn when its client gives up."""
        postponed, self._postponed = self._postponed, []
        return [entry for entry in postponed if self._call(partial(self._is_there, entry))]

    def _is_there(self, entry: Entry, client: Client) -> bool:
        key = self._bus.keys.stream(entry.stream)
        if client.xrange(key, entry.entry_id, entry.entry_id):
            return True
        client.xack(key, self.group, entry.entry_id)
        return False

    def _read_own(self, count: int) -> list[Entry]:
        """Return entries that were delivered to this consumer before it restarted."""
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
        """Claim one entry of each stream that has been pending for too long, and return them."""
        found: list[Entry] = []
        for key in self._names:
            cursor, entries = self._autoclaim(key, self._claim_idle_ms, self._claim_cursors[key], 1)
            self._claim_cursors[key] = cursor
            found += self._entries(key, entries, redelivered=True)
        scanned = all(cursor == _SCAN_START for cursor in self._claim_cursors.values())
        if scanned and not found:
            self._next_claim = self._clock() + self._claim_idle_ms / 2000
            self._forget_dead_consumers()
        self.claimed += len(found)
        return found

    def _forget_dead_consumers(self) -> None:
        """Delete the names of consumers that are gone for long and hold nothing, such as those of former pods."""
        if self._clock() < self._next_cleaning:
            return
        self._next_cleaning = self._clock() + _CLEAN_EVERY_S
        longest_ms = max(_GONE_AFTER_MS, 10 * self._claim_idle_ms)
        for key in self._names:
            for row in self._call(partial(self._consumers, key)):
                if row["name"] != self._consumer.encode() and not row["pending"] and row["idle"] > longest_ms:
                    self._call(partial(self._delete_consumer, key, row["name"]))

    def _consumers(self, key: bytes, client: Client) -> list[Any]:
        return list(client.xinfo_consumers(key, self.group))

    def _delete_consumer(self, key: bytes, name: bytes, client: Client) -> None:
        client.xgroup_delconsumer(key, self.group, name)

    def _other_consumers(self, key: bytes) -> list[bytes]:
        known = self._call(lambda client: client.xinfo_consumers(key, self.group))
        return [row["name"] for row in known if row["name"] != self._consumer.encode()]

    def _take_over(self, key: bytes, others: Sequence[bytes], client: Client) -> None:
        # One transaction: deleting a consumer loses the entries that are still pending for it.
        held = client.xpending(key, self.group)["pending"]
        count = held + _READ_IN_BETWEEN
        with client.pipeline(transaction=True) as multi:
            multi.xautoclaim(key, self.group, self._consumer, 0, _SCAN_START, count=count, justid=True)
            for name in others:
                multi.xgroup_delconsumer(key, self.group, name)
            multi.execute()

    def _autoclaim(self, key: bytes, idle_ms: int, cursor: bytes, count: int) -> tuple[bytes, list[Any]]:
        def claim(client: Client) -> tuple[bytes, list[Any]]:
            reply = client.xautoclaim(key, self.group, self._consumer, idle_ms, cursor, count=count)
            return reply[0], reply[1]

        return self._call(claim)

    def _leave(self, key: bytes, client: Client) -> None:
        if not client.xpending_range(key, self.group, "-", "+", 1, consumername=self._consumer):
            client.xgroup_delconsumer(key, self.group, self._consumer)

    def _entries(self, key: bytes, raw: Iterable[Any], *, redelivered: bool = False) -> list[Entry]:
        # A pending entry that was deleted comes without fields, and needs no more work.
        present = [(entry_id, fields) for entry_id, fields in raw if fields]
        times = self._deliveries(key, [entry_id for entry_id, _ in present]) if redelivered else {}
        partition = self._bus.keys.partition
        return [
            Entry(self._names[key], entry_id, fields, times.get(entry_id, 1), partition) for entry_id, fields in present
        ]

    def _deliveries(self, key: bytes, ids: list[bytes]) -> dict[bytes, int]:
        def ask(client: Client) -> list[Any]:
            with client.pipeline(transaction=False) as pipeline:
                for entry_id in ids:
                    pipeline.xpending_range(key, self.group, entry_id, entry_id, 1)
                return list(pipeline.execute())

        replies = self._call(ask) or []
        return {row["message_id"]: int(row["times_delivered"]) for rows in replies for row in rows}

    def _call(self, operation: Callable[[Client], T]) -> T:
        """Run an operation; if the server lost the group or the stream, create it first, from the stream's start."""

        def with_groups(client: Client) -> T:
            try:
                return operation(client)
            except redis.ResponseError as error:
                if not any(lost in str(error) for lost in _LOST):
                    raise
                self._create_groups(client)
                return operation(client)

        return self._bus.connection.call(with_groups)

    def _create_groups(self, client: Client) -> None:
        for key in self._names:
            create_group(client, key, self.group)


def _pairs(reply: Any) -> list[tuple[bytes, list[Any]]]:
    """Return the reply of XREADGROUP as (stream, entries), for clients that speak RESP 2 or 3."""
    if not reply:
        return []
    if isinstance(reply, dict):
        return [(key, [entry for batch in batches for entry in batch]) for key, batches in reply.items()]
    return [(key, entries) for key, entries in reply]
