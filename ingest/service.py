"""The ingest process: recorded footage in the main thread, each live camera in its own thread."""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Sequence

from crowdmood.bus.clock import BusClock
from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Heartbeat
from crowdmood.core.errors import IncompleteFootageError, ServerUnavailableError, SettingsError, SourceError
from crowdmood.core.process import default_name
from crowdmood.core.settings import CameraSettings, Settings
from ingest.cameras import FrameCounts, IngestRun, wall_ms
from ingest.live import LiveCamera
from ingest.live_publisher import LivePublisher
from ingest.recorded import RecordedFootage
from ingest.sources import live_source, recorded_source
from ingest.sources.base import RecordedSource
from ingest.timing import Pacer

log = logging.getLogger("crowdmood.ingest")

_CHECK_EVERY_S = 0.1
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
"""Distance between the phases of two cameras: spreads any number of cameras evenly over the sampling interval."""
_JOIN_WITHIN_S = 2.0
"""Longest wait for the threads of cameras at the end. A thread that still waits for its camera has nothing to lose."""


def run(
    settings: Settings,
    stop: threading.Event,
    cameras: Sequence[CameraSettings] | None = None,
    worker_name: str | None = None,
) -> int:
    """Publish the cameras' frames until `stop` is set, or until all footage has ended and no camera is live.

    Args:
        settings: All settings, with the URL of the bus.
        stop: Set when the process is to stop.
        cameras: The cameras; default all configured cameras of this partition.
        worker_name: Name of this process on the bus.

    Returns:
        The exit code 0.

    Raises:
        SettingsError: There is no camera, or no bus.
        SourceError: Footage cannot be opened; nothing was published.
        IncompleteFootageError: Footage broke off; all frames before that were published.
    """
    cameras = settings.cameras_here if cameras is None else cameras
    if not cameras:
        raise SettingsError("no camera is configured for this partition: set CROWDMOOD_CAMERAS or name footage")
    if settings.bus_url is None:
        raise SettingsError("CROWDMOOD_BUS_URL is not set")
    ingest = _Ingest(settings, settings.bus_url.get_secret_value(), stop, cameras, worker_name or default_name())
    ingest.run()
    return 0


def _check(camera: CameraSettings, settings: Settings) -> tuple[IngestRun, RecordedSource]:
    source = recorded_source(camera, settings.ingest)
    try:
        expected_frames = source.check()
    except SourceError as error:
        raise SourceError(f"camera {camera.id}: {error}") from None
    return IngestRun(camera, settings.run_id, expected_frames), source


class _Ingest:
    def __init__(
        self, settings: Settings, bus_url: str, stop: threading.Event, cameras: Sequence[CameraSettings], name: str
    ) -> None:
        self._name = name
        self._stop = stop
        self._stop_cameras = threading.Event()
        self._counts = FrameCounts()
        self._crashes: list[BaseException] = []
        live_run_id = str(wall_ms())
        live = [(IngestRun(c, live_run_id), live_source(c, settings.ingest)) for c in cameras if not c.recorded]
        recorded = [_check(c, settings) for c in cameras if c.recorded]
        self._bus = Bus(bus_url, settings.bus, stop)
        # A connection whose `stop` is set does not retry: live cameras must not wait.
        stopped = threading.Event()
        stopped.set()
        self._live_bus = Bus(bus_url, settings.bus, stopped)
        self._clock = BusClock(self._live_bus.connection, settings.bus.partition)
        self._heartbeat = Heartbeat(self._live_bus, "ingest", name)
        self._runs = [run for run, _ in [*recorded, *live]]
        self._footage = RecordedFootage(
            recorded, self._bus, settings.bus, Pacer(settings.ingest.speed), stop, self._check_health, self._counts
        )
        self._threads = []
        sharing = max(len(settings.cameras_here), len(live))
        numbers = {camera.id: number for number, camera in enumerate(settings.cameras)}
        for camera_run, source in live:
            publisher = LivePublisher(camera_run, self._live_bus, settings.bus, self._counts, sharing)
            phase = numbers.get(camera_run.camera.id, 0) * _GOLDEN_RATIO % 1
            camera = LiveCamera(
                camera_run,
                source,
                publisher,
                settings.ingest,
                self._stop_cameras,
                self._clock.now_ms,
                phase=phase,
            )
            self._threads.append(
                # A daemon thread, so that waiting for a camera does not keep the process alive.
                threading.Thread(target=self._run_camera, args=(camera,), name=camera_run.camera.id, daemon=True)
            )

    def run(self) -> None:
        started_s = time.monotonic()
        try:
            self._publish()
        except ServerUnavailableError as error:
            if not self._stop.is_set():
                raise
            log.warning("stopping without the bus: %s", error)
        finally:
            self._close()
            seconds = time.monotonic() - started_s
            log.info("ingest %s stops after %.1f s: %s", self._name, seconds, self._counts)
        self._raise_crash()
        if self._footage.problems:
            raise IncompleteFootageError("; ".join(self._footage.problems))

    def _publish(self) -> None:
        self._bus.publish([("control", camera_run.opening()) for camera_run in self._runs])
        if self._threads:
            with contextlib.suppress(ServerUnavailableError):
                self._clock.measure()
            self._clock.follow(self._stop_cameras)
        log.info("ingest %s is ready", self._name)
        for thread in self._threads:
            thread.start()
        self._footage.run()
        while self._threads and not self._stop.wait(_CHECK_EVERY_S):
            self._check_health()

    def _check_health(self) -> None:
        """Write the heartbeat, or raise if the thread of a camera crashed."""
        self._raise_crash()
        with contextlib.suppress(ServerUnavailableError):
            self._heartbeat.beat()

    def _run_camera(self, camera: LiveCamera) -> None:
        try:
            camera.run()
        except BaseException as error:
            self._crashes.append(error)

    def _raise_crash(self) -> None:
        # The thread of a camera ends only when the process stops. An exception there is a bug: end the process.
        if self._crashes:
            raise self._crashes[0]

    def _close(self) -> None:
        self._stop_cameras.set()
        deadline_s = time.monotonic() + _JOIN_WITHIN_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline_s - time.monotonic()))
        self._heartbeat.stop()
        self._bus.close()
        self._live_bus.close()
