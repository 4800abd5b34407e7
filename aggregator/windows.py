"""Event-time sliding windows over many cameras: when a window may close, and which frames it holds.

Pure: observations in, closed windows out. Time is capture time; nothing here reads a clock. All intervals are
closed-open: a window [start, end) holds a frame captured at `start` and not one captured at `end`.

A camera's watermark is the capture time up to which every frame is accounted for (seen, or known to be lost). A window
closes when the watermark of every camera that still counts has reached its end, so its content does not depend on the
order of arrival.

For live cameras that wait is bounded, by the time of arrival (`advance`) and not by capture time, so a camera whose
clock is ahead makes no other camera idle: a window waits for at most `max_wait_ms` after the first live camera has
reached its end, and not at all for a camera of which nothing arrives.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from aggregator.camera_run import Account, CameraRun
from crowdmood.domain.messages import FrameRef
from crowdmood.domain.mood import WindowCameraState

T = TypeVar("T")
_RETIRED_RUNS_REMEMBERED = 1000
_LARGEST_GAP = 10_000_000
"""Most frames between two frames of a run, which are accounted for one by one: three weeks at 5 a second."""

Verdict: TypeAlias = Literal["counted", "returned", "duplicate", "late", "impossible"]


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """When windows end and how long they wait, in milliseconds.

    Attributes:
        window_ms: Length of a window.
        hop_ms: Time between the ends of two windows; ends are multiples of it.
        allowed_lateness_ms: Event time for which windows wait for a live camera's missing frame; footage: unlimited.
        idle_timeout_ms: Time since the arrival of a live camera's last frame after which windows close without it.
        max_wait_ms: Longest time that a window waits for live cameras behind the first one that has reached its end.
    """

    window_ms: int
    hop_ms: int
    allowed_lateness_ms: int
    idle_timeout_ms: int
    max_wait_ms: int


@dataclass(frozen=True, slots=True)
class ClosedWindow(Generic[T]):
    """A window that no longer changes.

    Attributes:
        start_ms: Its start, inclusive.
        end_ms: Its end, exclusive.
        frames: Observations by camera, in the order of the camera's frames; cameras without frames are absent.
        cameras: Every camera's state in this window: `live` (it has frames in it), `ended` (its footage ended
            before the window's end) or `idle`.
        waited_ms: For how long it waited for live cameras after the first one had reached its end.
    """

    start_ms: int
    end_ms: int
    frames: dict[str, list[T]]
    cameras: dict[str, WindowCameraState]
    waited_ms: int = 0


class EventTimeWindows(Generic[T]):
    """Collects observations of frames and closes windows over them.

    Args:
        policy: When windows end and how long they wait.
        expected: Configured cameras, each with whether it is recorded footage. The first window waits for all of them.
            Frames of other cameras count too, but windows wait for those cameras only if none is configured.
    """

    def __init__(self, policy: WindowPolicy, expected: Mapping[str, bool] | None = None) -> None:
        self._policy = policy
        self._expected = dict(expected or {})
        self._unheard = dict(self._expected)
        self._runs: dict[tuple[str, str], CameraRun[T]] = {}
        # Of runs that are over: the number of frames of each, and the accounts by camera.
        self._retired: dict[tuple[str, str], int] = {}
        self._closed: dict[str, Account] = {}
        self._last_end_ms: int | None = None
        self._first_ms: int | None = None
        self._now_ms = 0.0
        self._first_arrival_ms: float | None = None
        # Watermarks of the live camera that was first, oldest first, each with the time at which it was reached.
        self._progress: deque[tuple[float, float]] = deque()

    def advance(self, now_ms: float) -> None:
        """Set the time at which the next observations arrive: monotonic milliseconds."""
        self._now_ms = now_ms

    def observe(self, ref: FrameRef, observation: T) -> Verdict:
        """Add a frame.

        Returns:
            `counted`; `returned` (a predecessor counted it, and windows still need it); `duplicate` (accounted for
            before: ignored); `late` (a window that it belongs to has closed, or its camera's run is retired: ignored);
            or `impossible` (its number is millions ahead of the run's other frames: ignored).
        """
        if self._leaps(ref.camera_id, ref.run_id, ref.frame_id):
            return "impossible"
        run = self._run(ref.camera_id, ref.run_id, recorded=ref.recorded)
        if run is None:
            return self._straggle(ref.camera_id, ref.run_id, ref.frame_id)
        self._first_ms = ref.captured_at_ms if self._first_ms is None else min(self._first_ms, ref.captured_at_ms)
        if self._first_arrival_ms is None:
            self._first_arrival_ms = self._now_ms
        run.arrived_ms = self._now_ms
        if run.accounted_for(ref.frame_id):
            return "duplicate"
        returned = ref.frame_id in run.returning
        if self._closed_before(ref.captured_at_ms) and not returned:
            run.lose([ref.frame_id])
            return "late"
        run.see(ref.frame_id, ref.captured_at_ms, observation)
        if not run.recorded:
            run.give_up_before(ref.captured_at_ms - self._policy.allowed_lateness_ms)
        return "returned" if returned else "counted"

    def lose(self, camera_id: str, run_id: str, frame_ids: Sequence[int]) -> int:
        """Account for frames that will never arrive.

        Returns:
            How many of them were neither accounted for nor counted before; 0 if their numbers are impossible.
        """
        if frame_ids and self._leaps(camera_id, run_id, frame_ids[0]):
            return 0
        run = self._run(camera_id, run_id, recorded=self._unheard.get(camera_id, False))
        if run is None:
            return sum(self._straggle(camera_id, run_id, frame_id) == "late" for frame_id in frame_ids)
        return run.lose(frame_ids)

    def expect(self, camera_id: str, run_id: str, *, recorded: bool) -> None:
        """Begin a camera's run, for which windows wait."""
        self._run(camera_id, run_id, recorded=recorded)

    def end(self, camera_id: str, run_id: str, frame_count: int, *, recorded: bool) -> None:
        """End a camera's run with `frame_count` frames: its footage is over, or ingest has stopped its live camera."""
        if run := self._run(camera_id, run_id, recorded=recorded):
            run.end(frame_count)

    def close_ready(self) -> list[ClosedWindow[T]]:
        """Close every window that may close, oldest first; skip windows without frames."""
        closed: list[ClosedWindow[T]] = []
        self._note_progress()
        watermark = self.watermark_ms()
        while (end := self._next_end_ms()) is not None and (end <= watermark or self._overdue(end)):
            closed.append(self._close(end))
        return closed

    def lags_ms(self) -> dict[str, float]:
        """Return how far each camera is behind the first camera of its kind, live or recorded, in event time."""
        runs = [run for run in self._runs.values() if self._awaits(run) and math.isfinite(run.watermark_ms())]
        first: dict[bool, float] = {}
        for run in runs:
            first[run.recorded] = max(run.watermark_ms(), first.get(run.recorded, -math.inf))
        return {run.camera_id: first[run.recorded] - run.watermark_ms() for run in runs}

    def forget_after(self, limit_ms: int) -> list[T] | None:
        """Return to an earlier time after a clock was ahead, so that frames of now are not late for hours.

        Args:
            limit_ms: Event time that no live frame can have reached yet.

        Returns:
            Observations beyond it, which count in no later window; None if nothing was beyond it.
        """
        if self._last_end_ms is None or self._last_end_ms <= limit_ms + self._policy.hop_ms:
            return None
        self._last_end_ms = self._first_ms = None
        self._progress.clear()
        return [item for run in self._runs.values() if not run.recorded for item in run.forget_after(limit_ms)]

    def release(self) -> list[T]:
        """Return the observations that no later window needs, and retire runs that are over."""
        if self._last_end_ms is None:
            return []
        limit = math.inf if self._over() else self._last_end_ms + self._policy.hop_ms - self._policy.window_ms
        released = [item for run in self._runs.values() for item in run.release_before(limit)]
        for key in [key for key, run in self._runs.items() if run.superseded and not run.frames]:
            self._retire(key, self._runs.pop(key))
        return released

    def accounts(self) -> dict[str, Account]:
        """Return the account of every camera's frames."""
        accounts = {camera_id: replace(account) for camera_id, account in self._closed.items()}
        for run in self._runs.values():
            account = accounts.setdefault(run.camera_id, Account())
            account.accepted += run.known
            account.missing += run.missing
            account.awaited += run.awaited
            account.held += len(run.frames)
            if not run.superseded:
                account.run_id, account.run_accepted = run.run_id, run.known
        return accounts

    def watermark_ms(self) -> float:
        """Return the event time up to which every camera that counts is complete; infinite when all have ended."""
        if all(run.newest_ms is None for run in self._runs.values()):
            return math.inf if self._over() else -math.inf
        waiting = [run.watermark_ms() for run in self._runs.values() if self._awaits(run) and not self._idle(run)]
        silent = (recorded or not self._long_ago(self._first_arrival_ms) for recorded in self._unheard.values())
        return -math.inf if any(silent) else min(waiting, default=-math.inf)

    def ended(self, camera_id: str) -> bool:
        """Return whether a camera's footage has ended and every frame of it is accounted for."""
        runs = [run for run in self._runs.values() if run.camera_id == camera_id and not run.superseded]
        return bool(runs) and all(run.done for run in runs)

    def held(self) -> list[T]:
        """Return the observations that a later window may need."""
        return [item for run in self._runs.values() for _, item in run.frames.values()]

    def needed(self) -> dict[str, tuple[str, int]]:
        """Return for each camera of recorded footage its run and the first frame that is still needed."""
        runs = [run for run in self._runs.values() if run.recorded and not run.superseded]
        return {run.camera_id: (run.run_id, run.needed_from()) for run in runs}

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a successor needs in addition to the held observations, as JSON values."""
        return {
            "last_end_ms": self._last_end_ms,
            "first_ms": self._first_ms,
            "retired": [[*key, known] for key, known in self._retired.items()],
            "closed": {camera_id: [account.accepted, account.missing] for camera_id, account in self._closed.items()},
            "runs": [run.snapshot() for run in self._runs.values()],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continue from a snapshot; the held observations must then be observed again.

        The configured cameras may have changed since: windows wait for new ones, and no longer for removed ones.
        """
        self._last_end_ms = snapshot["last_end_ms"]
        self._first_ms = snapshot["first_ms"]
        self._retired = {(camera_id, run_id): known for camera_id, run_id, known in snapshot["retired"]}
        self._closed = {camera_id: Account(*counts) for camera_id, counts in snapshot["closed"].items()}
        runs = [CameraRun[T].restored(stored) for stored in snapshot["runs"]]
        self._runs = {(run.camera_id, run.run_id): run for run in runs}
        heard = {run.camera_id for run in runs}
        self._unheard = {name: recorded for name, recorded in self._expected.items() if name not in heard}

    def _run(self, camera_id: str, run_id: str, *, recorded: bool) -> CameraRun[T] | None:
        """Return the run, created if new, which supersedes the camera's older runs.

        None when the run is retired: a late frame must not revive it.
        """
        if (camera_id, run_id) in self._retired:
            return None
        self._unheard.pop(camera_id, None)
        if (camera_id, run_id) not in self._runs:
            for older in self._runs.values():
                older.superseded = older.superseded or older.camera_id == camera_id
            self._runs[camera_id, run_id] = CameraRun(camera_id, run_id, recorded)
        return self._runs[camera_id, run_id]

    def _leaps(self, camera_id: str, run_id: str, frame_id: int) -> bool:
        """Return whether a frame's number is too far ahead of those known of its run."""
        run = self._runs.get((camera_id, run_id))
        known = self._retired.get((camera_id, run_id), 0) if run is None else run.known
        return frame_id > known + _LARGEST_GAP

    def _retire(self, key: tuple[str, str], run: CameraRun[T]) -> None:
        """Remove a run; keep its number of frames, and count frames that may still arrive as missing."""
        self._retired[key] = run.known
        if len(self._retired) > _RETIRED_RUNS_REMEMBERED:
            del self._retired[next(iter(self._retired))]
        account = self._closed.setdefault(run.camera_id, Account())
        account.accepted += run.known
        account.missing += run.missing + run.awaited

    def _straggle(self, camera_id: str, run_id: str, frame_id: int) -> Verdict:
        """Account for a frame of a retired run."""
        known = self._retired[camera_id, run_id]
        if frame_id < known:
            return "duplicate"
        self._retired[camera_id, run_id] = frame_id + 1
        self._closed[camera_id].accepted += frame_id + 1 - known
        self._closed[camera_id].missing += frame_id - known
        return "late"

    def _awaits(self, run: CameraRun[T]) -> bool:
        return not self._expected or run.camera_id in self._expected

    def _live_runs(self) -> Iterator[CameraRun[T]]:
        return (run for run in self._runs.values() if not run.recorded and not run.done and self._awaits(run))

    def _idle(self, run: CameraRun[T]) -> bool:
        if run.recorded:
            return False
        return self._long_ago(run.arrived_ms if run.arrived_ms is not None else self._first_arrival_ms)

    def _long_ago(self, arrived_ms: float | None) -> bool:
        return arrived_ms is not None and self._now_ms > arrived_ms + self._policy.idle_timeout_ms

    def _note_progress(self) -> None:
        first = max((run.watermark_ms() for run in self._live_runs()), default=-math.inf)
        if first > (self._progress[-1][0] if self._progress else -math.inf):
            self._progress.append((first, self._now_ms))

    def _waited_ms(self, end_ms: int) -> float | None:
        """Return how long ago the first live camera reached a time; None if none has."""
        return next((self._now_ms - since_ms for at_ms, since_ms in self._progress if at_ms >= end_ms), None)

    def _overdue(self, end_ms: int) -> bool:
        """Return whether a window has waited for live cameras for as long as it may, and for no footage."""
        waited_ms = self._waited_ms(end_ms)
        if waited_ms is None or waited_ms < self._policy.max_wait_ms or any(self._unheard.values()):
            return False
        footage = (run for run in self._runs.values() if run.recorded and self._awaits(run))
        return all(run.watermark_ms() >= end_ms for run in footage)

    def _closed_before(self, at_ms: int) -> bool:
        return self._last_end_ms is not None and at_ms < self._last_end_ms

    def _over(self) -> bool:
        waiting = any(self._awaits(run) and not run.done for run in self._runs.values())
        return bool(self._runs) and not self._unheard and not waiting

    def _next_end_ms(self) -> int | None:
        """Return the end of the next window that holds a frame; None when no frame waits for a window."""
        hop, window = self._policy.hop_ms, self._policy.window_ms
        start = -math.inf if self._last_end_ms is None else self._last_end_ms + hop - window
        times = [at for run in self._runs.values() for at, _ in run.frames.values() if at >= start]
        if not times:
            return None
        if self._last_end_ms is None:
            return min(times) // hop * hop + hop
        if self._last_end_ms > max(times):
            # Every frame has been in a window already: further windows would only hold fewer of the same frames.
            return None
        return max(self._last_end_ms + hop, min(times) // hop * hop + hop)

    def _close(self, end_ms: int) -> ClosedWindow[T]:
        start_ms = end_ms - self._policy.window_ms
        frames: dict[str, list[T]] = {}
        states: dict[str, WindowCameraState] = dict.fromkeys(self._unheard, "idle")
        for run in self._runs.values():
            inside = run.between(start_ms, end_ms)
            frames.setdefault(run.camera_id, []).extend(inside)
            if (inside or self._awaits(run)) and (not run.superseded or run.camera_id not in states):
                over = run.recorded and run.done and not run.superseded
                over = over and (run.newest_ms is None or run.newest_ms < end_ms)
                states[run.camera_id] = "ended" if over else "live" if inside else "idle"
        self._last_end_ms = end_ms
        waited_ms = round(self._waited_ms(end_ms) or 0)
        while self._progress and self._progress[0][0] < end_ms:
            self._progress.popleft()
        return ClosedWindow(
            start_ms,
            end_ms,
            {camera: frames[camera] for camera in sorted(frames) if frames[camera]},
            {camera: states[camera] for camera in sorted(states)},
            waited_ms,
        )
