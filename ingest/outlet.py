"""Frames of a live camera go on the bus without ever waiting: too many, and the oldest that nobody works on goes."""

import contextlib
from collections.abc import Iterable

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.keys import DETECTOR_GROUP, StreamName
from crowdmood.bus.streams import Bus, DeadLetter, Entry
from crowdmood.core.errors import ServerUnavailableError, UndecodableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import CameraStateName, Frame, FrameRef, FramesLost, Message
from ingest.cameras import CameraRun, Tally
from ingest.outbox import Outbox


class LiveOutlet:
    """The way of one live camera to the bus."""

    def __init__(self, run: CameraRun, bus: Bus, settings: BusSettings, tally: Tally) -> None:
        """Get ready.

        Args:
            run: The camera and its run.
            bus: Must not wait for its server: a camera goes on while the bus is away.
            settings: For the room on the bus.
            tally: Counts the frames.
        """
        self._run = run
        self._bus = bus
        self._max_backlog = settings.max_backlog
        self._tally = tally
        self._outbox = Outbox()
        # The camera's own name: a process that comes after us finds what we had taken and not yet finished.
        consumer = f"ingest-{run.camera.id}"
        self._inbox = Inbox(bus, ["frames"], DETECTOR_GROUP, consumer, settings, claims=False)
        self._taken: list[Entry] = []
        self._last_frame_id = -1

    def put(self, frame: Frame) -> None:
        """Publish a frame and all that is yet to be said, or count the frame as lost."""
        self._last_frame_id = frame.ref.frame_id
        reason = "bus_unavailable"
        try:
            if self._make_room():
                self._publish([("frames", frame)])
                self._tally.ingested(self._run.camera.id)
                return
            reason = "overload"
        except ServerUnavailableError:
            pass
        self.lose(frame.ref.frame_id, reason)
        self.flush()

    def lose(self, frame_id: int, reason: str) -> None:
        """Count a frame as lost; it is said with the next frame, or by `flush`."""
        self._last_frame_id = frame_id
        self._tally.lose(reason)
        self._outbox.lose(self._run.lost(frame_id, reason))

    def announce(self, name: CameraStateName, detail: str = "") -> None:
        """Tell what the camera does now; it is said with the next frame, or by `flush`."""
        self._outbox.announce(self._run.state(name, detail))

    def flush(self) -> None:
        """Say what is yet to be said, if the bus is there."""
        if self._taken or self._outbox.messages():
            with contextlib.suppress(ServerUnavailableError):
                self._publish([])

    def close(self) -> None:
        """Say the last, and leave the group."""
        self.flush()
        with contextlib.suppress(ServerUnavailableError):
            self._inbox.leave()

    def _make_room(self) -> bool:
        """Take the oldest entries that nobody works on; False when there is no room and nothing to take."""
        too_many = self._bus.backlog("frames") - self._max_backlog + 1 - len(self._taken)
        if too_many > 0:
            self._taken += self._inbox.read(too_many, 0)
        # What we take may be recorded footage, which goes back and makes no room. It may not keep us from publishing
        # either: the footage waits, so the stream stays bounded by twice its size.
        return too_many <= 0 or bool(self._taken)

    def _publish(self, frames: Iterable[tuple[StreamName, Message]]) -> None:
        dropped: list[tuple[StreamName, Message]] = []
        done: list[Entry] = []
        dead: list[DeadLetter] = []
        losses = 0
        for entry in self._taken:
            try:
                message = _instead_of(entry)
            except UndecodableError as error:
                dead.append(DeadLetter(entry, error.reason, str(error)))
                continue
            losses += isinstance(message, FramesLost)
            dropped.append(("control" if isinstance(message, FramesLost) else "frames", message))
            done.append(entry)
        said: list[tuple[StreamName, Message]] = [("control", message) for message in self._outbox.messages()]
        self._bus.publish(
            [*said, *dropped, *frames],
            done=done,
            dead=dead,
            group=DETECTOR_GROUP,
            # How many frames there were is told with them: `crowdmood ledger` asks for it.
            cursors={self._run.camera.id: (self._run.run_id, self._last_frame_id)},
            patient=False,
        )
        self._taken.clear()
        self._outbox.clear()
        for _ in range(losses):
            self._tally.lose("overload")


def _instead_of(entry: Entry) -> Message:
    """What goes on the bus for an entry that we took: recorded footage again as it is, for a live frame its loss.

    Raises:
        UndecodableError: It is no frame.
    """
    ref = FrameRef.from_fields(entry.fields)
    if ref.recorded:
        return Frame.from_fields(entry.fields)
    return FramesLost.of_frame(entry.fields, "overload")
