"""The loop that every reading stage runs.

Three nested levels, each testable alone: `Worker.run` owns start and close, `Worker.loop` repeats, `Worker.poll`
is one turn.
"""

import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from crowdmood.bus.keys import StreamName
from crowdmood.bus.partitions import Inboxes
from crowdmood.bus.streams import Bus, DeadLetter, Entry
from crowdmood.core import metrics
from crowdmood.core.errors import ServerUnavailableError, UndecodableError
from crowdmood.core.health import READINESS, READY_FOR_S
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Message

log = logging.getLogger(__name__)
M = TypeVar("M")
"""The messages that a stage accepts."""

_BEAT_EVERY_S = 2.0
_BLOCK_MS = 500
"""Longest wait for the bus at once: so often we look whether to stop, and no answer is late."""

_ROOM_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage made of a batch; all of it takes effect at once.

    Attributes:
        publish: Results, each with the stream it goes to.
        done: Entries that need no more work; not only of this batch.
        dead: Entries that can never be worked on.
        needed: Camera to (run, frame): from which frame on its footage is still needed.
    """

    publish: Sequence[tuple[StreamName, Message]] = ()
    done: Sequence[Entry] = ()
    dead: Sequence[DeadLetter] = ()
    needed: Mapping[str, tuple[str, int]] = field(default_factory=dict)


class Stage(ABC, Generic[M]):
    """What distinguishes one reading stage from another.

    Attributes:
        name: Name of the stage, of its consumer group and its metrics.
        inputs: Streams it reads.
        accepts: Messages that belong there; others are given up.
        output: The stream that must have room before it reads on; None when nothing waits behind it.
        read_count: Entries taken at once.
        batch_wait_ms: Longest wait for more entries after a first one, in milliseconds.
        claims: Whether it takes over what other workers of the stage left behind.
        in_hand: Whether it has begun on a batch whose outcome the next call of `handle` gives.
    """

    name: ClassVar[str]
    inputs: ClassVar[tuple[StreamName, ...]]
    accepts: ClassVar[tuple[type[Any], ...]]
    output: ClassVar[StreamName | None]
    claims: ClassVar[bool] = True
    read_count: int = 1
    batch_wait_ms: int = 0
    in_hand: bool = False

    def start(self, inbox: Inboxes) -> None:
        """Get ready for work (load a model, warm up); the worker counts as healthy only afterwards."""

    @abstractmethod
    def handle(self, work: Sequence[tuple[Entry, M]]) -> Outcome:
        """Work on a batch, which is empty when nothing came for a while.

        An exception other than those named here is a bug: the process dies and is restarted.
        """

    def full(self, entries: Sequence[Entry]) -> bool:
        """Whether a batch needs no more entries."""
        return len(entries) >= self.read_count

    def using(self) -> str:
        """What it works with, to be shown beside its name; empty where there is nothing to tell."""
        return ""

    def summary(self) -> str:
        """What to say of this worker's life when it stops."""
        return ""

    def close(self) -> None:
        """Give back what `start` took."""


class Worker:
    """One process of a stage.

    Args:
        stage: What it does.
        bus: Where it reads and writes.
        settings: Of the bus.
        name: Its name, the same after a restart.
        stop: Set when it is to stop.
        consumer: Who it is to the consumer group; its name, unless others may bear that at the same time.
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
        self._inbox = Inboxes(bus, stage.inputs, stage.name, consumer or name, settings, claims=stage.claims)

    def run(self, *, drain: bool = False) -> None:
        """Start, work until told to stop, close.

        Args:
            drain: Stop as well when there is nothing left to do.
        """
        started = time.monotonic()
        self.stage.start(self._inbox)
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

    def loop(self, *, drain: bool = False) -> None:
        """Poll until told to stop, or, draining, until there is nothing left."""
        while not self.stop.is_set():
            self._heartbeat.beat(self.stage.using())
            worked = self.poll()
            if drain and not worked and self._inbox.idle():
                return

    def poll(self, block_ms: int = _BLOCK_MS) -> int:
        """One turn: wait for room behind us, read a batch, work on it, publish and acknowledge what is done.

        Returns:
            How many entries were read.
        """
        if not self._wait_for_room():
            return 0
        entries = self._gather(block_ms)
        self._work(*self._decode(entries))
        if _redelivered(entries):
            self._finish()
        return len(entries)

    def _work(self, work: Sequence[tuple[Entry, Message]], dead: Sequence[DeadLetter] = ()) -> None:
        begun = self.stage.in_hand
        started = time.perf_counter()
        outcome = self.stage.handle(work)
        if begun or (work and not self.stage.in_hand):
            metrics.WORK_SECONDS.labels(self.stage.name).observe(time.perf_counter() - started)
        letters = [*dead, *outcome.dead]
        if outcome.publish or outcome.done or letters:
            self._bus.publish(
                outcome.publish, done=outcome.done, dead=letters, group=self.stage.name, needed=outcome.needed
            )
        for letter in letters:
            metrics.DEAD_LETTERS.labels(self.stage.name, letter.reason).inc()
            log.warning("%s: gave up a message of %s: %s", self.stage.name, letter.entry.stream, letter.detail)
        self.finished += len(outcome.done)
        metrics.MESSAGES.labels(self.stage.name).inc(len(outcome.done))

    def _finish(self) -> None:
        """Let the stage finish what it has in hand."""
        if self.stage.in_hand:
            self._work([])

    def _gather(self, block_ms: int) -> list[Entry]:
        entries = self._inbox.read(self.stage.read_count, 0 if self.stage.in_hand else block_ms)
        # A batch is begun before the last one is finished only where nothing has to wait for it.
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
        # An outage in between makes the inbox start over with what it gave us already.
        return list({entry.identity: entry for entry in entries}.values())

    def _decode(self, entries: Sequence[Entry]) -> tuple[list[tuple[Entry, Message]], list[DeadLetter]]:
        work: list[tuple[Entry, Message]] = []
        dead: list[DeadLetter] = []
        for entry in entries:
            if self.stage.claims and entry.deliveries > self._settings.max_deliveries:
                tries = entry.deliveries - 1
                dead.append(DeadLetter(entry, "max_deliveries", f"{tries} workers took it and none finished it"))
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
        if self.stage.output is None:
            return True
        while self._bus.backlog(self.stage.output) >= self._settings.max_backlog:
            self._heartbeat.beat(self.stage.using())
            if self.stop.wait(_ROOM_POLL_S):
                return False
        return True


def _redelivered(entries: Sequence[Entry]) -> bool:
    """Whether somebody has tried them before: such entries are worked on alone."""
    return any(entry.deliveries > 1 for entry in entries)


class Heartbeat:
    """Tells the bus and /readyz that a worker is ready and works: called as often as convenient, tells now and then."""

    def __init__(self, bus: Bus, stage: str, worker: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus, self._stage, self._worker, self._clock = bus, stage, worker, clock
        self._next = clock()

    def beat(self, using: str = "") -> None:
        """Tell it, and with what it works, if it is time again."""
        if self._clock() >= self._next:
            self._bus.beat(self._stage, self._worker, READY_FOR_S, using)
            READINESS.renew()
            self._next = self._clock() + _BEAT_EVERY_S

    def stop(self) -> None:
        """Tell that the worker has stopped; a bus that is away learns it when the key runs out."""
        READINESS.end()
        with contextlib.suppress(ServerUnavailableError):
            self._bus.silence(self._stage, self._worker)
