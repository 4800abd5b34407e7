"""The aggregator's process: reads emotions and control messages, publishes moods.

Entries stay unacknowledged until no window needs them, and the state store's checkpoint records which those are. They
are acknowledged once that checkpoint is durable. So a successor receives exactly the frames that it needs again, also
after a power cut, and each window is published once and is the same in any process. One aggregator leads and the others
stand by; writes, and acknowledgements after them, require the lease.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from aggregator.changes import Changes
from aggregator.checkpoint import check
from aggregator.ledger import Ledger
from aggregator.moods import Finding, Moods, unfit
from aggregator.windows import ClosedWindow, EventTimeWindows, Verdict, WindowPolicy
from crowdmood.bus.clock import BusClock
from crowdmood.bus.connection import Connection
from crowdmood.bus.keys import AGGREGATOR_GROUP, PUBLICATIONS, StreamName
from crowdmood.bus.lease import Lease
from crowdmood.bus.partitions import AllPartitions, Reader
from crowdmood.bus.streams import DeadLetter, Entry
from crowdmood.bus.worker import Heartbeat, Outcome, Stage, Worker
from crowdmood.core import metrics, stored
from crowdmood.core.errors import UndecodableError
from crowdmood.core.process import identity
from crowdmood.core.settings import STADIUM, AggregatorSettings, Settings, required_url
from crowdmood.domain.messages import CameraState, Emotions, FramesLost
from crowdmood.domain.mood import Mood
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import CameraTable, MoodStore

log = logging.getLogger(__name__)

_TABLE_EVERY_S = 1.0
_CLAIM_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Held:
    """A counted frame and its entry on the bus."""

    entry: Entry
    emotions: Emotions


class AggregatorStage(Stage[Emotions | FramesLost | CameraState]):
    """Closes windows over the frames of all cameras.

    Args:
        store: Receives the moods.
        lease: The right to write them.
        settings: Windows and thresholds.
        run_id: The run whose checkpoint is continued.
        expected: Configured cameras, each with whether it is recorded; if there are any, the table omits others.
        zones: Named sets of cameras that have their own mood.
        partitions: Number of partitions of the bus, to which the configured cameras are assigned in turn.
        clocks: The clock of each partition's server; live frames count by that of the first. None: as they are stamped.
        clock: Monotonic time in seconds; only used to publish `stale`, and for periodic tasks.
    """

    name: ClassVar[str] = AGGREGATOR_GROUP
    inputs: ClassVar[tuple[StreamName, ...]] = ("control", "emotions")
    accepts: ClassVar[tuple[type[Any], ...]] = (Emotions, FramesLost, CameraState)
    output: ClassVar[StreamName | None] = None
    claims: ClassVar[bool] = False
    read_count: int = 256

    def __init__(
        self,
        store: MoodStore,
        lease: Lease,
        settings: AggregatorSettings,
        run_id: str,
        expected: dict[str, bool],
        zones: Mapping[str, Sequence[str]] | None = None,
        partitions: int = 1,
        clocks: Sequence[BusClock] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._lease = lease
        self._settings = settings
        self._run_id = run_id
        self._clock = clock
        self._clocks = clocks
        self._max_ahead_ms = round(settings.max_ahead_s * 1000)
        self._ahead: set[str] = set()
        self._expected = expected
        self._partition_of = {camera_id: number % partitions for number, camera_id in enumerate(expected)}
        self._unreachable: frozenset[int] = frozenset()
        self._windows: EventTimeWindows[Held] = EventTimeWindows(
            WindowPolicy(
                window_ms=round(settings.window_s * 1000),
                hop_ms=round(settings.hop_s * 1000),
                allowed_lateness_ms=round(settings.allowed_lateness_s * 1000),
                idle_timeout_ms=round(settings.idle_timeout_s * 1000),
                max_wait_ms=round(settings.max_wait_s * 1000),
            ),
            expected,
        )
        self._moods = Moods(settings, zones)
        self._changes = Changes(settings)
        self._ledger = Ledger(settings.min_faces)
        self._newest: list[Mood] = []
        self._silent_since = clock()
        # No longer needed; the next checkpoint covers them.
        self._unneeded: list[Entry] = []
        # Covered by a checkpoint, oldest first: number of the write, entries, first needed frames.
        self._covered: deque[tuple[int, list[Entry], dict[str, tuple[str, int]]]] = deque()
        self._publications = 0
        self._announced = False
        # Unacknowledged entries, which are delivered again after an outage of the bus and then ignored.
        self._unacknowledged: set[tuple[int, StreamName, bytes]] = set()
        self._table_changed = False
        self._table_written = clock()
        self._published = 0

    def start(self, inbox: Reader) -> None:
        """Continue the run where the previous leader stopped."""
        if checkpoint := self._checkpoint():
            self._windows.restore(checkpoint["windows"])
            self._ledger.restore(checkpoint["cameras"])
            self._changes.restore(checkpoint["changes"])
            self._publications = checkpoint.get("publications", 0)
            live = any(not run["recorded"] for run in checkpoint["windows"]["runs"])
            known = inbox.needed(PUBLICATIONS, self._run_id) if live else 0
            if known < 0 or known > self._publications:
                # The bus was emptied, or a newer checkpoint was lost: changes may have been published that are unknown.
                self._changes.skip_sequences()
            # Checkpoints of earlier releases have no figures: the first ones after them are new.
            self._moods.restore(checkpoint.get("figures", []))
            log.info("continuing the run %s from its checkpoint", self._run_id)
        inbox.claim_all()
        self._inbox, self._claimed_at = inbox, self._clock()

    def using(self) -> str:
        """Return `leading`, in contrast to processes that stand by."""
        return "leading"

    def handle(self, work: Sequence[tuple[Entry, Emotions | FramesLost | CameraState]]) -> Outcome:
        """Process new entries, publish the windows that they close, and release entries that no window needs.

        Raises:
            LeadershipLostError: Another aggregator leads.
        """
        self._lease.renew()
        if self._clock() >= self._claimed_at + _CLAIM_EVERY_S:
            self._inbox.claim_all()
            self._claimed_at = self._clock()
        self._notice_unreachable()
        self._windows.advance(self._clock() * 1000)
        self._forget_the_future()
        dead: list[DeadLetter] = []
        for entry, message in work:
            if entry.identity in self._unacknowledged:
                continue
            if isinstance(message, Emotions):
                verdict = self._observe(entry, self._on_common_time(message, entry.partition))
                if verdict == "impossible":
                    dead.append(DeadLetter(entry, "out_of_range", f"frame {message.ref.frame_id} is far ahead"))
                    continue
                if verdict not in ("counted", "returned"):
                    self._unneeded.append(entry)
            elif isinstance(message, FramesLost):
                self._lose(message)
                self._unneeded.append(entry)
            else:
                self._state(message)
                self._unneeded.append(entry)
            self._unacknowledged.add(entry.identity)
        findings = self._close_windows() or self._stale()
        released = self._windows.release()
        if findings or released or self._table_due() or (self._unneeded and not work):
            # A successor does not receive acknowledged entries: write the checkpoint with them first.
            self._publish(findings)
            done = [held.entry for held in released] + self._unneeded
            self._unneeded = []
            self._covered.append((self._lease.writes, done, self._windows.needed()))
            return self._acknowledge(dead, {PUBLICATIONS: (self._run_id, self._publications)})
        return self._acknowledge(dead, {})

    def _acknowledge(self, dead: Sequence[DeadLetter], needed: dict[str, tuple[str, int]]) -> Outcome:
        """Return the entries that a durable checkpoint covers, and dead letters."""
        if not self._announced:
            # A checkpoint older than the one that ingest knows of asks for frames again.
            self._announced = True
            needed |= self._windows.needed()
        done: list[Entry] = []
        while self._covered and self._covered[0][0] <= self._lease.durable_writes:
            _, entries, first_needed = self._covered.popleft()
            done += entries
            needed |= first_needed
        self._unacknowledged.difference_update(entry.identity for entry in done)
        return Outcome(done=done, dead=dead, needed=needed)

    def summary(self) -> str:
        """Return the number of moods and frames for the log at shutdown."""
        frames = sum(row["frames"] for row in self._ledger.table.values())
        return f"{self._published} moods from {frames} frames"

    def close(self) -> None:
        """Release the lease and close the connection to the store."""
        self._lease.release()
        self._store.close()

    def _checkpoint(self) -> dict[str, Any] | None:
        try:
            checkpoint = self._store.checkpoint(self._run_id)
            if checkpoint is not None:
                check(checkpoint)
                _count_held(checkpoint)
        except UndecodableError as error:
            stored.skipped("checkpoint", self._run_id, error)
            log.error("the run %s begins again without its checkpoint: its counts start at 0", self._run_id)
            return None
        return checkpoint

    def _observe(self, entry: Entry, emotions: Emotions) -> Verdict:
        verdict = self._windows.observe(emotions.ref, Held(entry, emotions))
        self._table_changed = True
        match verdict:
            case "counted":
                self._ledger.count(emotions, self._unfit(emotions))
                metrics.FRAMES_COUNTED.labels(emotions.ref.camera_id).inc()
            case "duplicate":
                self._ledger.duplicate(emotions.ref)
                metrics.FRAMES_DUPLICATE.inc()
            case "late":
                self._ledger.late(emotions.ref)
                metrics.FRAMES_LATE.labels(emotions.ref.camera_id).inc()
        return verdict

    def _on_common_time(self, emotions: Emotions, partition: int) -> Emotions:
        """Return a live frame with its time by the clock of the first partition, and not later than now."""
        ref = emotions.ref
        now_ms = self._clocks[0].now_ms() if self._clocks else None
        if ref.recorded or now_ms is None:
            return emotions
        there_ms = self._clocks[partition].now_ms()
        at_ms = ref.captured_at_ms + (0 if there_ms is None else now_ms - there_ms)
        if at_ms > now_ms + self._max_ahead_ms:
            metrics.FRAMES_AHEAD.labels(ref.camera_id).inc()
            if ref.camera_id not in self._ahead:
                self._ahead.add(ref.camera_id)
                log.warning(
                    "camera %s: its frames are %.1f s ahead of the bus server's clock: they count at their arrival",
                    ref.camera_id,
                    (at_ms - now_ms) / 1000,
                )
        return replace(emotions, ref=replace(ref, captured_at_ms=min(at_ms, now_ms)))

    def _forget_the_future(self) -> None:
        now_ms = self._clocks[0].now_ms() if self._clocks and not any(self._expected.values()) else None
        if now_ms is None:
            return
        limit_ms = now_ms + self._max_ahead_ms
        forgotten = self._windows.forget_after(limit_ms)
        if forgotten is not None:
            log.warning("windows had closed that end after now: a clock was ahead, they begin again")
            self._changes.forget_after(limit_ms)
            self._unneeded += [held.entry for held in forgotten]

    def _unfit(self, emotions: Emotions) -> dict[str, int]:
        return {reason: int(which.sum()) for reason, which in unfit(emotions, self._settings).items()}

    def _lose(self, message: FramesLost) -> None:
        ids = range(message.first_frame_id, message.last_frame_id + 1)
        new = self._windows.lose(message.camera_id, message.run_id, ids)
        self._ledger.lost(message.camera_id, message.reason, new)
        self._table_changed = True

    def _state(self, message: CameraState) -> None:
        self._ledger.state(message)
        self._table_changed = True
        if message.state == "ended" or (message.frame_count and not message.recorded):
            self._windows.end(message.camera_id, message.run_id, message.frame_count, recorded=message.recorded)
        else:
            self._windows.expect(message.camera_id, message.run_id, recorded=message.recorded)

    def _notice_unreachable(self) -> None:
        unreachable = self._inbox.unreachable()
        if unreachable == self._unreachable:
            return
        self._unreachable = unreachable
        down = {name for name, partition in self._partition_of.items() if partition in unreachable}
        self._ledger.cut_off(down, time.time_ns() // 1_000_000)
        self._table_changed = True
        shown = ", ".join(map(str, sorted(unreachable))) or "none"
        log.warning("unreachable partitions of the bus: %s; cameras that are down for it: %d", shown, len(down))

    def _close_windows(self) -> list[Finding]:
        closed = self._windows.close_ready()
        if not closed:
            return []
        by_window = [self._found_in(window) for window in closed]
        self._newest = [finding.mood for finding in by_window[-1]]
        self._silent_since = self._clock()
        metrics.MOOD_AS_OF_SECONDS.set(self._newest[0].as_of_ms / 1000)
        return [finding for findings in by_window for finding in findings]

    def _found_in(self, window: ClosedWindow[Held]) -> list[Finding]:
        # After a backlog there are many windows at once: renew the lease for each.
        self._lease.renew()
        return self._moods.of(_emotions(window), self._ledger.troubled())

    def _stale(self) -> list[Finding]:
        """Return the newest moods again, as stale, when there has been no new mood for `stale_after_s`."""
        silent_s = self._clock() - self._silent_since
        live = any(not row["recorded"] for row in self._cameras().values())
        if not self._newest or not live or silent_s < self._settings.stale_after_s:
            return []
        stale = [Finding(mood.as_stale(), None) for mood in self._newest]
        self._newest = []
        log.warning("no new mood for %.0f s: published the last ones as stale", silent_s)
        return stale

    def _cameras(self) -> CameraTable:
        """Return the table of the cameras that are still configured."""
        table = self._ledger.shown()
        return {name: row for name, row in table.items() if name in self._expected} if self._expected else table

    def _has_footage(self) -> bool:
        return any(row["recorded"] for row in self._cameras().values())

    def _table_due(self) -> bool:
        return self._table_changed and self._clock() >= self._table_written + _TABLE_EVERY_S

    def _publish(self, findings: list[Finding]) -> None:
        self._ledger.settle(self._windows.accounts())
        changes = self._changes.take(findings)
        moods = [finding.mood for finding in findings]
        cameras = self._cameras()
        self._publications += 1
        self._store.publish(
            moods,
            changes=changes,
            run_id=self._run_id,
            checkpoint={
                "counts_held": True,
                "windows": self._windows.snapshot(),
                "cameras": self._ledger.table,
                "changes": self._changes.snapshot(),
                "publications": self._publications,
                "figures": self._moods.snapshot(),
            },
            cameras=cameras,
            gone=self._ledger.table.keys() - cameras.keys(),
            keep_s=self._settings.history_hours * 3600,
            keep_bytes=self._settings.history_mb * 1_000_000,
            lease=self._lease,
        )
        for camera_id, lag_ms in self._windows.lags_ms().items():
            metrics.WATERMARK_LAG_SECONDS.labels(camera_id).set(lag_ms / 1000)
        for mood in moods:
            metrics.MOODS.labels(mood.status).inc()
            if (mood.zone, mood.camera) == (STADIUM, None) and mood.status != "stale" and not self._has_footage():
                metrics.MOOD_VALID_UNTIL_SECONDS.set(mood.valid_until_ms / 1000)
                metrics.CAPTURE_TO_MOOD_SECONDS.observe(max(0.0, time.time() - mood.as_of_ms / 1000))
        self._published += len(moods)
        self._table_changed = False
        self._table_written = self._clock()


def run(settings: Settings, stop: threading.Event, worker_name: str, *, drain: bool = False) -> None:
    """Stand by until no other aggregator leads, then lead until stopped.

    Raises:
        LeadershipLostError: Another aggregator has acquired the lease.
    """
    bus = AllPartitions(required_url(settings.bus_url, "bus"), settings.bus, stop)
    state_url = required_url(settings.state_url, "state")
    store = MoodStore(state_url, settings.bus.key_prefix, stop)
    expected = {camera.id: camera.recorded for camera in settings.cameras}
    if len(set(expected.values())) > 1:
        log.warning("live cameras are configured beside footage, whose time begins in 1970: they wait for its end")
    keys = StateKeys(settings.bus.key_prefix).leader()
    lease = Lease(store.connection, keys, identity(worker_name), settings.aggregator.lease_s)
    heartbeat = Heartbeat(bus, AggregatorStage.name, worker_name)
    if not lease.wait(stop, lambda: heartbeat.beat("standby")):
        heartbeat.stop()
        bus.close()
        return
    keeper = Connection(state_url, "state", stop)
    lease.keep(keeper, settings.aggregator.stalled_after_s)
    clocks = [BusClock(one.connection, number) for number, one in enumerate(bus.partitions)]
    for each in clocks:
        each.follow(stop)
    stage = AggregatorStage(
        store, lease, settings.aggregator, settings.run_id, expected, settings.zones, settings.bus.partitions, clocks
    )
    # A former leader that has not noticed its lost lease yet may have the same worker name.
    consumer = f"{worker_name}-{lease.token}"
    try:
        Worker(stage, bus, settings.bus, worker_name, stop, consumer).run(drain=drain)
    finally:
        bus.close()
        keeper.close()


def _count_held(checkpoint: dict[str, Any]) -> None:
    """Count the held frames of a checkpoint of an earlier build, whose successor counted them again."""
    if not checkpoint.get("counts_held"):
        for run in checkpoint["windows"]["runs"]:
            row = checkpoint["cameras"].get(run["camera_id"], {})
            row["frames"] = row.get("frames", 0) + len(run["held"])


def _emotions(window: ClosedWindow[Held]) -> ClosedWindow[Emotions]:
    frames = {camera_id: [held.emotions for held in items] for camera_id, items in window.frames.items()}
    return ClosedWindow(window.start_ms, window.end_ms, frames, window.cameras, window.waited_ms)
