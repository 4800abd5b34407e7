"""The ingest process: recorded footage in the main thread, each live camera in a thread of its own."""

import contextlib
import logging
import threading
import time
from collections.abc import Sequence

from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Heartbeat
from crowdmood.core.errors import IncompleteFootageError, ServerUnavailableError, SettingsError, SourceError
from crowdmood.core.process import default_name
from crowdmood.core.settings import CameraSettings, Settings
from ingest.cameras import CameraRun, Tally, wall_ms
from ingest.live import LiveCamera
from ingest.outlet import LiveOutlet
from ingest.pacing import Pacer
from ingest.recorded import RecordedFootage
from ingest.sources import live_source, recorded_source
from ingest.sources.base import RecordedSource

log = logging.getLogger("crowdmood.ingest")

_LOOK_EVERY_S = 0.1
_GOODBYE_S = 2.0
"""Longest wait at the end for cameras' threads: one that waits for its camera holds nothing that could be lost."""


def run(
    settings: Settings,
    stop: threading.Event,
    cameras: Sequence[CameraSettings] | None = None,
    worker_name: str | None = None,
) -> int:
    """Publish the cameras' frames until told to stop, or until all footage has ended and no camera is live.

    Args:
        settings: All settings, with the bus's address.
        stop: Set when we are to stop.
        cameras: Which cameras; default all that are configured and of our partition.
        worker_name: What this process is called on the bus.

    Returns:
        0: the exit code.

    Raises:
        SettingsError: There is no camera, or no bus.
        SourceError: Footage cannot be opened: nothing was published.
        IncompleteFootageError: Footage broke off: all that there is was published.
    """
    cameras = settings.cameras_here if cameras is None else cameras
    if not cameras:
        raise SettingsError("no camera is configured for this partition: set CROWDMOOD_CAMERAS or name footage")
    if settings.bus_url is None:
        raise SettingsError("CROWDMOOD_BUS_URL is not set")
    ingest = _Ingest(settings, settings.bus_url.get_secret_value(), stop, cameras, worker_name or default_name())
    ingest.run()
    return 0


def _check(camera: CameraSettings, settings: Settings) -> tuple[CameraRun, RecordedSource]:
    source = recorded_source(camera, settings.ingest)
    try:
        expected_frames = source.check()
    except SourceError as error:
        raise SourceError(f"camera {camera.id}: {error}") from None
    return CameraRun(camera, settings.run_id, expected_frames), source


class _Ingest:
    def __init__(
        self, settings: Settings, bus_url: str, stop: threading.Event, cameras: Sequence[CameraSettings], name: str
    ) -> None:
        self._name = name
        self._stop = stop
        self._halt = threading.Event()
        self._tally = Tally()
        self._crashes: list[BaseException] = []
        live_run_id = str(wall_ms())
        live = [(CameraRun(c, live_run_id), live_source(c, settings.ingest)) for c in cameras if not c.recorded]
        recorded = [_check(c, settings) for c in cameras if c.recorded]
        self._bus = Bus(bus_url, settings.bus, stop)
        # A connection that is told to stop waits for no server: what live cameras need.
        impatient = threading.Event()
        impatient.set()
        self._live_bus = Bus(bus_url, settings.bus, impatient)
        self._heartbeat = Heartbeat(self._live_bus, "ingest", name)
        self._runs = [camera_run for camera_run, _ in [*recorded, *live]]
        self._footage = RecordedFootage(
            recorded, self._bus, settings.bus, Pacer(settings.ingest.speed), stop, self._look_around, self._tally
        )
        self._threads = []
        for camera_run, camera_source in live:
            outlet = LiveOutlet(camera_run, self._live_bus, settings.bus, self._tally)
            camera = LiveCamera(camera_run, camera_source, outlet, settings.ingest, self._halt)
            self._threads.append(
                # A daemon: a thread that waits for its camera must not keep the process alive.
                threading.Thread(target=self._guard, args=(camera,), name=camera_run.camera.id, daemon=True)
            )

    def run(self) -> None:
        started_s = time.monotonic()
        try:
            self._work()
        except ServerUnavailableError as error:
            if not self._stop.is_set():
                raise
            log.warning("stopping without the bus: %s", error)
        finally:
            self._close()
            seconds = time.monotonic() - started_s
            log.info("ingest %s stops after %.1f s: %s", self._name, seconds, self._tally)
        self._die_of_crash()
        if self._footage.problems:
            raise IncompleteFootageError("; ".join(self._footage.problems))

    def _work(self) -> None:
        self._bus.publish([("control", camera_run.opening()) for camera_run in self._runs])
        log.info("ingest %s is ready", self._name)
        for thread in self._threads:
            thread.start()
        self._footage.run()
        while self._threads and not self._stop.wait(_LOOK_EVERY_S):
            self._look_around()

    def _look_around(self) -> None:
        """Show that we live, as long as all of us does."""
        self._die_of_crash()
        with contextlib.suppress(ServerUnavailableError):
            self._heartbeat.beat()

    def _guard(self, camera: LiveCamera) -> None:
        try:
            camera.run()
        except BaseException as error:
            self._crashes.append(error)

    def _die_of_crash(self) -> None:
        # A camera's thread ends by itself only when we stop: anything else is a bug, which must not go unseen.
        if self._crashes:
            raise self._crashes[0]

    def _close(self) -> None:
        self._halt.set()
        goodbye_s = time.monotonic() + _GOODBYE_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, goodbye_s - time.monotonic()))
        self._heartbeat.stop()
        self._bus.close()
        self._live_bus.close()
