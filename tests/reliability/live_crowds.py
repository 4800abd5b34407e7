"""Live cameras whose emotions go straight to the bus, and real aggregators: what a drill of the aggregator needs."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from crowdmood.bus.streams import Bus
from crowdmood.core.errors import ServerUnavailableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import CameraState, Emotions, FrameRef
from crowdmood.domain.mood import Mood
from crowdmood.store.moods import START, MoodStore, published_at_ms
from tests.crowds import seats, showing
from tests.waiting import eventually

from .servers import Server

RUN = "live-1"


def wall_ms() -> int:
    """Return milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def emotions(camera: str, frame_id: int, at_ms: int, people: int) -> Emotions:
    """Return the message about one live frame of people who are all happy."""
    boxes = seats(people)
    ref = FrameRef(camera, RUN, frame_id, at_ms, 1280, max(720, int(boxes.max(initial=0))), recorded=False)
    ones = np.ones(people, np.float16)
    return Emotions(ref, boxes, showing(["happy"] * people), ones, ones, "conv4", "haar", b"")


class LiveCamera:
    """A thread that publishes the emotions of a live camera while its bus is reachable.

    Args:
        url: The bus.
        settings: Its prefix and the camera's partition.
        name: The camera.
        people: Number of faces in each frame.
        every_s: Time between two frames, in seconds.
        ahead_s: How much the clock is ahead that the frames are stamped with, in seconds.

    Attributes:
        sent: Number of frames published.
        silent: Whether it publishes nothing for now.
    """

    def __init__(
        self,
        url: str,
        settings: BusSettings,
        name: str,
        *,
        people: int = 30,
        every_s: float = 0.5,
        ahead_s: float = 0.0,
    ) -> None:
        self.name, self.sent, self.silent = name, 0, False
        self._ahead_s = ahead_s
        self._every_s, self._people = every_s, people
        self._over = threading.Event()
        # A connection whose `stop` is set does not retry.
        self._bus = Bus(url, settings, self._over)
        self._thread = threading.Thread(target=self._run, daemon=True)
        state = CameraState(name, RUN, "live", False, "rtsp://camera", "", 0, wall_ms())
        self._bus.publish([("control", state)])
        self._thread.start()

    def close(self) -> None:
        """Stop publishing."""
        self._over.set()
        self._thread.join(20)
        self._bus.close()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            if self.silent:
                continue
            message = emotions(self.name, self.sent, wall_ms() + round(self._ahead_s * 1000), self._people)
            try:
                self._bus.publish([("emotions", message)], patient=False)
                self.sent += 1
            except ServerUnavailableError:
                continue


class Aggregators:
    """Real aggregator processes.

    Args:
        folder: Where the processes run.
        bus_url: The bus.
        state_url: The state store.
        cameras: Names of the configured cameras.
        settings: Key prefix and number of partitions.
        uri: Address of a camera, with braces in place of its name.
        environment: More settings.
    """

    def __init__(
        self,
        folder: Path,
        bus_url: str,
        state_url: str,
        cameras: Sequence[str],
        settings: BusSettings,
        uri: str = "rtsp://{}.example",
        **environment: str,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.store = MoodStore(state_url, settings.key_prefix)
        self.bus = Bus(bus_url, settings)
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self._position = START
        self._moods: list[tuple[int, Mood]] = []
        self._environment = os.environ | {
            "CROWDMOOD_BUS_URL": bus_url,
            "CROWDMOOD_STATE_URL": state_url,
            "CROWDMOOD_BUS__KEY_PREFIX": settings.key_prefix,
            "CROWDMOOD_BUS__PARTITIONS": str(settings.partitions),
            "CROWDMOOD_RUN_ID": RUN,
            "CROWDMOOD_CAMERAS": json.dumps([{"id": name, "uri": uri.format(name)} for name in cameras]),
            "CROWDMOOD_LOG__FORMAT": "json",
            **environment,
        }

    def start(self, name: str) -> None:
        """Start a process; its log goes to a file of its name."""
        command = [sys.executable, "-m", "app", "aggregate", "--name", name]
        if name in self.processes:
            self.processes[name].wait(20)
        with (self.folder / f"{name}.log").open("a") as log:
            self.processes[name] = subprocess.Popen(command, env=self._environment, stderr=log, text=True)

    def log(self, name: str) -> str:
        """Return what a process has logged."""
        return (self.folder / f"{name}.log").read_text()

    def roles(self) -> dict[str, str]:
        """Return the processes with a heartbeat, each with its role."""
        return self.bus.workers("aggregator")

    def of_stadium(self) -> list[tuple[int, Mood]]:
        """Return the stadium's moods, oldest first, each with the time of its publication in milliseconds."""
        while True:
            position, found = self.store.since(self._position, 1)
            if position == self._position:
                return [(at, mood) for at, mood in self._moods if mood.camera is None and mood.zone == "stadium"]
            self._position = position
            self._moods += [(published_at_ms(position), mood) for _, mood in found]

    def longest_gap_s(self, since_ms: int) -> float:
        """Return the longest time without a new mood since then, in seconds."""
        times = [since_ms, *(at for at, mood in self.of_stadium() if at > since_ms and mood.status != "stale")]
        return max(b - a for a, b in zip(times, [*times[1:], wall_ms()], strict=True)) / 1000

    def validity(self, since_ms: int) -> tuple[float, float]:
        """Return the share of moods that had expired when they were published, and of time with a valid mood."""
        moods = [(at, mood) for at, mood in self.of_stadium() if at > since_ms and mood.status != "stale"]
        expired = sum(mood.valid_until_ms <= at for at, mood in moods)
        times = range(moods[0][0], moods[-1][0], 50)
        valid = sum(any(at <= now < mood.valid_until_ms for at, mood in moods) for now in times)
        return expired / len(moods), valid / len(times)

    def newest(self) -> Mood:
        """Return the newest mood of the stadium."""
        return self.of_stadium()[-1][1]

    def close(self) -> None:
        """Kill every process."""
        for process in self.processes.values():
            process.kill()
            process.wait(20)
        self.bus.close()
        self.store.close()


@contextmanager
def two_aggregators(folder: Path, cameras: Sequence[str], **environment: str) -> Iterator[tuple[Aggregators, Server]]:
    """Run a leader `one` and a standby `two`; yield them and the server of their bus."""
    bus, state = Server("bus", folder), Server("state", folder)
    with ExitStack() as stack:
        for server in (bus, state):
            stack.callback(server.kill)
            server.start()
        aggregators = Aggregators(folder, bus.url, state.url, cameras, BusSettings(key_prefix="drill"), **environment)
        stack.callback(aggregators.close)
        aggregators.start("one")
        eventually(lambda: aggregators.roles() == {"one": "leading"})
        aggregators.start("two")
        eventually(lambda: aggregators.roles() == {"one": "leading", "two": "standby"})
        yield aggregators, bus
