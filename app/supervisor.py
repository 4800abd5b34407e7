"""Run stages as processes of this machine: start them, restart those that die, and stop them in data-flow order."""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from prometheus_client.multiprocess import mark_process_dead
from pydantic import SecretStr

from app.embedded import Keeper, embedded_servers
from app.restarts import RestartBudget
from app.stages import STAGES, environment_of
from crowdmood.bus.streams import Bus
from crowdmood.core.errors import (
    CrowdMoodError,
    IncompleteFootageError,
    ServerUnavailableError,
    SettingsError,
    StageFailedError,
    StageRefusedError,
)
from crowdmood.core.logs import redact
from crowdmood.core.metrics import MULTIPROCESS_VARIABLE
from crowdmood.core.process import SUPERVISED_VARIABLE
from crowdmood.core.settings import IN_FILES, Settings, required_url
from crowdmood.domain.messages import CameraState

log = logging.getLogger(__name__)

_CRASHES: Final = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
"""Signals that end a process when native code, such as a decoder, crashes."""

_CRASHES_BEFORE_SPLIT: Final = 2
"""Crashes after which the cameras of an ingest process are divided between two processes."""

_DRAIN_POLL_S: Final = 0.1

_LONGEST_VALUE: Final = 100_000
"""Longest value of an environment variable, in bytes: Linux accepts 128 KiB with its name."""

_LONGEST_PAUSE_S: Final = 60.0
"""Longest pause before a camera whose decoder crashes is tried again."""


@dataclass(slots=True)
class Child:
    """A process of a stage.

    Attributes:
        stage: Name of the stage.
        name: Worker name. It is the same after a restart, so that the worker resumes its unfinished entries.
        may_finish: Whether exit code 0 means that the work is done. Otherwise the process is restarted.
        budget: Restarts left.
        cameras: Ids of the cameras that an ingest process reads; empty for all.
        crashes: Number of crashes in native code.
        process: The running process; None when it has finished, or during a pause.
        restart_at_s: End of a pause before a restart, by the supervisor's clock; None without a pause.
        incomplete: Whether it finished with an incomplete result.
    """

    stage: str
    name: str
    may_finish: bool
    budget: RestartBudget
    cameras: Sequence[str] = ()
    crashes: int = 0
    process: subprocess.Popen[bytes] | None = None
    restart_at_s: float | None = None
    incomplete: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of `crowdmood` that start the process."""
        cameras = [word for camera in self.cameras for word in ("--camera", camera)]
        return (*STAGES[self.stage].words(self.name), *cameras)


@dataclass(slots=True)
class Supervisor:
    """Supervisor of the processes of a pipeline, which starts, restarts and stops them.

    Args:
        settings: Passed to every process, as far as its stage needs them; both server URLs must be set.
        metrics_dir: Folder of the metrics of all processes, which /metrics of the API adds up; it is emptied first.
        keeper: Keeper of the embedded servers; None when the servers are not embedded.
        clock: Monotonic time in seconds.
    """

    settings: Settings
    metrics_dir: Path
    keeper: Keeper | None = None
    clock: Callable[[], float] = time.monotonic
    _children: list[Child] = field(default_factory=list, init=False)
    _environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        shutil.rmtree(self.metrics_dir, ignore_errors=True)
        self.metrics_dir.mkdir(parents=True)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("CROWDMOOD_")}
        self._environment |= {SUPERVISED_VARIABLE: uuid.uuid4().hex, MULTIPROCESS_VARIABLE: str(self.metrics_dir)}

    def start(self, stage: str, count: int = 1, *, may_finish: bool = False) -> None:
        """Start `count` workers of a stage."""
        for number in range(count):
            self._add(Child(stage, f"{stage}-{number}", may_finish, self._budget()))

    def check(self) -> None:
        """Restart the processes that died since the last check.

        Raises:
            StageRefusedError: A process cannot work.
            StageFailedError: A process died more often than its budget allows.
        """
        if self.keeper is not None:
            self.keeper.check()
        for child in list(self._children):
            if child.process is None:
                if child.restart_at_s is not None and self.clock() >= child.restart_at_s:
                    self._spawn(child)
            elif (code := child.process.poll()) is not None:
                mark_process_dead(child.process.pid, str(self.metrics_dir))
                self._release(child)
                self._ended(child, code)

    def finished(self, stage: str) -> bool:
        """Return whether every process of a stage has finished."""
        ours = [child for child in self._children if child.stage == stage]
        return all(child.process is None and child.restart_at_s is None for child in ours)

    def incomplete(self) -> bool:
        """Return whether a process finished with an incomplete result."""
        return any(child.incomplete for child in self._children)

    def pids(self) -> dict[str, int]:
        """Return process ids by worker name."""
        return {child.name: child.process.pid for child in self._children if child.process is not None}

    def stop(self, stages: Sequence[str] = tuple(STAGES)) -> None:
        """Stop stages one after the other, so that each publishes its work first; kill processes that do not stop."""
        for stage in stages:
            ours = [child for child in self._children if child.stage == stage]
            for child in ours:
                child.restart_at_s = None
                if child.process is not None:
                    child.process.terminate()
            deadline = self.clock() + self.settings.run.stop_timeout_s
            for child in ours:
                if child.process is not None:
                    self._wait(child, child.process, deadline)
            if stage == "ingest":
                self._drain(deadline)

    def _ended(self, child: Child, code: int) -> None:
        child.incomplete = code == IncompleteFootageError.exit_code
        if child.may_finish and (code == 0 or child.incomplete):
            return
        if code == CrowdMoodError.exit_code:
            raise StageRefusedError(f"{child.name} cannot work and has reported why")
        if child.stage == "ingest" and -code in _CRASHES:
            self._crashed(child, signal.Signals(-code).name)
            return
        if not child.budget.spend(self.clock()):
            raise StageFailedError(
                f"{child.name} died again (exit code {code}), more often than CROWDMOOD_RUN__MAX_RESTARTS allows"
            )
        log.warning("%s died (exit code %s): restarted", child.name, code)
        self._spawn(child)

    def _crashed(self, child: Child, reason: str) -> None:
        """Restart an ingest process that native code ended, until the camera at fault is alone in its process."""
        child.crashes += 1
        cameras = list(child.cameras) or [camera.id for camera in self.settings.cameras]
        if len(cameras) == 1:
            pause_s = min(2.0 ** (child.crashes - 1), _LONGEST_PAUSE_S)
            child.restart_at_s = self.clock() + pause_s
            detail = f"its decoder crashed ({reason}, {child.crashes} times): next attempt in {pause_s:g} s"
            log.error("camera %s: %s", cameras[0], detail)
            self._report_down(cameras[0], detail)
            return
        log.warning("%s crashed (%s): restarted", child.name, reason)
        if child.crashes >= _CRASHES_BEFORE_SPLIT:
            half = len(cameras) // 2
            child.cameras, child.crashes = cameras[:half], 0
            number = sum(other.stage == "ingest" for other in self._children)
            other = Child("ingest", f"ingest-{number}", child.may_finish, self._budget(), cameras[half:])
            log.warning("its cameras are divided: %s reads %s", other.name, ", ".join(other.cameras))
            self._add(other)
        self._spawn(child)

    def _report_down(self, camera_id: str, detail: str) -> None:
        """Publish the state of a camera whose process has crashed."""
        camera = next(camera for camera in self.settings.cameras if camera.id == camera_id)
        now_ms = time.time_ns() // 1_000_000
        state = CameraState(
            camera_id=camera_id,
            run_id=self.settings.run_id if camera.recorded else str(now_ms),
            state="down",
            recorded=camera.recorded,
            source=redact(camera.uri.get_secret_value()),
            detail=detail,
            frame_count=0,
            at_ms=now_ms,
        )
        bus = Bus(required_url(self.settings.bus_url, "bus"), self.settings.bus)
        with contextlib.closing(bus), contextlib.suppress(ServerUnavailableError):
            bus.publish([("control", state)], patient=False)

    def _drain(self, deadline: float) -> None:
        """Wait until the frames of live cameras are counted: an embedded bus ends with its entries."""
        if all(camera.recorded for camera in self.settings.cameras):
            return  # footage is read again from the first frame that is not counted
        bus = Bus(required_url(self.settings.bus_url, "bus"), self.settings.bus)
        with contextlib.closing(bus), contextlib.suppress(ServerUnavailableError):
            while not bus.drained():
                if self.clock() >= deadline:
                    log.warning("frames are left on the bus: they will be missing")
                    return
                time.sleep(_DRAIN_POLL_S)

    def _budget(self) -> RestartBudget:
        return RestartBudget(self.settings.run.max_restarts, self.settings.run.restart_window_s)

    def _add(self, child: Child) -> None:
        self._spawn(child)
        self._children.append(child)

    def _wait(self, child: Child, process: subprocess.Popen[bytes], deadline: float) -> None:
        try:
            process.wait(max(0.0, deadline - self.clock()))
        except subprocess.TimeoutExpired:
            log.warning("%s does not stop: killed", child.name)
            process.kill()
            process.wait()
        self._release(child)

    def _release(self, child: Child) -> None:
        """Close the pipe to a process that has ended."""
        assert child.process is not None and child.process.stdin is not None
        child.process.stdin.close()
        child.process = None

    def _settings_of(self, stage: str) -> dict[str, str]:
        """Return the environment with the settings of a stage; values that are too long for it are put into files."""
        environment = environment_of(stage, self.settings)
        for name in IN_FILES:
            variable = f"CROWDMOOD_{name.upper()}"
            if len(environment.get(variable, "").encode()) > _LONGEST_VALUE:
                file = self.metrics_dir / f"{stage}-{name}.json"
                file.touch(mode=0o600)
                file.write_text(environment.pop(variable))
                environment[f"{variable}_FILE"] = str(file)
        return environment

    def _spawn(self, child: Child) -> None:
        child.restart_at_s = None
        child.process = subprocess.Popen(
            [sys.executable, "-m", "app", *child.words],
            env=self._environment | self._settings_of(child.stage),
            stdin=subprocess.PIPE,
            # Ctrl-C must reach the supervisor alone, which stops the stages in order.
            start_new_session=True,
        )


@contextlib.contextmanager
def servers_for(settings: Settings) -> Iterator[tuple[Settings, Keeper | None]]:
    """Run embedded servers in place of servers without a URL.

    Yields:
        The settings with both URLs set, and the keeper of the embedded servers, or None if there are none.
    """
    if settings.bus_url is not None and settings.state_url is not None:
        yield settings, None
        return
    with embedded_servers(settings.data_dir, settings.embedded, settings.run) as keeper:
        addresses = {
            "bus_url": settings.bus_url or SecretStr(keeper.servers.bus_url),
            "state_url": settings.state_url or SecretStr(keeper.servers.state_url),
        }
        yield settings.model_copy(update=addresses), keeper


@contextlib.contextmanager
def supervised(settings: Settings, *, serve: bool, keeper: Keeper | None = None) -> Iterator[Supervisor]:
    """Run a pipeline for the settings' cameras. At the end, stop it in data-flow order.

    Args:
        settings: All settings; both server URLs must be set.
        serve: Whether to run the API and the webhook dispatcher.
        keeper: Keeper of the embedded servers; None when the servers are not embedded.

    Raises:
        SettingsError: The bus has several partitions, whose stages must be started separately.
    """
    if settings.bus.partitions > 1:
        raise SettingsError("CROWDMOOD_BUS__PARTITIONS must be 1 here: with partitions, start each stage separately")
    with metrics_folder() as metrics_dir:
        supervisor = Supervisor(settings, metrics_dir, keeper)
        try:
            if serve:
                supervisor.start("api")
                supervisor.start("dispatch")
            supervisor.start("aggregator")
            supervisor.start("classifier", settings.run.classifiers)
            supervisor.start("detector", settings.run.detectors)
            supervisor.start("ingest", may_finish=True)
            yield supervisor
        finally:
            supervisor.stop()


@contextlib.contextmanager
def metrics_folder() -> Iterator[Path]:
    """Create a temporary folder for the metrics of all processes, in shared memory if the system has it.

    The files are memory-mapped: with a full disk, a write to them would end the process with SIGBUS.
    """
    memory = Path("/dev/shm")  # noqa: S108 (a folder of a random name is made in it)  # nosec B108
    parent = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="crowdmood-metrics-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "metrics"
