"""The bus is full and the aggregator is missing: live emotions are dropped and counted, footage waits, all recover."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import ledger
from crowdmood.bus.streams import Bus
from crowdmood.core.errors import ServerUnavailableError
from crowdmood.core.settings import Settings, load, to_environment
from crowdmood.domain.messages import CROP_SIZE, CameraState, Faces, FrameRef
from crowdmood.store.moods import CameraTable, MoodStore
from tests.crowds import seats
from tests.waiting import eventually, seconds_until

from .live_crowds import wall_ms
from .servers import Server

FACES = 60
RUN = "match"


@dataclass
class Stages:
    """A real classifier between a real bus and aggregators that a test starts."""

    bus: Server
    settings: Settings
    stack: ExitStack

    def start(self, stage: str, name: str) -> subprocess.Popen[bytes]:
        """Start a process; it is killed at the end."""
        command = [sys.executable, "-m", "app", stage, "--name", name]
        process = subprocess.Popen(command, env=os.environ | to_environment(self.settings))
        self.stack.callback(process.wait, 20)
        self.stack.callback(process.kill)
        return process

    def cameras(self) -> CameraTable:
        """Return the rows of the cameras."""
        assert self.settings.state_url
        store = MoodStore(self.settings.state_url.get_secret_value(), self.settings.bus.key_prefix)
        try:
            return store.cameras()
        finally:
            store.close()

    def unread(self) -> int:
        """Return the number of unread emotions."""
        bus = Bus(self.bus.url, self.settings.bus)
        try:
            return bus.unread("emotions").count
        finally:
            bus.close()

    def accounted(self, frames: int) -> bool:
        """Return whether every frame is counted or lost, and the ledger balances."""
        rows = ledger.read(self.settings)
        return bool(rows) and rows[0].accepted == frames and not rows[0].under_way and not rows[0].balance


@contextmanager
def stages(folder: Path, *, recorded: bool, **bus_settings: Any) -> Iterator[Stages]:
    bus, state = Server("bus", folder), Server("state", folder)
    with ExitStack() as stack:
        for server in (bus, state):
            stack.callback(server.kill)
            server.start()
        settings = load(
            cameras=[{"id": "north", "uri": "north.mp4" if recorded else "rtsp://north.example"}],
            bus_url=bus.url,
            state_url=state.url,
            run_id=RUN,
            bus=bus_settings,
            aggregator={"window_s": 3},
            log={"level": "WARNING"},
        )
        yield Stages(bus, settings, stack)


class Detector:
    """Publishes the faces of a camera as a detector and ingest would, and waits while it must."""

    def __init__(self, settings: Settings, *, recorded: bool) -> None:
        assert settings.bus_url
        self._recorded = recorded
        self._most = settings.bus.max_backlog
        self._first_ms = 0 if recorded else wall_ms()
        self.bus = Bus(settings.bus_url.get_secret_value(), settings.bus)
        self.sent = 0
        self._crops = np.random.default_rng(0).integers(0, 255, (FACES, CROP_SIZE, CROP_SIZE), np.uint8)
        self.bus.publish([("control", self._state("live"))])

    def send(self, frames: int, until: Callable[[], object] = lambda: False) -> None:
        """Publish frames, 5 a second of event time, or fewer if a condition holds before."""
        for _ in range(frames):
            while self.bus.unread("faces").count >= self._most:
                if until():
                    return
                time.sleep(0.02)
            at_ms = self._first_ms + self.sent * 200 if self._recorded else wall_ms()
            ref = FrameRef("north", RUN, self.sent, at_ms, 1280, 720, self._recorded)
            faces = Faces(ref, seats(FACES), np.ones(FACES, np.float32), self._crops, "haar")
            try:
                self.bus.publish([("faces", faces)], cursors={"north": (RUN, self.sent)}, patient=False)
            except ServerUnavailableError:
                if until():
                    return
                time.sleep(0.05)
                continue
            self.sent += 1

    def end(self) -> None:
        """Publish that the footage has ended."""
        self.bus.publish([("control", self._state("ended", self.sent))])

    def _state(self, name: Any, frames: int = 0) -> CameraState:
        return CameraState("north", RUN, name, self._recorded, "north", "", frames, wall_ms())


def leave_little_memory(server: Server, megabytes: float) -> None:
    client = server.client
    client.config_set("maxmemory", client.info("memory")["used_memory"] + round(megabytes * 1e6))


def test_live_emotions_without_an_aggregator_are_bounded_and_counted(
    tmp_path: Path, figures: Callable[..., None]
) -> None:
    most = 40
    with stages(tmp_path, recorded=False, max_emotions=most) as running:
        running.start("classify", "one")
        detector = Detector(running.settings, recorded=False)
        running.stack.callback(detector.bus.close)
        detector.send(150)
        eventually(lambda: detector.bus.unread("faces").count == 0 and detector.bus.backlog("faces") == 0)
        waiting = running.unread()
        assert 0 < waiting <= most + 16
        running.start("aggregate", "one")
        running.start("aggregate", "two")
        took_s = seconds_until(lambda: running.accounted(detector.sent))
        (row,) = ledger.read(running.settings)
    assert row.lost["overload"] > 50
    assert row.counted + row.late + sum(row.lost.values()) == detector.sent
    figures(
        f"no aggregator for {detector.sent} live frames, at most {most} unread: {waiting} waited, "
        f"{row.counted} counted, {row.lost}; the ledger balances {took_s:.1f} s after two aggregators started"
    )


@pytest.mark.parametrize("recorded", [False, True], ids=["live", "recorded"])
def test_recovers_from_a_full_bus(tmp_path: Path, figures: Callable[..., None], *, recorded: bool) -> None:
    with stages(tmp_path, recorded=recorded, max_emotions=100_000, max_backlog=4) as running:
        detector = Detector(running.settings, recorded=recorded)
        running.stack.callback(detector.bus.close)
        classifier = running.start("classify", "one")
        first = running.start("aggregate", "one")
        detector.send(20)
        eventually(lambda: running.cameras().get("north", {}).get("frames", 0) > 0)
        first.kill()  # its group and its pending entries stay
        leave_little_memory(running.bus, 1.5)

        def full() -> bool:
            info = running.bus.client.info("errorstats")
            return info.get("errorstat_OOM", {}).get("count", 0) > 20

        detector.send(2000, until=full)
        eventually(full)
        filled = detector.sent
        running.start("aggregate", "two")
        running.start("aggregate", "three")
        known = running.cameras()["north"]["accepted"]
        took_s = seconds_until(lambda: running.cameras()["north"]["accepted"] > known)
        detector.send(40)
        detector.end() if recorded else None
        eventually(lambda: running.accounted(detector.sent))
        assert classifier.poll() is None
        (row,) = ledger.read(running.settings)
    assert filled > 40
    assert row.counted + row.late + sum(row.lost.values()) == detector.sent
    if recorded:
        assert (row.counted, row.lost) == (detector.sent, {})
    figures(
        f"full bus, {'recorded' if recorded else 'live'}: the aggregator reads again {took_s:.1f} s after its start; "
        f"{detector.sent} frames, {row.counted} counted, {row.late} late, lost {row.lost or 'none'}"
    )
