"""The real processes on embedded servers of their own, and what they take: processor time and memory, one by one."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.replay import Progress, Replay, replay
from app.supervisor import Supervisor, servers_for
from crowdmood.bus.connection import connect
from crowdmood.bus.streams import Bus
from crowdmood.core.settings import required_url
from crowdmood.store.moods import MoodStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crowdmood.core.settings import Settings

_POLL_S: Final = 0.05
_LONGEST_START_S: Final = 120.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has taken.

    Attributes:
        cpu_s: Processor time since its start, in seconds.
        memory_mb: Memory that is resident now, in megabytes.
        peak_mb: The most that it ever was.
    """

    cpu_s: float
    memory_mb: float
    peak_mb: float


class Pipeline:
    """Processes of some stages.

    Attributes:
        settings: With the servers' addresses.
        bus: A connection to their bus.
    """

    def __init__(self, settings: Settings, supervisor: Supervisor, bus: Bus, store: MoodStore) -> None:
        self.settings = settings
        self.bus = bus
        self._supervisor = supervisor
        self._store = store

    def start(self, *stages: str, workers: int = 1) -> None:
        """Start stages by their names, and wait until each says that it works."""
        for stage in stages:
            self._supervisor.start(stage, workers, may_finish=stage == "ingest")
        deadline_s = time.monotonic() + _LONGEST_START_S
        waited = [stage for stage in stages if stage not in ("api", "dispatch")]
        while not all(len(self.bus.healthy_workers(stage)) >= workers for stage in waited):
            self.check(deadline_s)

    def spread(self) -> None:
        """Give each worker one core, in turn; where the system cannot do that, they go where it sends them."""
        if not hasattr(os, "sched_setaffinity"):
            return
        cores = sorted(os.sched_getaffinity(0))
        for number, pid in enumerate(self._supervisor.pids().values()):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {cores[number % len(cores)]})

    def frames(self) -> tuple[int, int]:
        """Frames and faces counted so far."""
        table = self._store.cameras().values()
        return sum(row["frames"] for row in table), sum(row["faces"] for row in table)

    def lost(self) -> int:
        """Frames lost so far, and those that came too late for their windows."""
        return sum(sum(row["lost"].values()) + row["late"] for row in self._store.cameras().values())

    def wait_for_end(self, longest_s: float = 600.0) -> None:
        """Wait until all footage was counted."""
        deadline_s = time.monotonic() + longest_s
        names = {camera.id for camera in self.settings.cameras}
        while True:
            table = self._store.cameras()
            ended = {name for name, row in table.items() if row["state"] == "ended"}
            if ended >= names and all(row["frames"] == row["frame_count"] for row in table.values()):
                return
            self.check(deadline_s)

    def wait_for_empty(self, stream: Any, longest_s: float = 300.0) -> None:
        """Wait until nothing on a stream is left to do."""
        deadline_s = time.monotonic() + longest_s
        while self.bus.backlog(stream):
            self.check(deadline_s)

    def usage(self) -> dict[str, Usage]:
        """What each process has taken, by its name; the servers are `bus` and `state`."""
        found = {name: _usage(pid) for name, pid in self._supervisor.pids().items()}
        for role, url in (("bus", self.settings.bus_url), ("state", self.settings.state_url)):
            client = connect(required_url(url, role))
            found[role] = _usage(int(client.info("server")["process_id"]))
            client.close()
        return {name: usage for name, usage in found.items() if usage is not None}

    def check(self, deadline_s: float) -> None:
        """Look after the processes, then rest for a moment.

        Raises:
            TimeoutError: It is too late.
        """
        self._supervisor.check()
        if time.monotonic() > deadline_s:
            raise TimeoutError("the pipeline did not do its work in time")
        time.sleep(_POLL_S)


@contextmanager
def pipeline(settings: Settings) -> Iterator[Pipeline]:
    """A pipeline none of whose processes runs yet; everything ends with the context."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crowdmood-")))
        fresh = settings.model_copy(update={"data_dir": folder, "bus_url": None, "state_url": None})
        running, keeper = stack.enter_context(servers_for(fresh))
        bus = Bus(required_url(running.bus_url, "bus"), running.bus)
        stack.callback(bus.close)
        store = MoodStore(required_url(running.state_url, "state"), running.bus.key_prefix)
        stack.callback(store.close)
        supervisor = Supervisor(running, folder / "metrics", keeper)
        stack.callback(supervisor.stop)
        yield Pipeline(running, supervisor, bus, store)


def replayed(settings: Settings) -> tuple[Replay, float]:
    """Run the settings' footage to its end.

    Returns:
        What came out, and frames a second: those that were counted after the first look that found any.
    """
    first: list[int] = []

    def look(progress: Progress) -> None:
        if progress.accounted and not first:
            first.append(progress.accounted)

    done = replay(settings, threading.Event(), on_progress=look)
    return done, (done.frames - first[0]) / done.seconds


def spent(before: dict[str, Usage], after: dict[str, Usage]) -> dict[str, float]:
    """Processor time between two looks, in seconds, by stage or server: its workers' together."""
    found: dict[str, float] = {}
    for name, usage in after.items():
        stage = name.rpartition("-")[0] or name
        since = before[name].cpu_s if name in before else 0.0
        found[stage] = found.get(stage, 0.0) + usage.cpu_s - since
    return found


def _usage(pid: int) -> Usage | None:
    """None when the process has ended meanwhile."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return None
    if "VmRSS" not in status:  # it has ended, and nobody has asked for its exit code yet
        return None
    kb = {name: int(status[name].split()[0]) / 1000 * 1.024 for name in ("VmRSS", "VmHWM")}
    return Usage((int(stat[11]) + int(stat[12])) / _TICKS, kb["VmRSS"], kb["VmHWM"])
