"""Publishes recorded footage: paced, waiting for room, and resumed after the last published frame. No frame is lost."""

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from crowdmood.bus.keys import StreamName
from crowdmood.bus.streams import Bus
from crowdmood.core.errors import SourceError, UndecodableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Frame, FrameRef, Message
from ingest.cameras import FrameCounts, IngestRun
from ingest.sources.base import RecordedFrame, RecordedSource
from ingest.timing import Pacer

log = logging.getLogger("crowdmood.ingest")

_ROOM_POLL_S = 0.01
_LONGEST_WAIT_S = 0.5
_READ_NEEDED_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """One frame of recorded footage, or its end.

    Attributes:
        camera: Index of the camera.
        at_ms: Event time in milliseconds.
        frame_id: The frame's number; at the end, the number of frames.
        frame: The frame; None at the end.
        problem: At the end: why the footage broke off; empty if it is complete.
    """

    camera: int
    at_ms: int
    frame_id: int
    frame: RecordedFrame | None
    problem: str = ""


def merge(footage: Sequence[Iterable[RecordedFrame]]) -> Iterator[Step]:
    """Yield the steps of all cameras by event time, then by camera; the last step of a camera is its end."""
    return heapq.merge(
        *(_steps(camera, frames) for camera, frames in enumerate(footage)), key=lambda step: (step.at_ms, step.camera)
    )


def _steps(camera: int, frames: Iterable[RecordedFrame]) -> Iterator[Step]:
    at_ms, count, problem = 0, 0, ""
    try:
        for frame in frames:
            at_ms = frame.at_ms
            yield Step(camera, at_ms, count, frame)
            count += 1
    except SourceError as error:
        problem = str(error)
    yield Step(camera, at_ms, count, None, problem)


class _BusEmptiedError(Exception):
    """The bus no longer has the mark of this run: its server restarted, and all entries are lost."""


class _NeededAgainError(Exception):
    """The aggregator continues from an older checkpoint, and needs frames that are no longer on the bus."""


@dataclass(slots=True)
class _Progress:
    """The progress of one camera."""

    run: IngestRun
    source: RecordedSource
    published: int = -1
    needed: int = 0
    resumed: bool = False
    images: int = 0

    @property
    def mark(self) -> str:
        """The name of a cursor that is set once, before the first frame. It is missing only if the bus was emptied."""
        return f"{self.run.camera.id}/{self.run.run_id}"


class RecordedFootage:
    """The recorded cameras of one process; they advance together in event time.

    Args:
        footage: The cameras and their sources.
        bus: Retries while its server is unreachable.
        settings: The length of the stream.
        pacer: Says when a frame is due.
        stop: Set when publishing is to stop.
        idle: Called often, also while waiting.
        counts: Counts the frames.

    Attributes:
        problems: One line for each camera whose footage broke off.
    """

    def __init__(
        self,
        footage: Sequence[tuple[IngestRun, RecordedSource]],
        bus: Bus,
        settings: BusSettings,
        pacer: Pacer,
        stop: threading.Event,
        idle: Callable[[], None],
        counts: FrameCounts,
    ) -> None:
        self.problems: list[str] = []
        self._cameras = [_Progress(run, source) for run, source in footage]
        self._bus = bus
        self._max_backlog = settings.max_backlog
        self._pacer = pacer
        self._stop = stop
        self._idle = idle
        self._counts = counts
        self._needed_read_s = -math.inf

    def run(self) -> None:
        """Publish every frame that is not published yet, until the end or until `stop` is set.

        Raises:
            ServerUnavailableError: The bus is unreachable, and `stop` is set.
        """
        while not self._stop.is_set():
            try:
                self._publish_all()
            except _BusEmptiedError:
                # Which of the lost entries were finished is unknown, so every frame that a window may still need is
                # published again; the aggregator counts each once. The pacer goes on, so these frames are due at once.
                log.warning("the bus was emptied: frames that are still needed are published again")
                self._bus.publish([("control", camera.run.opening()) for camera in self._cameras])
            except _NeededAgainError:
                log.warning("the aggregator lost its newest checkpoint: frames that it needs are published again")
            else:
                return

    def _publish_all(self) -> None:
        self.problems.clear()
        for camera in self._cameras:
            # Set the mark first, so that it is missing if the bus is emptied at any time after this.
            self._bus.publish(cursors={camera.mark: (camera.run.run_id, 0)})
            published = self._bus.cursor(camera.run.camera.id, camera.run.run_id)
            camera.published = max(published, camera.needed - 1)
            camera.resumed, camera.images = camera.published >= 0, 0
            if camera.resumed:
                log.info("camera %s resumes after frame %d", camera.run.camera.id, camera.published)
        for step in merge([camera.source.frames() for camera in self._cameras]):
            self._do_idle()
            if self._stop.is_set():
                return
            camera = self._cameras[step.camera]
            if step.frame is None:
                self._publish_end(camera, step)
            elif step.frame_id > camera.published:
                self._publish_frame(camera, step, step.frame)
        for camera in self._cameras:
            self._check_mark(camera)
        self._bus.forget_cursors([camera.mark for camera in self._cameras])

    def _publish_frame(self, camera: _Progress, step: Step, frame: RecordedFrame) -> None:
        if not self._wait_until_due(step.at_ms):
            return
        run = camera.run
        messages: list[tuple[StreamName, Message]] = []
        lost = ""
        try:
            image = frame.encode()
        except UndecodableError as error:
            log.warning("camera %s: frame %d is lost: %s", run.camera.id, step.frame_id, error)
            lost = error.reason
            messages.append(("control", run.lost(step.frame_id, lost)))
        else:
            size = image.width, image.height
            ref = FrameRef(run.camera.id, run.run_id, step.frame_id, step.at_ms, *size, recorded=True)
            if not camera.images:
                messages.append(("control", run.state("live")))
            messages.append(("frames", Frame(ref, image.jpeg)))
        if not self._wait_for_room():
            return
        self._check_mark(camera)
        self._bus.publish(messages, cursors={run.camera.id: (run.run_id, step.frame_id)})
        camera.published = step.frame_id
        if lost:
            self._counts.add_lost(lost)
        else:
            camera.images += 1
            self._counts.add_published(run.camera.id)

    def _publish_end(self, camera: _Progress, step: Step) -> None:
        self._check_mark(camera)
        problem = step.problem
        if not problem and not camera.images and not camera.resumed:
            problem = "none of its images can be read"
        self._bus.publish([("control", camera.run.state("ended", problem, step.frame_id))])
        if problem:
            self.problems.append(f"camera {camera.run.camera.id}: {problem}")
            log.warning("camera %s ended early, with %d frames: %s", camera.run.camera.id, step.frame_id, problem)
        else:
            log.info("camera %s ended with %d frames", camera.run.camera.id, step.frame_id)

    def _check_mark(self, camera: _Progress) -> None:
        if self._bus.cursor(camera.mark, camera.run.run_id) < 0:
            raise _BusEmptiedError

    def _do_idle(self) -> None:
        self._idle()
        if time.monotonic() >= self._needed_read_s + _READ_NEEDED_EVERY_S:
            self._needed_read_s = time.monotonic()
            # Keep the values: a bus that was emptied no longer has them.
            for camera in self._cameras:
                needed = self._bus.needed(camera.run.camera.id, camera.run.run_id)
                if 0 <= needed < camera.needed:
                    camera.needed = needed
                    self._bus.publish(cursors={camera.run.camera.id: (camera.run.run_id, needed - 1)})
                    raise _NeededAgainError
                camera.needed = max(camera.needed, needed)

    def _wait_until_due(self, at_ms: int) -> bool:
        while (delay_s := self._pacer.delay_s(at_ms)) > 0:
            self._do_idle()
            if self._stop.wait(min(delay_s, _LONGEST_WAIT_S)):
                return False
        return True

    def _wait_for_room(self) -> bool:
        while not self._stop.is_set():
            if self._bus.unread("frames").count < self._max_backlog:
                return True
            self._do_idle()
            self._stop.wait(_ROOM_POLL_S)
        return False
