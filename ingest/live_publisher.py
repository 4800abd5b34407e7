"""Publishes the frames of a live camera without waiting: in a full stream, the oldest unread frames are dropped."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.keys import DETECTOR_GROUP, StreamName
from crowdmood.bus.streams import Bus, DeadLetter, Entry
from crowdmood.core.errors import ServerUnavailableError, UndecodableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import CameraState, CameraStateName, Frame, FrameRef, FramesLost, Message
from ingest.cameras import FrameCounts, IngestRun


class PendingReports:
    """Reports about one live camera that are not published yet; bounded, however long the bus is unreachable.

    Losses are merged into ranges of consecutive ids, and only the newest state is kept.
    """

    def __init__(self) -> None:
        self._losses: list[FramesLost] = []
        self._state: CameraState | None = None

    def add_loss(self, loss: FramesLost) -> None:
        """Add a loss; ids must increase."""
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

    To drop frames it reads them as a consumer of the detectors' group: an entry that it reads goes to no detector.

    Args:
        run: The camera and its run.
        bus: Must not retry while its server is unreachable, because a camera does not wait.
        settings: The length of the stream.
        counts: Counts the frames.
    """

    def __init__(self, run: IngestRun, bus: Bus, settings: BusSettings, counts: FrameCounts) -> None:
        self._run = run
        self._bus = bus
        self._max_backlog = settings.max_backlog
        self._counts = counts
        self._reports = PendingReports()
        # The name contains the camera, so that a restarted process finds the entries it read and did not finish.
        consumer = f"ingest-{run.camera.id}"
        self._inbox = Inbox(bus, ["frames"], DETECTOR_GROUP, consumer, settings, claims=False)
        self._taken: list[Entry] = []
        self._last_frame_id = -1
        self._state: CameraState | None = None

    def publish(self, frame: Frame) -> None:
        """Publish a frame and all pending reports, or report the frame as lost."""
        self._last_frame_id = frame.ref.frame_id
        reason = "bus_unavailable"
        try:
            if self._make_room():
                self._publish([("frames", frame)])
                self._counts.add_published(self._run.camera.id)
                return
            reason = "overload"
        except ServerUnavailableError:
            pass
        self.report_lost(frame.ref.frame_id, reason)
        self.flush()

    def report_lost(self, frame_id: int, reason: str) -> None:
        """Count a frame as lost; the report is published with the next frame or by `flush`."""
        self._last_frame_id = frame_id
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
        if self._taken or self._reports.messages():
            with contextlib.suppress(ServerUnavailableError):
                self._publish([])

    def close(self) -> None:
        """Publish the last reports and the number of frames, so that none is missed, and leave the consumer group."""
        frames = self._last_frame_id + 1
        self._reports.set_state(self._run.state("opening", "ingest has stopped", frame_count=frames))
        self.flush()
        with contextlib.suppress(ServerUnavailableError):
            self._inbox.leave()

    def _make_room(self) -> bool:
        """Read the entries that exceed the stream's length, or return False if there is no room and none to read."""
        too_many = self._bus.backlog("frames") - self._max_backlog + 1 - len(self._taken)
        if too_many > 0:
            self._taken += self._inbox.read(too_many, 0)
        # Entries of recorded footage are published again, so reading them makes no room. The frame is published all the
        # same: footage waits for room, so the stream stays below twice its length.
        return too_many <= 0 or bool(self._taken)

    def _publish(self, frames: Iterable[tuple[StreamName, Message]]) -> None:
        replaced: list[tuple[StreamName, Message]] = []
        done: list[Entry] = []
        dead: list[DeadLetter] = []
        losses = 0
        for entry in self._taken:
            try:
                message = _replacement(entry)
            except UndecodableError as error:
                dead.append(DeadLetter(entry, error.reason, str(error)))
                continue
            losses += isinstance(message, FramesLost)
            replaced.append(("control" if isinstance(message, FramesLost) else "frames", message))
            done.append(entry)
        reports: list[tuple[StreamName, Message]] = [("control", message) for message in self._reports.messages()]
        self._bus.publish(
            [*reports, *replaced, *frames],
            done=done,
            dead=dead,
            group=DETECTOR_GROUP,
            # `crowdmood ledger` reads from the cursor how many frames there were.
            cursors={self._run.camera.id: (self._run.run_id, self._last_frame_id)},
            patient=False,
        )
        self._taken.clear()
        self._reports.clear()
        for _ in range(losses):
            self._counts.add_lost("overload")


def _replacement(entry: Entry) -> Message:
    """Return what to publish for an entry that was read: the same frame if recorded, the loss of a live one."""
    ref = FrameRef.from_fields(entry.fields)
    if ref.recorded:
        return Frame.from_fields(entry.fields)
    return FramesLost.of_frame(entry.fields, "overload")
