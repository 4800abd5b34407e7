"""Stages on servers of their own: as real processes, or one after the other in this one, and what they take."""

from __future__ import annotations

import functools
import os
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import aggregator.service
import classifier.service
import detector.finder
import detector.service
import ingest.service
from app.replay import Progress, Replay, replay
from app.supervisor import Supervisor, servers_for
from crowdmood.bus.connection import Connection, connect
from crowdmood.bus.streams import Bus, Entry
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import required_url
from crowdmood.domain.messages import Emotions, Faces, Frame
from crowdmood.store.moods import MoodStore
from ingest.encoding import Planes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from crowdmood.core.settings import Settings
    from crowdmood.domain.messages import Message

STAGES: Final = ("ingest", "detector", "classifier", "aggregator")
"""In the order of the pipeline."""

ROOMY: Final = {"max_backlog": 100_000, "max_emotions": 10_000_000}
"""Settings of a bus on which no stage waits for the next one."""

_STREAMS: Final[dict[str, tuple[Any, Any]]] = {
    "detector": ("frames", "faces"),
    "classifier": ("faces", "emotions"),
}
"""The stream that a stage reads, and the one that it writes."""

_PARTS: Final[Mapping[str, tuple[tuple[Any, str], ...]]] = {
    "redis": ((Connection, "call"),),
    "messages": ((Entry, "message"), (Frame, "to_fields"), (Faces, "to_fields"), (Emotions, "to_fields")),
    "jpeg": ((Planes, "encode"), (detector.finder, "decode")),
}
"""The functions through which all Redis calls, messages and JPEG files pass: they are timed while a stage works."""


@contextmanager
def servers(settings: Settings) -> Iterator[Settings]:
    """Run embedded servers, and yield the settings with their addresses and a data directory of their own."""
    with tempfile.TemporaryDirectory(prefix="crowdmood-") as folder:
        own = {"data_dir": Path(folder), "bus_url": None, "state_url": None}
        with servers_for(settings.model_copy(update=own)) as (running, _):
            yield running


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources of a process.

    Attributes:
        cpu_s: Processor time since its start, in seconds.
        memory_mb: Resident memory in megabytes.
        peak_mb: The most that it ever was.
    """

    cpu_s: float
    memory_mb: float
    peak_mb: float

    @classmethod
    def of(cls, pid: int) -> Usage | None:
        """Return the usage of a process, or None after its end."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            memory, peak = (int(status[name].split()[0]) * 1.024 / 1000 for name in ("VmRSS", "VmHWM"))
        except (OSError, KeyError):
            return None
        return cls((int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"), memory, peak)


class Pipeline:
    """Real processes of some stages.

    Attributes:
        settings: The settings, with the servers' addresses.
        bus: A connection to the bus.
    """

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self.settings = settings
        self.bus = Bus(required_url(settings.bus_url, "bus"), settings.bus)
        self._store = MoodStore(required_url(settings.state_url, "state"), settings.bus.key_prefix)
        self._supervisor = Supervisor(settings, settings.data_dir / "metrics")
        stack.callback(self.bus.close)
        stack.callback(self._store.close)
        stack.callback(self._supervisor.stop)

    def start(self, *stages: str, workers: int = 1) -> None:
        """Start stages, and wait until their workers are ready."""
        for stage in stages:
            self._supervisor.start(stage, workers, may_finish=stage == "ingest")
        on_bus = [stage for stage in stages if stage not in ("api", "dispatch")]
        self.wait(lambda: all(len(self.bus.healthy_workers(stage)) >= workers for stage in on_bus), 120)

    def pin(self) -> None:
        """Give each worker one core, in turn, where the system can do that."""
        if not hasattr(os, "sched_setaffinity"):
            return
        cores = sorted(os.sched_getaffinity(0))
        for number, pid in enumerate(self._supervisor.pids().values()):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {cores[number % len(cores)]})

    def counted(self) -> tuple[int, int]:
        """Return the number of frames that were counted, and of those that were lost or late."""
        rows = self._store.cameras().values()
        return sum(row["frames"] for row in rows), sum(sum(row["lost"].values()) + row["late"] for row in rows)

    def ended(self) -> bool:
        """Return whether all recorded footage was counted."""
        rows = self._store.cameras()
        return rows.keys() >= {camera.id for camera in self.settings.cameras} and all(
            row["state"] == "ended" and row["frames"] == row["frame_count"] for row in rows.values()
        )

    def usage(self) -> dict[str, Usage]:
        """Return the resources of each process by name; the servers are `bus` and `state`."""
        pids = dict(self._supervisor.pids())
        for role, url in _urls(self.settings):
            client = connect(url)
            pids[role] = int(client.info("server")["process_id"])
            client.close()
        return {name: usage for name, pid in pids.items() if (usage := Usage.of(pid))}

    def check(self) -> None:
        """Restart what has died, or raise where that is not allowed."""
        self._supervisor.check()

    def wait(self, holds: Callable[[], object], longest_s: float = 600.0) -> None:
        """Wait until something holds while the processes work.

        Raises:
            TimeoutError: It did not hold in time.
        """
        deadline_s = time.monotonic() + longest_s
        while not holds():
            self.check()
            if time.monotonic() > deadline_s:
                raise TimeoutError("the pipeline did not finish in time")
            time.sleep(0.05)


@contextmanager
def pipeline(settings: Settings) -> Iterator[Pipeline]:
    """Yield a pipeline in which no process runs yet; its processes and servers end with the context."""
    with servers(settings) as running, ExitStack() as stack:
        yield Pipeline(running, stack)


def worker_rate(
    stage: str, settings: Settings, messages: Sequence[Message], workers: int = 1, *, pinned: bool = False
) -> float:
    """Return messages a second of warm workers, from a full stream to an empty one.

    The server's clock measures it from the first batch of results to the last one: what came out with the first one had
    been begun before.

    Args:
        stage: `detector` or `classifier`.
        settings: The settings.
        messages: What the workers read.
        workers: Number of workers.
        pinned: Whether each worker gets a core of its own.
    """
    source, output = _STREAMS[stage]
    with pipeline(settings) as running:
        running.start(stage, workers=workers)
        if pinned:
            running.pin()
        client, key = running.bus.connection.client, running.bus.keys.stream(output)
        for some in (messages[: 4 * workers], messages):  # the first ones warm the workers up
            client.delete(key)
            for message in some:
                running.bus.publish([(source, message)])
            running.wait(lambda: not running.bus.backlog(source))
        at_ms = np.sort([int(entry_id.split(b"-")[0]) for entry_id, _ in client.xrange(key)])
    return float((at_ms > at_ms[0]).sum() * 1000 / max(at_ms[-1] - at_ms[0], 1))


def replayed(settings: Settings) -> tuple[Replay, float]:
    """Replay the settings' footage; return the result and the frames a second after the first progress."""
    first: list[int] = []

    def note(progress: Progress) -> None:
        if progress.accounted and not first:
            first.append(progress.accounted)

    done = replay(settings, threading.Event(), on_progress=note)
    return done, (done.frames - first[0]) / done.seconds


def spent(before: dict[str, Usage], after: dict[str, Usage]) -> dict[str, float]:
    """Return the processor time between two observations in seconds, by stage or server, workers added up."""
    found: dict[str, float] = {}
    for name, usage in after.items():
        stage = name.rpartition("-")[0] or name
        found[stage] = found.get(stage, 0.0) + usage.cpu_s - (before[name].cpu_s if name in before else 0.0)
    return found


@dataclass(slots=True)
class Cost:
    """Processor time of one stage in seconds, without loading.

    Attributes:
        own_s: Of the stage's process, `parts_s` included.
        servers_s: Of both servers.
        parts_s: Of the stage's process for `redis`, `messages` and `jpeg`.
    """

    own_s: float = 0.0
    servers_s: float = 0.0
    parts_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_PARTS, 0.0))

    @property
    def whole_s(self) -> float:
        """Of the stage and the servers."""
        return self.own_s + self.servers_s

    @property
    def redis_s(self) -> float:
        """On both sides of the connection."""
        return self.servers_s + self.parts_s["redis"]

    @property
    def coding_s(self) -> float:
        """For messages and JPEG files, both ways."""
        return self.parts_s["messages"] + self.parts_s["jpeg"]

    def __add__(self, other: Cost) -> Cost:
        """Return the sum of both."""
        parts = {part: seconds + other.parts_s[part] for part, seconds in self.parts_s.items()}
        return Cost(self.own_s + other.own_s, self.servers_s + other.servers_s, parts)


class Stages:
    """Stages in this process, on servers of their own: processor time hardly depends on what else runs.

    Attributes:
        settings: The settings, with the servers' addresses.
        bus: A connection to the bus.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bus = Bus(required_url(settings.bus_url, "bus"), settings.bus)

    def run(self, stage: str) -> Cost:
        """Let a stage do all its work, and return what it cost."""
        workers = {"detector": detector.service, "classifier": classifier.service, "aggregator": aggregator.service}
        cost, before_s, stop = Cost(), self._servers_s(), threading.Event()
        with timed(cost):
            if stage == "ingest":
                began_s = time.process_time()
                ingest.service.run(self.settings, stop, worker_name="bench")
                cost.own_s = time.process_time() - began_s
            else:
                workers[stage].run(self.settings, stop, "bench", drain=True)
        cost.servers_s = self._servers_s() - before_s
        return cost

    def entries(self, stream: Any) -> list[dict[bytes, bytes]]:
        """Return the fields of every entry of a stream."""
        return [fields for _, fields in self.bus.connection.client.xrange(self.bus.keys.stream(stream))]

    def _servers_s(self) -> float:
        total = 0.0
        for _, url in _urls(self.settings):
            client = connect(url)
            cpu = client.info("cpu")
            client.close()
            total += cpu["used_cpu_sys"] + cpu["used_cpu_user"]
        return total


@contextmanager
def stages(settings: Settings) -> Iterator[Stages]:
    """Yield stages on embedded servers, which end with the context."""
    with servers(settings) as running:
        found = Stages(running)
        yield found
        found.bus.close()


@contextmanager
def timed(cost: Cost) -> Iterator[None]:
    """Time the loop of workers in this process, and its parts, into a cost."""

    def patch(owner: Any, name: str, clock: Callable[[], float], note: Callable[[float], None]) -> None:
        before = vars(owner)[name]

        @functools.wraps(before)
        def timing(*args: Any, **options: Any) -> Any:
            began_s = clock()
            try:
                return before(*args, **options)
            finally:
                note(clock() - began_s)

        setattr(owner, name, timing)
        undo.callback(setattr, owner, name, before)

    def of_part(part: str, seconds: float) -> None:
        cost.parts_s[part] += seconds

    def of_loop(seconds: float) -> None:
        cost.own_s += seconds

    with ExitStack() as undo:
        for part, functions in _PARTS.items():
            for owner, name in functions:
                patch(owner, name, time.thread_time, functools.partial(of_part, part))
        patch(Worker, "loop", time.process_time, of_loop)
        yield


def _urls(settings: Settings) -> list[tuple[str, str]]:
    return [
        ("bus", required_url(settings.bus_url, "bus")),
        ("state", required_url(settings.state_url, "state")),
    ]
