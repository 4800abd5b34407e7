"""Every stage in this process, one after the other, each until nothing is left to do: what it takes, and what for.

Processor time, unlike the clock, hardly minds what else runs on the machine. What is spent on Redis, on messages and on
JPEG is told apart where all of it passes: those few functions are timed while they work.
"""

from __future__ import annotations

import functools
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aggregator.service
import classifier.service
import detector.finder
import detector.service
import ingest.service
from app.supervisor import servers_for
from crowdmood.bus.connection import Connection, connect
from crowdmood.bus.streams import Bus, Entry
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import required_url
from crowdmood.domain.messages import Emotions, Faces, Frame
from ingest.encoding import Planes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from crowdmood.core.settings import Settings

STAGES: Final = ("ingest", "detector", "classifier", "aggregator")
ROOMY: Final = {"max_backlog": 100_000}
"""Settings of the bus with which a stage never waits for the next one."""

_PARTS: Final[Mapping[str, tuple[tuple[Any, str], ...]]] = {
    "redis": ((Connection, "call"),),
    "messages": ((Entry, "message"), (Frame, "to_fields"), (Faces, "to_fields"), (Emotions, "to_fields")),
    "jpeg": ((Planes, "encode"), (detector.finder, "decode")),
}
_WORKERS: Final = {
    "detector": detector.service.run,
    "classifier": classifier.service.run,
    "aggregator": aggregator.service.run,
}


@dataclass(slots=True)
class Spent:
    """Processor time of one stage, in seconds.

    Attributes:
        own_s: Of the stage's process, loading left out; its parts below are in it, the servers' are not.
        servers_s: Of both servers meanwhile.
        parts_s: Of the stage's own, what went into `redis`, `messages` and `jpeg`.
    """

    own_s: float = 0.0
    servers_s: float = 0.0
    parts_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_PARTS, 0.0))

    @property
    def whole_s(self) -> float:
        """The stage and what it makes the servers do."""
        return self.own_s + self.servers_s

    @property
    def redis_s(self) -> float:
        """On both sides of the connection."""
        return self.servers_s + self.parts_s["redis"]

    @property
    def coding_s(self) -> float:
        """Into messages and JPEG and out of them."""
        return self.parts_s["messages"] + self.parts_s["jpeg"]


class Stages:
    """The stages on servers of their own.

    Attributes:
        settings: With the servers' addresses.
        bus: A connection to their bus.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bus = Bus(required_url(settings.bus_url, "bus"), settings.bus)

    def run(self, stage: str) -> Spent:
        """Let a stage do all that there is to do."""
        spent = Spent()
        before_s = self._servers_s()
        with timed(spent):
            if stage == "ingest":
                began_s = time.process_time()
                ingest.service.run(self.settings, threading.Event(), worker_name="bench")
                spent.own_s = time.process_time() - began_s
            else:
                _WORKERS[stage](self.settings, threading.Event(), "bench", drain=True)
        spent.servers_s = self._servers_s() - before_s
        return spent

    def entries(self, stream: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Everything that is on a stream."""
        client = self.bus.connection.client
        found: list[tuple[bytes, dict[bytes, bytes]]] = client.xrange(self.bus.keys.stream(stream))
        return found

    def _servers_s(self) -> float:
        total = 0.0
        for role, url in (("bus", self.settings.bus_url), ("state", self.settings.state_url)):
            client = connect(required_url(url, role))
            told = client.info("cpu")
            client.close()
            total += told["used_cpu_sys"] + told["used_cpu_user"]
        return total


@contextmanager
def stages(settings: Settings) -> Iterator[Stages]:
    """Stages on embedded servers, which stop at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crowdmood-")))
        fresh = settings.model_copy(update={"data_dir": folder, "bus_url": None, "state_url": None})
        running = Stages(stack.enter_context(servers_for(fresh))[0])
        stack.callback(running.bus.close)
        yield running


@contextmanager
def timed(spent: Spent) -> Iterator[None]:
    """While this lasts, the loop of a worker and the parts of it are timed into `spent`."""
    with ExitStack() as undo:
        for part, functions in _PARTS.items():
            for owner, name in functions:
                _patch(owner, name, functools.partial(_timing_part, spent, part), undo)
        _patch(Worker, "loop", functools.partial(_timing_loop, spent), undo)
        yield


def _patch(owner: Any, name: str, wrap: Callable[[Any], Any], undo: ExitStack) -> None:
    before = vars(owner)[name]
    setattr(owner, name, wrap(before))
    undo.callback(setattr, owner, name, before)


def _timing_part(spent: Spent, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def timing(*args: Any, **options: Any) -> Any:
        began_s = time.thread_time()
        try:
            return function(*args, **options)
        finally:
            spent.parts_s[part] += time.thread_time() - began_s

    return timing


def _timing_loop(spent: Spent, loop: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(loop)
    def timing(*args: Any, **options: Any) -> Any:
        began_s = time.process_time()
        try:
            return loop(*args, **options)
        finally:
            spent.own_s += time.process_time() - began_s

    return timing
