"""Publishes the frames of a live camera without waiting: beyond its share, its oldest unread frames are dropped."""

import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from crowdmood.bus.keys import StreamName
from crowdmood.bus.streams import Bus
from crowdmood.core.errors import ServerUnavailableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import CameraState, CameraStateName, Frame, FramesLost, Message
from ingest.cameras import FrameCounts, IngestRun

_LEAST_SHARE = 2
"""Fewest unread frames of a camera: one that waits for a detector, and the next one."""


class PendingReports:
    """Reports about one live camera that are not published yet; bounded, however long the bus is unreachable.

    Losses are merged into ranges of consecutive ids, and only the newest state is kept.
    """

    def __init__(self) -> None:
        self._losses: list[FramesLost] = []
        self._state: CameraState | None = None

    def add_loss(self, loss: FramesLost) -> None:
        """Add a loss; consecutive ids of the same reason become one message."""
        last = self._losses[-1] if self._losses else None
        if last and last.reason == loss.reason and last.last_frame_id + 1 == loss.first_frame_id:
            self._losses[-1] = replace(last, last_frame_id=loss.last_frame_id)
        else:
            self._losses.append(loss)

    def set_state(self, state: CameraState) -> None:
        """Replace the state; earlier ones that were not published are obsolete."""
        self._state = state

    def messages(self) -> Sequence[FramesLost | CameraState]:
        """Return the reports: losses first, then the state."""
        return [*self._losses, self._state] if self._state else list(self._losses)

    def clear(self) -> None:
        """Forget the reports after they were published."""
        self._losses.clear()
        self._state = None


class LivePublisher:
    """Publishes the frames, losses and states of one live camera.

    The cameras of a partition share the unread frames that it may hold. A camera beyond its share drops its own oldest
    frame except the one that is next in turn, so no camera takes the place of another one, and each gets its turn.

    Args:
        run: The camera and its run.
        bus: Must not retry while its server is unreachable, because a camera does not wait.
        settings: The number of unread frames.
        counts: Counts the frames.
        cameras: Number of cameras that share them.
    """

    def __init__(self, run: IngestRun, bus: Bus, settings: BusSettings, counts: FrameCounts, cameras: int = 1) -> None:
        self._run = run
        self._bus = bus
        self._share = max(_LEAST_SHARE, settings.max_backlog // cameras)
        self._counts = counts
        self._reports = PendingReports()
        # Published frames that may be unread, oldest first, and those of them to delete: id of the entry, frame id.
        self._unread: deque[tuple[bytes, int]] = deque()
        self._dropped: list[bytes] = []
        self._after = (0, 0)
        self._last_frame_id = -1
        self._state: CameraState | None = None

    def publish(self, frame: Frame) -> None:
        """Publish a frame and all pending reports, or report the frame as lost."""
        self._last_frame_id = frame.ref.frame_id
        try:
            self._make_room()
            *_, entry_id = self._publish([("frames", frame)])
        except ServerUnavailableError:
            self.report_lost(frame.ref.frame_id, "bus_unavailable")
            return
        self._unread.append((entry_id, frame.ref.frame_id))
        self._counts.add_published(self._run.camera.id)

    def report_lost(self, frame_id: int, reason: str) -> None:
        """Count a frame as lost; the report is published with the next frame or by `flush`."""
        self._last_frame_id = max(self._last_frame_id, frame_id)
        self._counts.add_lost(reason)
        self._reports.add_loss(self._run.lost(frame_id, reason))

    def report_state(self, name: CameraStateName, detail: str = "") -> None:
        """Set the camera's state; the report is published with the next frame or by `flush`."""
        self._state = self._run.state(name, detail)
        self._reports.set_state(self._state)

    def repeat_state(self) -> None:
        """Report the camera's state again, as of its change: an aggregator that lost it learns it."""
        if self._state is not None:
            self._reports.set_state(self._state)

    def flush(self) -> None:
        """Publish the pending reports if the bus is reachable."""
        if self._dropped or self._reports.messages():
            with contextlib.suppress(ServerUnavailableError):
                self._publish([])

    def close(self) -> None:
        """Publish the last reports and the number of frames, so that none is missed."""
        frames = self._last_frame_id + 1
        self._reports.set_state(self._run.state("opening", "ingest has stopped", frame_count=frames))
        self.flush()

    def _make_room(self) -> None:
        """Drop old unread frames of the camera, so that one more is within its share."""
        after = _order(self._bus.unread("frames").after)
        if after < self._after:
            while self._unread:
                self.report_lost(self._unread.popleft()[1], "bus_unavailable")  # the bus was emptied
        self._after = after
        while self._unread and _order(self._unread[0][0]) <= after:
            self._unread.popleft()
        while len(self._unread) >= self._share:
            # The very oldest one keeps the camera's turn: without it, cameras that are sampled at the same time as many
            # others might never have a frame that is old enough to be read.
            entry_id, frame_id = self._unread[1]
            del self._unread[1]
            self._dropped.append(entry_id)
            self.report_lost(frame_id, "overload")

    def _publish(self, frames: Iterable[tuple[StreamName, Message]]) -> list[bytes]:
        reports: list[tuple[StreamName, Message]] = [("control", message) for message in self._reports.messages()]
        ids = self._bus.publish(
            [*reports, *frames],
            drop=[("frames", entry_id) for entry_id in self._dropped],
            # `crowdmood ledger` reads from the cursor how many frames there were.
            cursors={self._run.camera.id: (self._run.run_id, self._last_frame_id)},
            patient=False,
        )
        self._dropped.clear()
        self._reports.clear()
        return ids


def _order(entry_id: bytes) -> tuple[int, int]:
    """Return what the ids of entries are ordered by."""
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)
