"""The messages about a camera's run, and counts of the frames of this process."""

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
    """Return milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class IngestRun:
    """One uninterrupted numbering of a camera's frames.

    Attributes:
        camera: The camera.
        run_id: The run.
        expected_frames: Number of frames that the footage declares; 0 if it declares none, or the camera is live.
    """

    camera: CameraSettings
    run_id: str
    expected_frames: int = 0

    def state(self, name: CameraStateName, detail: str = "", frame_count: int = 0) -> CameraState:
        """Return the message with the camera's state, without credentials, and set the metric of the state."""
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
        """Return the first message of the run, with the number of frames to expect."""
        return self.state("opening", frame_count=self.expected_frames)

    def lost(self, frame_id: int, reason: str) -> FramesLost:
        """Return the message that a frame is lost."""
        return FramesLost(self.camera.id, self.run_id, frame_id, frame_id, reason)


class FrameCounts:
    """Counts of the frames that this process published and lost; safe to use from several threads."""

    def __init__(self) -> None:
        self.published = 0
        self.lost: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add_published(self, camera_id: str) -> None:
        """Count a frame that was published."""
        metrics.FRAMES_INGESTED.labels(camera_id).inc()
        with self._lock:
            self.published += 1

    def add_lost(self, reason: str) -> None:
        """Count a frame that was lost."""
        metrics.FRAMES_LOST.labels("ingest", reason).inc()
        with self._lock:
            self.lost[reason] += 1

    def __str__(self) -> str:
        with self._lock:
            lost = ", ".join(f"{count} {reason}" for reason, count in sorted(self.lost.items()))
            return f"{self.published} frames, lost: {lost or 'none'}"
