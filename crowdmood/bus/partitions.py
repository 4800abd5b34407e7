"""All partitions of the bus at once, for the aggregator: each has a thread of its own, so that it fails on its own."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.keys import StreamName
from crowdmood.bus.streams import Bus, DeadLetter, Entry
from crowdmood.core.errors import ServerUnavailableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Message

T = TypeVar("T")

_BLOCK_MS = 50
"""Longest wait of a partition's thread for entries, in milliseconds; then it acknowledges."""

_UNREACHABLE_AFTER_S = 3.0
"""A partition that has not replied for so long is unreachable."""

_LEAVE_WITHIN_S = 5.0


@dataclass(slots=True)
class _Outbox:
    """What is still to be written to a partition, merged while the partition is unreachable."""

    done: list[Entry] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    needed: dict[str, tuple[str, int]] = field(default_factory=dict)
    queued: bool = False


class AllPartitions(Bus):
    """Every partition, each with a connection and a thread of its own; no call waits for a partition.

    Operations of one partition are executed in the order in which they were submitted.

    Attributes:
        own: The configured partition, for what concerns no camera.
    """

    def __init__(self, url: str, settings: BusSettings, stop: threading.Event | None = None) -> None:
        super().__init__(url, settings, stop)
        self.partitions = [
            self if number == settings.partition else Bus(url, settings.model_copy(update={"partition": number}), stop)
            for number in range(settings.partitions)
        ]
        self._threads = [ThreadPoolExecutor(1, f"partition-{number}") for number in range(settings.partitions)]
        self._outboxes = [_Outbox() for _ in self.partitions]
        self._lock = threading.Lock()
        self._writes: dict[int, Future[None]] = {}
        self._beat: Future[None] | None = None
        self.own = settings.partition

    def submit(self, number: int, operation: Callable[[], T]) -> Future[T]:
        """Execute an operation in the thread of a partition."""
        return self._threads[number].submit(operation)

    def publish(
        self,
        messages: Iterable[tuple[StreamName, Message]] = (),
        *,
        done: Iterable[Entry] = (),
        group: str = "",
        dead: Iterable[DeadLetter] = (),
        cursors: Mapping[str, tuple[str, int]] | None = None,
        needed: Mapping[str, tuple[str, int]] | None = None,
        drop: Iterable[tuple[StreamName, bytes]] = (),
        when_full: Callable[[], object] | None = None,
        patient: bool = True,
    ) -> list[bytes]:
        """Acknowledge and give up entries as `Bus.publish` does, soon, in one transaction for each partition.

        A partition that is unreachable gets everything in one transaction when it is back. Messages and cursors are
        published at once, in the configured partition.

        Returns:
            The ids of the messages.

        Raises:
            ServerUnavailableError: An earlier write failed because the process stops.
            SettingsError: The server of an earlier write refuses the login, or the user lacks a permission.
        """
        messages = list(messages)
        ids: list[bytes] = []
        if messages or cursors:
            ids = super().publish(messages, cursors=cursors, drop=drop, when_full=when_full, patient=patient)
        with self._lock:
            for entry in done:
                self._outboxes[entry.partition].done.append(entry)
            for letter in dead:
                self._outboxes[letter.entry.partition].dead.append(letter)
            for number, outbox in enumerate(self._outboxes):
                outbox.needed.update(needed or {})
                if not outbox.queued and (outbox.done or outbox.dead or (outbox.needed and number == self.own)):
                    outbox.queued = True
                    self._queue_write(number, group)
        return ids

    def beat(self, stage: str, worker: str, ttl_s: float, using: str = "") -> None:
        """Write a worker's heartbeat in the configured partition, as soon as that is reachable."""
        if self._beat is None or self._beat.done():
            self._beat = self.submit(self.own, partial(super().beat, stage, worker, ttl_s, using))

    def end_heartbeat(self, stage: str, worker: str) -> None:
        """Delete the heartbeat of a worker that stops."""
        ended = self.submit(self.own, partial(super().end_heartbeat, stage, worker))
        with suppress(TimeoutError):
            ended.result(_LEAVE_WITHIN_S)

    def close(self) -> None:
        """End the threads and close the sockets."""
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)
        for bus in self.partitions:
            bus.connection.close()

    def _queue_write(self, number: int, group: str) -> None:
        last = self._writes.get(number)
        if last is not None and last.done():
            last.result()
        self._writes[number] = self.submit(number, partial(self._write, number, group))

    def _write(self, number: int, group: str) -> None:
        with self._lock:
            outbox, self._outboxes[number] = self._outboxes[number], _Outbox()
        bus = self.partitions[number]
        Bus.publish(bus, done=outbox.done, group=group, dead=outbox.dead, needed=outbox.needed)


class Inboxes:
    """One inbox for each partition of a bus, read as one; a partition that is unreachable does not delay the others.

    Args:
        bus: The bus to read.
        streams: The streams to read.
        group: The stage's consumer group.
        consumer: Name of this worker.
        settings: Says after how long entries are claimed.
        claims: Whether to claim entries of other consumers.
        background: Streams of which entries are read only while `streams` have none.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        bus: AllPartitions,
        streams: Sequence[StreamName],
        group: str,
        consumer: str,
        settings: BusSettings,
        *,
        claims: bool = True,
        background: Sequence[StreamName] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._each = [
            Inbox(one, streams, group, consumer, settings, claims=claims, background=background)
            for one in bus.partitions
        ]
        self._reads: dict[int, tuple[float, Future[list[Entry]]]] = {}
        self._claims: dict[int, Future[None]] = {}

    def read(self, count: int, block_ms: int) -> list[Entry]:
        """Return the next entries of the partitions that reply.

        Args:
            count: Most entries of each stream.
            block_ms: Longest wait for a first entry, in milliseconds.

        Raises:
            ServerUnavailableError: A partition is unreachable, and the process stops.
        """
        for number, inbox in enumerate(self._each):
            if number not in self._reads:
                read = partial(inbox.read, count, min(block_ms, _BLOCK_MS))
                self._reads[number] = self._clock(), self._bus.submit(number, read)
        wait([read for _, read in self._reads.values()], block_ms / 1000, FIRST_COMPLETED)
        arrived = [number for number, (_, read) in self._reads.items() if read.done()]
        return [entry for number in arrived for entry in self._reads.pop(number)[1].result()]

    def needed(self, field: str, run_id: str) -> int:
        """Return a field of the hash `needed` of the configured partition; -1 if it is unknown or unreachable."""
        with suppress(TimeoutError):
            return self._bus.submit(self._bus.own, partial(self._bus.needed, field, run_id)).result(_LEAVE_WITHIN_S)
        return -1

    def unreachable(self) -> frozenset[int]:
        """Return the partitions that have not replied for some seconds."""
        limit = self._clock() - _UNREACHABLE_AFTER_S
        return frozenset(number for number, (since, _) in self._reads.items() if since < limit)

    def claim_all(self) -> None:
        """Claim the pending entries of every other consumer of the group, before the next read of each partition."""
        for number, inbox in enumerate(self._each):
            last = self._claims.get(number)
            if last is not None:
                if not last.done():
                    continue
                last.result()
            self._claims[number] = self._bus.submit(number, inbox.claim_all)

    def idle(self) -> bool:
        """Return whether the streams are empty: no entry is unread or pending."""
        return all(inbox.idle() for inbox in self._each)

    def leave(self) -> None:
        """Delete this consumer from the groups in which it has no pending entries, after everything is acknowledged."""
        leaving: list[Future[Any]] = [self._bus.submit(n, inbox.leave) for n, inbox in enumerate(self._each)]
        for left in wait(leaving, _LEAVE_WITHIN_S).done:
            with suppress(ServerUnavailableError):
                left.result()


Reader: TypeAlias = Inbox | Inboxes
"""The inbox of a stage: of one partition or of all."""
