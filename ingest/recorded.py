"""Recorded footage goes on the bus: paced, waiting for room, resumed where it stopped; no frame is ever lost."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crowdmood.bus.keys import StreamName
from crowdmood.bus.streams import Bus
from crowdmood.core.errors import UndecodableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Frame, FrameRef, Message
from ingest.cameras import CameraRun, Tally
from ingest.merging import Step, merge
from ingest.pacing import Pacer
from ingest.sources.base import RecordedSource, Shot

log = logging.getLogger("crowdmood.ingest")

_ROOM_POLL_S = 0.01
_LONGEST_WAIT_S = 0.5
_ASK_EVERY_S = 0.5


class _BusEmptiedError(Exception):
    """The bus has forgotten that we began: its server was restarted, and what was on it is gone."""


@dataclass(slots=True)
class _Camera:
    run: CameraRun
    source: RecordedSource
    published: int = -1
    needed: int = 0
    resumed: bool = False
    pictures: int = 0

    @property
    def mark(self) -> str:
        """A cursor that is set once, before the first frame: when it is gone, so is all that was on the bus."""
        return f"{self.run.camera.id}/{self.run.run_id}"


class RecordedFootage:
    """The recorded cameras of one process, which advance together.

    Attributes:
        problems: What could not be read to its end, one line each.
    """

    def __init__(
        self,
        footage: Sequence[tuple[CameraRun, RecordedSource]],
        bus: Bus,
        settings: BusSettings,
        pacer: Pacer,
        stop: threading.Event,
        idle: Callable[[], None],
        tally: Tally,
    ) -> None:
        """Get ready.

        Args:
            footage: The cameras and what they recorded.
            bus: Waits while its server is away.
            settings: For the room on the bus.
            pacer: Says when a frame is due.
            stop: Set when we are to stop.
            idle: Called often, also while we wait.
            tally: Counts the frames.
        """
        self.problems: list[str] = []
        self._cameras = [_Camera(run, source) for run, source in footage]
        self._bus = bus
        self._max_backlog = settings.max_backlog
        self._pacer = pacer
        self._stop = stop
        self._idle = idle
        self._tally = tally
        self._asked_s = -math.inf

    def run(self) -> None:
        """Publish everything that is not yet published, or as much as there is time for before we must stop.

        Raises:
            ServerUnavailableError: The bus is away and we were told to stop.
        """
        while not self._stop.is_set():
            try:
                self._publish_all()
            except _BusEmptiedError:
                # What was waiting there cannot be told from what was finished, so all that a window may still need
                # goes again: who counts frames counts each once. The pacer's schedule stands: nothing is paced again.
                log.warning("the bus has lost what was on it: what is still needed of footage is published again")
                self._bus.publish([("control", camera.run.opening()) for camera in self._cameras])
            else:
                return

    def _publish_all(self) -> None:
        self.problems.clear()
        for camera in self._cameras:
            # The mark comes first: when the bus is emptied after this, we will see it.
            self._bus.publish(cursors={camera.mark: (camera.run.run_id, 0)})
            published = self._bus.cursor(camera.run.camera.id, camera.run.run_id)
            camera.published = max(published, camera.needed - 1)
            camera.resumed, camera.pictures = camera.published >= 0, 0
            if camera.resumed:
                log.info("camera %s goes on after frame %d", camera.run.camera.id, camera.published)
        for step in merge([camera.source.shots() for camera in self._cameras]):
            self._meanwhile()
            if self._stop.is_set():
                return
            camera = self._cameras[step.camera]
            if step.shot is None:
                self._end(camera, step)
            elif step.frame_id > camera.published:
                self._frame(camera, step, step.shot)
        for camera in self._cameras:
            self._check_mark(camera)

    def _frame(self, camera: _Camera, step: Step, shot: Shot) -> None:
        if not self._wait_until_due(step.at_ms):
            return
        run = camera.run
        messages: list[tuple[StreamName, Message]] = []
        lost = ""
        try:
            picture = shot.picture()
        except UndecodableError as error:
            log.warning("camera %s: frame %d is lost: %s", run.camera.id, step.frame_id, error)
            lost = error.reason
            messages.append(("control", run.lost(step.frame_id, lost)))
        else:
            size = picture.width, picture.height
            ref = FrameRef(run.camera.id, run.run_id, step.frame_id, step.at_ms, *size, recorded=True)
            if not camera.pictures:
                messages.append(("control", run.state("live")))
            messages.append(("frames", Frame(ref, picture.jpeg)))
        if not self._wait_for_room():
            return
        self._check_mark(camera)
        self._bus.publish(messages, cursors={run.camera.id: (run.run_id, step.frame_id)})
        camera.published = step.frame_id
        if lost:
            self._tally.lose(lost)
        else:
            camera.pictures += 1
            self._tally.ingested(run.camera.id)

    def _end(self, camera: _Camera, step: Step) -> None:
        self._check_mark(camera)
        problem = step.problem
        if not problem and not camera.pictures and not camera.resumed:
            problem = "not one of its pictures can be read"
        self._bus.publish([("control", camera.run.state("ended", problem, step.frame_id))])
        if problem:
            self.problems.append(f"camera {camera.run.camera.id}: {problem}")
            log.warning("camera %s ended early, with %d frames: %s", camera.run.camera.id, step.frame_id, problem)
        else:
            log.info("camera %s ended with %d frames", camera.run.camera.id, step.frame_id)

    def _check_mark(self, camera: _Camera) -> None:
        if self._bus.cursor(camera.mark, camera.run.run_id) < 0:
            raise _BusEmptiedError

    def _meanwhile(self) -> None:
        self._idle()
        if time.monotonic() >= self._asked_s + _ASK_EVERY_S:
            self._asked_s = time.monotonic()
            # Remembered here: a bus that is emptied does not know any more.
            for camera in self._cameras:
                camera.needed = max(camera.needed, self._bus.needed(camera.run.camera.id, camera.run.run_id))

    def _wait_until_due(self, at_ms: int) -> bool:
        while (delay_s := self._pacer.delay_s(at_ms)) > 0:
            self._meanwhile()
            if self._stop.wait(min(delay_s, _LONGEST_WAIT_S)):
                return False
        return True

    def _wait_for_room(self) -> bool:
        while not self._stop.is_set():
            if self._bus.backlog("frames") < self._max_backlog:
                return True
            self._meanwhile()
            self._stop.wait(_ROOM_POLL_S)
        return False
