"""Live cameras: sample frames as they arrive, detect frozen images, and reconnect after failures."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from crowdmood.core import metrics
from crowdmood.core.backoff import Backoff
from crowdmood.core.errors import SourceError, UndecodableError
from crowdmood.core.settings import IngestSettings
from crowdmood.domain.messages import CameraStateName, Frame, FrameRef
from ingest.cameras import IngestRun
from ingest.encoding import Planes
from ingest.live_publisher import LivePublisher
from ingest.sources.base import LiveFrame, LiveSource
from ingest.sources.container import RefusedError
from ingest.timing import FreezeWatch, LiveClock, Sampler

log = logging.getLogger("crowdmood.ingest")

_FLUSH_EVERY_S = 1.0
_REPEAT_STATE_EVERY_S = 10.0
_FIRST_PAUSE_S = 0.5


class LiveCamera:
    """A live camera during one run; frame ids continue after a lost connection.

    Args:
        run: The camera and its run.
        source: The source of its frames.
        publisher: Publishes the frames.
        settings: Sampling, image quality, and the longest waits.
        stop: Set when the camera is to stop.
        bus_ms: Returns the bus server's time in milliseconds since 1970-01-01 UTC, for event time; None before it is
            known.
        clock: Monotonic time in seconds, for intervals.
        phase: Part of the sampling interval by which this camera's samples are shifted, 0 to 1, so that not all cameras
            are sampled at the same time.
    """

    def __init__(
        self,
        run: IngestRun,
        source: LiveSource,
        publisher: LivePublisher,
        settings: IngestSettings,
        stop: threading.Event,
        bus_ms: Callable[[], int | None],
        clock: Callable[[], float] = time.monotonic,
        phase: float = 0.0,
    ) -> None:
        self._run = run
        self._source = source
        self._publisher = publisher
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._bus_ms = bus_ms
        self._shift_s = phase / settings.sample_fps
        self._sampler = Sampler(settings.sample_fps)
        self._freeze_watch = FreezeWatch(settings.frozen_after_s)
        self._backoff = Backoff(_FIRST_PAUSE_S, settings.reconnect_max_s)
        self._state: CameraStateName = "opening"
        self._next_frame_id = 0
        self._event_clock = LiveClock()
        self._warned = False
        self._repeat_at_s = clock() + _REPEAT_STATE_EVERY_S

    def run(self) -> None:
        """Publish the camera's frames until `stop` is set."""
        while not self._stop.is_set():
            connected_s = self._clock()
            try:
                why = self._read_frames()
            except RefusedError as error:
                self._set_state("refused", str(error))
                self._pause(self._settings.refused_pause_s)
                continue
            if self._stop.is_set():
                break
            if self._clock() - connected_s > self._settings.reconnect_max_s and self._state != "down":
                self._backoff.reset()
            self._set_state("down", why)
            self._pause(self._backoff.next_s())
            metrics.CAMERA_RECONNECTS.labels(self._run.camera.id).inc()
        self._publisher.close()

    def _read_frames(self) -> str:
        """Connect, publish frames until the stream ends, and return why it ended."""
        self._freeze_watch = FreezeWatch(self._settings.frozen_after_s)
        try:
            with contextlib.closing(self._source.frames()) as frames:
                for frame in frames:
                    if self._stop.is_set():
                        break
                    now_s = self._clock()
                    if self._sampler.take(round((now_s + self._shift_s) * 1000)):
                        self._publish(frame, now_s)
        except RefusedError:
            raise
        except SourceError as error:
            return str(error)
        return "the stream ended"

    def _publish(self, frame: LiveFrame, now_s: float) -> None:
        frame_id = self._next_frame_id
        self._next_frame_id += 1
        bus_ms = self._bus_ms()
        if bus_ms is None:
            self._publisher.report_lost(frame_id, "bus_unavailable")
            return
        at_ms = self._event_clock.at_ms(bus_ms, now_s)
        try:
            planes = Planes.of(frame.image, self._settings.max_frame_megapixels, frame.pixel_aspect)
        except UndecodableError as error:
            if not self._warned:
                log.warning("camera %s: frames are lost: %s", self._run.camera.id, error)
                self._warned = True
            self._publisher.report_lost(frame_id, error.reason)
            self._publisher.flush()
            return
        frozen = self._freeze_watch.frozen(planes.digest(), now_s)
        detail = f"the same image for more than {self._settings.frozen_after_s:g} s" if frozen else ""
        self._set_state("frozen" if frozen else "live", detail)
        image = planes.encode(self._settings.jpeg_quality)
        size = image.width, image.height
        ref = FrameRef(self._run.camera.id, self._run.run_id, frame_id, at_ms, *size, recorded=False)
        self._publisher.publish(Frame(ref, image.jpeg))

    def _set_state(self, state: CameraStateName, detail: str) -> None:
        if state == self._state:
            self._repeat_state()
            return
        self._repeat_at_s = self._clock() + _REPEAT_STATE_EVERY_S
        self._state = state
        level = logging.INFO if state == "live" else logging.WARNING
        log.log(level, "camera %s is %s%s", self._run.camera.id, state, f": {detail}" if detail else "")
        self._publisher.report_state(state, detail)

    def _repeat_state(self) -> None:
        if self._clock() >= self._repeat_at_s:
            self._repeat_at_s = self._clock() + _REPEAT_STATE_EVERY_S
            self._publisher.repeat_state()

    def _pause(self, pause_s: float) -> None:
        until_s = self._clock() + pause_s
        while not self._stop.is_set() and (left_s := until_s - self._clock()) > 0:
            self._repeat_state()
            self._publisher.flush()
            self._stop.wait(min(left_s, _FLUSH_EVERY_S))
