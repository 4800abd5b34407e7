"""One run of one camera: which of its frames are accounted for, and the frames that windows still need."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Account:
    """Counts of a camera's frames over all its runs; the ledger counts those that were counted, late or lost.

    Attributes:
        accepted: All known frames.
        missing: Frames that were given up without a message about them.
        awaited: Frames that may still arrive.
        held: Frames that windows still need.
        run_id: The camera's newest run.
        run_accepted: All known frames of that run.
    """

    accepted: int = 0
    missing: int = 0
    awaited: int = 0
    held: int = 0
    run_id: str | None = None
    run_accepted: int = 0


class CameraRun(Generic[T]):
    """The frames of one uninterrupted numbering 0, 1, 2, … of a camera.

    Attributes:
        camera_id: The camera.
        run_id: The numbering.
        recorded: Whether it is recorded footage, whose windows wait for missing frames without limit.
        frames: Frame id to (capture time in ms, observation), of the frames that windows still need.
        newest_ms: Latest capture time seen; None before the first frame.
        arrived_ms: When the last frame arrived; None before that, and in a successor.
        total: Number of frames of the run; None until it is known.
        superseded: Whether a newer run of the camera has begun.
        returning: Frames that a predecessor counted and windows still need: they are delivered again, unless the bus
            was emptied.
        known: Number of known frames: one more than the largest id.
        missing: Number of frames that were given up without a message about them.
    """

    def __init__(self, camera_id: str, run_id: str, recorded: bool) -> None:
        self.camera_id = camera_id
        self.run_id = run_id
        self.recorded = recorded
        self.frames: dict[int, tuple[int, T]] = {}
        self.newest_ms: int | None = None
        self.arrived_ms: float | None = None
        self.total: int | None = None
        self.superseded = False
        self.returning: set[int] = set()
        self.known = 0
        self.missing = 0
        self._next_id = 0
        # Frames accounted for beyond the first gap: capture time, or None for a lost frame.
        self._beyond: dict[int, int | None] = {}
        self._lost_before_next: set[int] = set()
        self._reached_ms: int | None = None

    @property
    def done(self) -> bool:
        """Whether there is no frame left to wait for."""
        return self.superseded or (self.total is not None and self._next_id >= self.total)

    @property
    def awaited(self) -> int:
        """Number of known frames that may still arrive and are not counted yet."""
        return self.known - self._next_id - len(self._beyond) - len(self.returning)

    def end(self, total: int) -> None:
        """End the run with `total` frames."""
        self.total = total
        self.known = max(self.known, total)

    def accounted_for(self, frame_id: int) -> bool:
        """Return whether a frame was seen or lost before."""
        return frame_id < self._next_id or frame_id in self._beyond

    def see(self, frame_id: int, captured_at_ms: int, observation: T) -> None:
        """Account for a frame that arrived."""
        self.returning.discard(frame_id)
        self.frames[frame_id] = (captured_at_ms, observation)
        self.newest_ms = captured_at_ms if self.newest_ms is None else max(self.newest_ms, captured_at_ms)
        self.known = max(self.known, frame_id + 1)
        self._beyond[frame_id] = captured_at_ms
        self._advance()

    def lose(self, frame_ids: Iterable[int]) -> int:
        """Account for frames that will not arrive; return how many were neither accounted for nor counted before."""
        new = [frame_id for frame_id in frame_ids if not self.accounted_for(frame_id)]
        self.known = max(self.known, max(new, default=-1) + 1)
        # The bus that was to deliver them again may have been emptied: they stay counted.
        counted = self.returning.intersection(new)
        self.returning -= counted
        self._beyond.update(dict.fromkeys(new))
        self._advance()
        return len(new) - len(counted)

    def give_up_before(self, limit_ms: int) -> None:
        """Stop waiting for the frames missing before those captured at or before `limit_ms`."""
        old = [frame_id for frame_id, at in self._beyond.items() if at is not None and at <= limit_ms]
        if old:
            self.missing += self.lose(range(self._next_id, max(old)))

    def watermark_ms(self) -> float:
        """Return the capture time up to which every frame is accounted for; infinite when the run is done."""
        if self.done:
            return float("inf")
        return float("-inf") if self._reached_ms is None else self._reached_ms

    def between(self, start_ms: int, end_ms: int) -> list[T]:
        """Return the observations captured in [start_ms, end_ms), in the order of their frames."""
        return [item for _, (at, item) in sorted(self.frames.items()) if start_ms <= at < end_ms]

    def release_before(self, limit_ms: float) -> list[T]:
        """Remove and return the observations captured before `limit_ms`."""
        gone = [frame_id for frame_id, (at, _) in self.frames.items() if at < limit_ms]
        released = [self.frames.pop(frame_id)[1] for frame_id in gone]
        floor = self.needed_from()
        self._lost_before_next = {frame_id for frame_id in self._lost_before_next if frame_id >= floor}
        return released

    def forget_after(self, limit_ms: int) -> list[T]:
        """Remove and return the observations captured after `limit_ms`, a time that is still to come."""
        gone = [frame_id for frame_id, (at, _) in self.frames.items() if at > limit_ms]
        forgotten = [self.frames.pop(frame_id)[1] for frame_id in gone]
        self._beyond = {frame_id: None if at is None else min(at, limit_ms) for frame_id, at in self._beyond.items()}
        self.newest_ms = None if self.newest_ms is None else min(self.newest_ms, limit_ms)
        if self._reached_ms is not None and self._reached_ms > limit_ms:
            self._reached_ms = None
        return forgotten

    def needed_from(self) -> int:
        """Return the id below which every frame is accounted for and no longer needed."""
        return min({self._next_id}.union(self.frames, self.returning))

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a successor needs in addition to the held frames, as JSON values."""
        lost_beyond = {frame_id for frame_id, at in self._beyond.items() if at is None}
        seen = [(frame_id, at) for frame_id, at in self._beyond.items() if at is not None]
        return {
            "camera_id": self.camera_id,
            "run_id": self.run_id,
            "recorded": self.recorded,
            "newest_ms": self.newest_ms,
            "total": self.total,
            "superseded": self.superseded,
            "known": self.known,
            "missing": self.missing,
            "next_id": self.needed_from(),
            "held": sorted(self.returning.union(self.frames)),
            "lost": sorted(self._lost_before_next | lost_beyond),
            "released": sorted((frame_id, at) for frame_id, at in seen if frame_id not in self.frames),
        }

    @classmethod
    def restored(cls, snapshot: Mapping[str, Any]) -> Self:
        """Return the run of a snapshot."""
        run = cls(snapshot["camera_id"], snapshot["run_id"], snapshot["recorded"])
        run.newest_ms = snapshot["newest_ms"]
        run.total = snapshot["total"]
        run.superseded = snapshot["superseded"]
        run.returning = set(snapshot["held"])
        run.known = snapshot["known"]
        run.missing = snapshot["missing"]
        run._next_id = snapshot["next_id"]
        run._beyond.update((frame_id, at) for frame_id, at in snapshot["released"])
        run.lose(snapshot["lost"])
        return run

    def _advance(self) -> None:
        while self._next_id in self._beyond:
            at = self._beyond.pop(self._next_id)
            if at is None:
                self._lost_before_next.add(self._next_id)
            else:
                self._reached_ms = at
            self._next_id += 1
