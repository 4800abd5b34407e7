"""The loop of every stage that reads the bus.

It has three nested levels, each testable alone: `Worker.run` starts and closes the stage, `Worker.loop` repeats, and
`Worker.poll` is one iteration.
"""

import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.keys import StreamName
from crowdmood.bus.partitions import AllPartitions, Inboxes, Reader
from crowdmood.bus.streams import Bus, DeadLetter, Entry
from crowdmood.core import metrics
from crowdmood.core.errors import ServerUnavailableError, UndecodableError
from crowdmood.core.health import READINESS, READY_FOR_S, WATCHDOG
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import FramesLost, Message

log = logging.getLogger(__name__)
M = TypeVar("M")
"""The messages that a stage accepts."""

_BEAT_EVERY_S = 2.0
_BLOCK_MS = 500
"""Longest wait for entries, in milliseconds; after it the loop checks whether to stop and renews the heartbeat."""

_ROOM_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a batch; it takes effect in one transaction.

    Attributes:
        publish: Results, each with its stream.
        done: Entries that need no more work; they may be from earlier batches.
        dead: Entries that cannot be processed.
        needed: Camera to (run, frame): the first frame that is still needed.
    """

    publish: Sequence[tuple[StreamName, Message]] = ()
    done: Sequence[Entry] = ()
    dead: Sequence[DeadLetter] = ()
    needed: Mapping[str, tuple[str, int]] = field(default_factory=dict)


class Stage(ABC, Generic[M]):
    """A stage that reads the bus; subclasses do its work.

    Attributes:
        name: Name of the stage, of its consumer group and in metrics.
        inputs: Streams to read.
        background: Streams to read only while `inputs` have no entries.
        accepts: Messages to accept; entries with others become dead letters.
        output: Stream that must have room before the stage reads more; None if there is no limit.
        drops: Whether the oldest live messages of the output are dropped when it has no room.
        read_count: Most entries of a stream in one read.
        batch_wait_ms: Longest wait for more entries after a first one, in milliseconds.
        claims: Whether to claim entries that other workers of the stage left pending.
        pending: Whether the stage works on a batch whose outcome the next call of `handle` returns.
    """

    name: ClassVar[str]
    inputs: ClassVar[tuple[StreamName, ...]]
    background: ClassVar[tuple[StreamName, ...]] = ()
    accepts: ClassVar[tuple[type[Any], ...]]
    output: ClassVar[StreamName | None]
    drops: ClassVar[bool] = False
    claims: ClassVar[bool] = True
    read_count: int = 1
    batch_wait_ms: int = 0
    pending: bool = False

    def start(self, inbox: Reader) -> None:
        """Prepare for work, for example load a model. The worker is healthy only after this."""

    @abstractmethod
    def handle(self, work: Sequence[tuple[Entry, M]]) -> Outcome:
        """Process a batch and return its outcome. The batch is empty if no entry arrived for a while.

        An exception is a bug: the process ends and is restarted.
        """

    def full(self, entries: Sequence[Entry]) -> bool:
        """Return whether a batch needs no more entries."""
        return len(entries) >= self.read_count

    def using(self) -> str:
        """Return what to show beside the worker's name, for example its model; may be empty."""
        return ""

    def summary(self) -> str:
        """Return the stage's part of the line that is logged when the worker stops."""
        return ""

    def close(self) -> None:
        """Release what `start` acquired."""


class Worker:
    """One process of a stage.

    Args:
        stage: The stage.
        bus: The bus to read and write.
        settings: Settings of the bus.
        name: Name of the worker, the same after a restart.
        stop: Set when the worker is to stop.
        consumer: Name in the consumer group, if another process can have the worker's name at the same time; default
            `name`.
    """

    def __init__(
        self,
        stage: Stage[Any],
        bus: Bus,
        settings: BusSettings,
        name: str,
        stop: threading.Event,
        consumer: str | None = None,
    ) -> None:
        self.stage = stage
        self.name = name
        self.stop = stop
        self.finished = 0
        self._bus = bus
        self._settings = settings
        self._heartbeat = Heartbeat(bus, stage.name, name)
        # Losses of dropped messages; they are published with the next outcome.
        self._losses: list[FramesLost] = []
        read = stage.inputs, stage.name, consumer or name, settings
        self._inbox = (
            Inboxes(bus, *read, claims=stage.claims, background=stage.background)
            if isinstance(bus, AllPartitions)
            else Inbox(bus, *read, claims=stage.claims, background=stage.background)
        )

    def run(self, *, drain: bool = False) -> None:
        """Start the stage, process entries until `stop` is set, and close the stage.

        Args:
            drain: Stop also when no entries are left.
        """
        started = time.monotonic()
        self.start()
        log.info("%s %s is ready", self.stage.name, self.name)
        try:
            self.loop(drain=drain)
            self._finish()
            self._inbox.leave()
        except ServerUnavailableError as error:
            if not self.stop.is_set():
                raise
            log.warning("stopping without the bus: %s", error)
        finally:
            self.stage.close()
            self._heartbeat.stop()
            log.info(
                "%s %s stops after %.1f s: %d messages%s",
                self.stage.name,
                self.name,
                time.monotonic() - started,
                self.finished,
                f", {text}" if (text := self.stage.summary()) else "",
            )

    def start(self) -> None:
        """Get the stage ready for work."""
        self.stage.start(self._inbox)

    def loop(self, *, drain: bool = False) -> None:
        """Poll until `stop` is set or, with `drain`, until no entries are left."""
        while not self.stop.is_set():
            self._heartbeat.beat(self.stage.using())
            worked = self.poll()
            if drain and not worked and self._inbox.idle():
                return

    def poll(self, block_ms: int = _BLOCK_MS) -> int:
        """Wait for room in the output, read a batch, process it, and publish its outcome.

        Returns:
            The number of entries read.
        """
        if not self._wait_for_room():
            return 0
        entries = self._gather(block_ms)
        self._work(*self._decode(entries))
        if _redelivered(entries):
            self._finish()
        return len(entries)

    def _work(self, work: Sequence[tuple[Entry, Message]], dead: Sequence[DeadLetter] = ()) -> None:
        was_pending = self.stage.pending
        started = time.perf_counter()
        outcome = self.stage.handle(work)
        if was_pending or (work and not self.stage.pending):
            metrics.WORK_SECONDS.labels(self.stage.name).observe(time.perf_counter() - started)
        letters = [*dead, *outcome.dead]
        losses = list(self._losses)
        if outcome.publish or outcome.done or outcome.needed or letters or losses:
            self._bus.publish(
                [*outcome.publish, *(("control", loss) for loss in losses)],
                done=outcome.done,
                dead=letters,
                group=self.stage.name,
                needed=outcome.needed,
                when_full=self._drop if self.stage.drops else None,
            )
            del self._losses[: len(losses)]
        for letter in letters:
            metrics.DEAD_LETTERS.labels(self.stage.name, letter.reason).inc()
            log.warning("%s: gave up a message of %s: %s", self.stage.name, letter.entry.stream, letter.detail)
        self.finished += len(outcome.done)
        metrics.MESSAGES.labels(self.stage.name).inc(len(outcome.done))

    def _finish(self) -> None:
        """Publish the outcome of a pending batch."""
        if self.stage.pending:
            self._work([])

    def _gather(self, block_ms: int) -> list[Entry]:
        entries = self._inbox.read(self.stage.read_count, 0 if self.stage.pending else block_ms)
        # A pending batch may wait for the next one only if that is full already.
        if _redelivered(entries) or not self.stage.full(entries):
            self._finish()
        deadline = time.monotonic() + self.stage.batch_wait_ms / 1000
        if _redelivered(entries):
            return entries
        while entries and not self.stage.full(entries) and not self.stop.is_set():
            left_ms = int((deadline - time.monotonic()) * 1000)
            if left_ms <= 0:
                break
            entries += self._inbox.read(self.stage.read_count, min(left_ms, _BLOCK_MS))
        # After an outage the inbox returns entries again that it returned before.
        return list({entry.identity: entry for entry in entries}.values())

    def _decode(self, entries: Sequence[Entry]) -> tuple[list[tuple[Entry, Message]], list[DeadLetter]]:
        work: list[tuple[Entry, Message]] = []
        dead: list[DeadLetter] = []
        for entry in entries:
            if self.stage.claims and entry.deliveries > self._settings.max_deliveries:
                tries = entry.deliveries - 1
                dead.append(
                    DeadLetter(entry, "max_deliveries", f"it was delivered to {tries} workers, none finished it")
                )
                continue
            try:
                message = entry.message()
                if not isinstance(message, self.stage.accepts):
                    raise UndecodableError(f"a {message.KIND.decode()} message does not belong here", "misplaced")
                work.append((entry, message))
            except UndecodableError as error:
                dead.append(DeadLetter(entry, error.reason, str(error)))
        metrics.CLAIMED.labels(self.stage.name).inc(sum(entry.deliveries > 1 for entry in entries))
        return work, dead

    def _wait_for_room(self) -> bool:
        while not self._has_room():
            self._heartbeat.beat(self.stage.using())
            if self.stop.wait(_ROOM_POLL_S):
                return False
        return True

    def _has_room(self) -> bool:
        output = self.stage.output
        if output is None:
            return True
        most = self._settings.max_emotions if output == "emotions" else self._settings.max_backlog
        too_many = self._bus.unread(output).count + 1 - most
        return too_many <= 0 or (self.stage.drops and self._drop(too_many))

    def _drop(self, too_many: int = 1) -> bool:
        """Drop the oldest unread live messages of the output; return whether there were any."""
        assert self.stage.output is not None
        # An eighth more at once, so that few messages report the losses.
        losses = self._bus.drop_live(self.stage.output, too_many + self._settings.max_emotions // 8)
        self._losses += losses
        for loss in losses:
            metrics.FRAMES_LOST.labels(self.stage.name, loss.reason).inc(loss.last_frame_id + 1 - loss.first_frame_id)
        return bool(losses)


def _redelivered(entries: Sequence[Entry]) -> bool:
    """Return whether another worker has tried these entries before: they are processed without others."""
    return any(entry.deliveries > 1 for entry in entries)


class Heartbeat:
    """The heartbeat of a worker, on the bus and for /readyz."""

    def __init__(self, bus: Bus, stage: str, worker: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus, self._stage, self._worker, self._clock = bus, stage, worker, clock
        self._next = clock()

    def beat(self, using: str = "") -> None:
        """Write the heartbeat with the value of `Stage.using`, if the last one is older than two seconds.

        On an unreachable or full bus it is written later: reading must not wait for it.
        """
        WATCHDOG.renew()
        if self._clock() >= self._next:
            with contextlib.suppress(ServerUnavailableError):
                self._bus.beat(self._stage, self._worker, READY_FOR_S, using)
                READINESS.renew()
            self._next = self._clock() + _BEAT_EVERY_S

    def stop(self) -> None:
        """End the heartbeat; on an unreachable bus it expires instead."""
        READINESS.end()
        with contextlib.suppress(ServerUnavailableError):
            self._bus.end_heartbeat(self._stage, self._worker)
