"""One live camera: sampled as it comes, watched for standing still, and found again when it goes away."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

import av

from crowdmood.core import metrics
from crowdmood.core.errors import SourceError, UndecodableError
from crowdmood.core.settings import IngestSettings
from crowdmood.domain.messages import CameraStateName, Frame, FrameRef
from ingest.backoff import Backoff
from ingest.cameras import CameraRun, wall_ms
from ingest.encoding import Planes
from ingest.event_time import EventTime
from ingest.freezing import FreezeWatch
from ingest.outlet import LiveOutlet
from ingest.sampling import Sampler
from ingest.sources.base import LiveSource

log = logging.getLogger("crowdmood.ingest")

_FLUSH_EVERY_S = 1.0


class LiveCamera:
    """A camera during one run; its numbering goes on through lost connections."""

    def __init__(
        self,
        run: CameraRun,
        source: LiveSource,
        outlet: LiveOutlet,
        settings: IngestSettings,
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = wall_ms,
    ) -> None:
        """Get ready.

        Args:
            run: The camera and its run.
            source: Where its frames come from.
            outlet: Where they go.
            settings: Sampling, quality, patience.
            stop: Set when we are to stop.
            clock: Seconds that only grow: for intervals.
            wall: Milliseconds since 1970-01-01 UTC: for event time.
        """
        self._run = run
        self._source = source
        self._outlet = outlet
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._wall = wall
        self._started_s = clock()
        self._sampler = Sampler(settings.sample_fps)
        self._watch = FreezeWatch(settings.frozen_after_s)
        self._backoff = Backoff(settings.reconnect_max_s)
        self._state: CameraStateName = "opening"
        self._next_frame_id = 0
        self._event_time = EventTime()
        self._complained = False

    def run(self) -> None:
        """Watch the camera until we must stop."""
        while not self._stop.is_set():
            connected_s = self._clock()
            why = self._follow()
            if self._stop.is_set():
                break
            if self._clock() - connected_s > self._settings.reconnect_max_s and self._state != "down":
                self._backoff.reset()
            self._change("down", why)
            self._pause(self._backoff.next_s())
            metrics.CAMERA_RECONNECTS.labels(self._run.camera.id).inc()
        self._outlet.close()

    def _follow(self) -> str:
        """Connect and take frames until that ends; returns why it ended."""
        self._watch = FreezeWatch(self._settings.frozen_after_s)
        try:
            with contextlib.closing(self._source.frames()) as frames:
                for frame in frames:
                    if self._stop.is_set():
                        break
                    now_s = self._clock()
                    if self._sampler.take(round((now_s - self._started_s) * 1000)):
                        self._take(frame, now_s)
        except SourceError as error:
            return str(error)
        return "the stream ended"

    def _take(self, frame: av.VideoFrame, now_s: float) -> None:
        frame_id = self._next_frame_id
        self._next_frame_id += 1
        at_ms = self._event_time.at(self._wall(), now_s)
        try:
            planes = Planes.of(frame, self._settings.max_frame_megapixels)
        except UndecodableError as error:
            if not self._complained:
                log.warning("camera %s: frames are lost: %s", self._run.camera.id, error)
                self._complained = True
            self._outlet.lose(frame_id, error.reason)
            self._outlet.flush()
            return
        frozen = self._watch.frozen(planes.digest(), now_s)
        detail = f"the same picture for more than {self._settings.frozen_after_s:g} s" if frozen else ""
        self._change("frozen" if frozen else "live", detail)
        picture = planes.encode(self._settings.jpeg_quality)
        size = picture.width, picture.height
        ref = FrameRef(self._run.camera.id, self._run.run_id, frame_id, at_ms, *size, recorded=False)
        self._outlet.put(Frame(ref, picture.jpeg))

    def _change(self, state: CameraStateName, detail: str) -> None:
        if state == self._state:
            return
        self._state = state
        level = logging.INFO if state == "live" else logging.WARNING
        log.log(level, "camera %s is %s%s", self._run.camera.id, state, f": {detail}" if detail else "")
        self._outlet.announce(state, detail)

    def _pause(self, pause_s: float) -> None:
        until_s = self._clock() + pause_s
        while not self._stop.is_set() and (left_s := until_s - self._clock()) > 0:
            self._outlet.flush()
            self._stop.wait(min(left_s, _FLUSH_EVERY_S))
