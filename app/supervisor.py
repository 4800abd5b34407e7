"""Runs stages as processes on this machine: starts them, restarts what dies, stops them in the pipeline's order."""

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead
from pydantic import SecretStr

from app.embedded import embedded_servers
from crowdmood.core.errors import (
    CrowdMoodError,
    IncompleteFootageError,
    SettingsError,
    StageFailedError,
    StageRefusedError,
)
from crowdmood.core.metrics import MULTIPROCESS_VARIABLE
from crowdmood.core.process import SUPERVISED_VARIABLE
from crowdmood.core.settings import Settings, to_environment

log = logging.getLogger(__name__)


class RestartBudget:
    """How often a stage may die.

    Args:
        max_restarts: So many times …
        window_s: … within so many seconds.
    """

    def __init__(self, max_restarts: int, window_s: float) -> None:
        self._max_restarts = max_restarts
        self._window_s = window_s
        self._restarts: deque[float] = deque()

    def spend(self, now_s: float) -> bool:
        """Take one restart; False when none is left."""
        while self._restarts and self._restarts[0] <= now_s - self._window_s:
            self._restarts.popleft()
        if len(self._restarts) >= self._max_restarts:
            return False
        self._restarts.append(now_s)
        return True


@dataclass(slots=True)
class Child:
    """A process of a stage.

    Attributes:
        name: Its worker name, the same after a restart: so it finds its own unfinished entries.
        command: The words after `crowdmood`.
        may_finish: Whether exit code 0 means that its work is done, rather than that it died.
        budget: Restarts left.
        process: The running process; None when it has finished.
        incomplete: Whether it finished with less than it was asked for.
    """

    name: str
    command: Sequence[str]
    may_finish: bool
    budget: RestartBudget
    process: subprocess.Popen[bytes] | None = None
    incomplete: bool = False


class Supervisor:
    """Keeps the processes of a pipeline alive.

    Args:
        settings: Given to every process; both server addresses must be set.
        metrics_dir: Where the processes keep the figures that the API's /metrics adds up.
    """

    def __init__(self, settings: Settings, metrics_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._children: list[Child] = []
        self._metrics_dir = metrics_dir
        shutil.rmtree(metrics_dir, ignore_errors=True)
        metrics_dir.mkdir(parents=True)
        self._environment = (
            {name: value for name, value in os.environ.items() if not name.startswith("CROWDMOOD_")}
            | to_environment(settings)
            | {SUPERVISED_VARIABLE: uuid.uuid4().hex, MULTIPROCESS_VARIABLE: str(metrics_dir)}
        )

    def start(self, stage: str, count: int = 1, *, may_finish: bool = False) -> None:
        """Start `count` processes of a stage, named by its command."""
        for number in range(count):
            name = f"{stage}-{number}"
            budget = RestartBudget(self._settings.run.max_restarts, self._settings.run.restart_window_s)
            command = (stage,) if stage == "api" else (stage, "--name", name)
            child = Child(name, command, may_finish, budget)
            self._spawn(child)
            self._children.append(child)

    def check(self) -> None:
        """Look after everybody once: what died is started again.

        Raises:
            StageRefusedError: A process said that it cannot work.
            StageFailedError: A process died more often than its budget allows.
        """
        for child in self._children:
            if child.process is None or (code := child.process.poll()) is None:
                continue
            mark_process_dead(child.process.pid, str(self._metrics_dir))
            self._forget(child)
            child.incomplete = code == IncompleteFootageError.exit_code
            if child.may_finish and (code == 0 or child.incomplete):
                continue
            if code == CrowdMoodError.exit_code:
                raise StageRefusedError(f"{child.name} cannot work and has said why")
            if not child.budget.spend(self._clock()):
                raise StageFailedError(
                    f"{child.name} died again (exit code {code}), more often than CROWDMOOD_RUN__MAX_RESTARTS allows"
                )
            log.warning("%s died (exit code %s): started again", child.name, code)
            self._spawn(child)

    def finished(self, stage: str) -> bool:
        """Whether every process of a stage has done its work."""
        return all(child.process is None for child in self._children if child.command[0] == stage)

    def incomplete(self) -> bool:
        """Whether a process finished with less than it was asked for, and has said so."""
        return any(child.incomplete for child in self._children)

    def pids(self) -> dict[str, int]:
        """Process ids by worker name."""
        return {child.name: child.process.pid for child in self._children if child.process is not None}

    def stop(self, stages: Sequence[str]) -> None:
        """Stop stages one after the other, so that each can still hand its work on; kill what does not stop."""
        for stage in stages:
            stopping = [child for child in self._children if child.command[0] == stage and child.process]
            for child in stopping:
                assert child.process is not None
                child.process.terminate()
            deadline = self._clock() + self._settings.run.stop_timeout_s
            for child in stopping:
                self._wait(child, deadline)

    def _wait(self, child: Child, deadline: float) -> None:
        assert child.process is not None
        try:
            child.process.wait(max(0.0, deadline - self._clock()))
        except subprocess.TimeoutExpired:
            log.warning("%s does not stop: killed", child.name)
            child.process.kill()
            child.process.wait()
        self._forget(child)

    def _forget(self, child: Child) -> None:
        """Let go of a process that has ended, and of the pipe that we held open for it."""
        assert child.process is not None and child.process.stdin is not None
        child.process.stdin.close()
        child.process = None

    def _spawn(self, child: Child) -> None:
        child.process = subprocess.Popen(
            [sys.executable, "-m", "app", *child.command],
            env=self._environment,
            stdin=subprocess.PIPE,
            # Ctrl-C is for us: we stop the stages in order.
            start_new_session=True,
        )


PIPELINE = ("ingest", "detect", "classify", "aggregate", "dispatch", "api")
"""The stages' commands in the order of the data, which is the order in which they stop."""


@contextlib.contextmanager
def servers_for(settings: Settings) -> Iterator[Settings]:
    """The settings with both server addresses set: embedded servers take the place of those that are not."""
    if settings.bus_url is not None and settings.state_url is not None:
        yield settings
        return
    with embedded_servers(settings.data_dir, settings.embedded) as servers:
        yield settings.model_copy(
            update={
                "bus_url": settings.bus_url or SecretStr(servers.bus_url),
                "state_url": settings.state_url or SecretStr(servers.state_url),
            }
        )


@contextlib.contextmanager
def supervised(settings: Settings, *, serve: bool) -> Iterator[Supervisor]:
    """A running pipeline for the settings' cameras, stopped in order at the end.

    Args:
        settings: With both server addresses.
        serve: Whether the API and its webhooks run too.

    Raises:
        SettingsError: The bus has partitions, which are for stages that are started one by one.
    """
    if settings.bus.partitions > 1:
        raise SettingsError("CROWDMOOD_BUS__PARTITIONS is for stages that are started one by one: leave it at 1 here")
    supervisor = Supervisor(settings, settings.data_dir / "metrics")
    try:
        if serve:
            supervisor.start("api")
            supervisor.start("dispatch")
        supervisor.start("aggregate")
        supervisor.start("classify", settings.run.classifiers)
        supervisor.start("detect", settings.run.detectors)
        supervisor.start("ingest", may_finish=True)
        yield supervisor
    finally:
        supervisor.stop(PIPELINE)
