"""One camera during one run, and what is said of it: to other stages, to metrics and in the summary."""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import get_args

from crowdmood.core import metrics
from crowdmood.core.logs import redact
from crowdmood.core.settings import CameraSettings
from crowdmood.domain.messages import CameraState, CameraStateName, FramesLost


def wall_ms() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class CameraRun:
    """One uninterrupted numbering of a camera's frames.

    Attributes:
        camera: The camera.
        run_id: The run.
        expected_frames: How many frames the footage announces; 0 when it does not say, or the camera is live.
    """

    camera: CameraSettings
    run_id: str
    expected_frames: int = 0

    def state(self, name: CameraStateName, detail: str = "", frame_count: int = 0) -> CameraState:
        """The message that says what the camera does now, without its credentials; it shows in the metrics as well."""
        for other in get_args(CameraStateName):
            metrics.CAMERA_STATE.labels(self.camera.id, other).set(other == name)
        return CameraState(
            camera_id=self.camera.id,
            run_id=self.run_id,
            state=name,
            recorded=self.camera.recorded,
            source=redact(self.camera.uri.get_secret_value()),
            detail=detail,
            frame_count=frame_count,
            at_ms=wall_ms(),
        )

    def opening(self) -> CameraState:
        """The message that the camera is there and its frames are to come."""
        return self.state("opening", frame_count=self.expected_frames)

    def lost(self, frame_id: int, reason: str) -> FramesLost:
        """The message that one frame will never arrive."""
        return FramesLost(self.camera.id, self.run_id, frame_id, frame_id, reason)


class Tally:
    """What became of the frames of this process; may be shared between threads."""

    def __init__(self) -> None:
        self.frames = 0
        self.lost: Counter[str] = Counter()
        self._lock = threading.Lock()

    def ingested(self, camera_id: str) -> None:
        """A frame is on the bus."""
        metrics.FRAMES_INGESTED.labels(camera_id).inc()
        with self._lock:
            self.frames += 1

    def lose(self, reason: str) -> None:
        """A frame will never be counted."""
        metrics.FRAMES_LOST.labels("ingest", reason).inc()
        with self._lock:
            self.lost[reason] += 1

    def __str__(self) -> str:
        with self._lock:
            lost = ", ".join(f"{count} {reason}" for reason, count in sorted(self.lost.items()))
            return f"{self.frames} frames, lost: {lost or 'none'}"
