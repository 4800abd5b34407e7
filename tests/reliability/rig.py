"""A whole installation of real processes on real servers, which a test may disturb as it likes."""

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app import ledger
from app.supervisor import Supervisor
from crowdmood.core.settings import Settings, load, to_environment
from crowdmood.domain.mood import Mood
from crowdmood.store.moods import START, CameraTable, MoodStore
from tests.ports import free_port
from tests.reliability.servers import Server
from tests.waiting import eventually


@dataclass
class Installation:
    """What runs.

    Attributes:
        bus: The server of frames, faces and emotions.
        state: The server of moods and webhooks.
        settings: What every process was started with.
        supervisor: Starts again what died.
        deaths: How often each process was killed, by worker name.
    """

    bus: Server
    state: Server
    settings: Settings
    supervisor: Supervisor
    deaths: dict[str, int] = field(default_factory=dict)

    def kill(self, name: str) -> bool:
        """As `kill -9` does; False when it is not there."""
        pid = self.supervisor.pids().get(name)
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        self.deaths[name] = self.deaths.get(name, 0) + 1
        return True

    def store(self) -> MoodStore:
        """The moods, past any proxy."""
        return MoodStore(self.state.url, self.settings.bus.key_prefix)

    def moods(self) -> list[Mood]:
        """Every mood, oldest first."""
        store = self.store()
        try:
            return [mood for _, mood in store.since(START, 1_000_000)[1]]
        finally:
            store.close()

    def of_stadium(self) -> list[Mood]:
        """Every mood of the whole stadium."""
        return [mood for mood in self.moods() if (mood.zone, mood.camera) == ("stadium", None)]

    def cameras(self) -> CameraTable:
        """What is known of each camera."""
        store = self.store()
        try:
            return store.cameras()
        finally:
            store.close()

    def complete(self) -> bool:
        """Whether all recorded footage is accounted for."""
        rows = self.cameras()
        wanted = {camera.id for camera in self.settings.cameras if camera.recorded}
        return wanted <= rows.keys() and all(
            row["state"] == "ended" and row["accepted"] == row["frame_count"] and not row["awaited"]
            for name, row in rows.items()
            if name in wanted
        )

    def ledger(self) -> dict[str, dict[str, Any]]:
        """What `crowdmood ledger` tells, by camera; fails when it does not balance."""
        done = subprocess.run(
            [sys.executable, "-m", "app", "ledger", "--json"],
            env=os.environ | to_environment(self._direct()),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return {row["camera"]: row for row in json.loads(done.stdout)}

    def _direct(self) -> Settings:
        """Settings that lead past any proxy."""
        urls = {"bus_url": SecretStr(self.bus.url), "state_url": SecretStr(self.state.url)}
        return self.settings.model_copy(update=urls)

    def settled(self) -> dict[str, dict[str, Any]]:
        """The ledger once nothing is under way any more."""

        def quiet() -> bool:
            accounts = ledger.read(self._direct())
            return bool(accounts) and not any(account.under_way for account in accounts)

        eventually(quiet)
        return self.ledger()


@contextmanager
def installation(
    folder: Path,
    cameras: Sequence[Mapping[str, Any]],
    *,
    serve: bool = False,
    start_ingest: bool = True,
    bus_url: Callable[[Server], str] = lambda server: server.url,
    state_url: Callable[[Server], str] = lambda server: server.url,
    **settings: Any,
) -> Iterator[Installation]:
    """Start everything; at the end stop it.

    Args:
        folder: Where servers and processes write.
        cameras: What they look at.
        serve: Whether the API and the dispatcher run too.
        start_ingest: Whether ingest runs; a test may start it in its own way.
        bus_url: How processes reach the bus.
        state_url: How they reach the state store.
        settings: What differs from the defaults.
    """
    bus, state = Server("bus", folder), Server("state", folder)
    with ExitStack() as stack:
        for server in (bus, state):
            stack.callback(server.kill)
            server.start()
        known = load(
            cameras=[dict(camera) for camera in cameras],
            bus_url=bus_url(bus),
            state_url=state_url(state),
            data_dir=folder / "data",
            run_id=f"rig-{uuid.uuid4().hex[:8]}",
            api={"port": free_port()},
            **{"run": {"detectors": 2, "max_restarts": 1000}} | settings,
        )
        supervisor = Supervisor(known, folder / "data" / "metrics")
        rig = Installation(bus, state, known, supervisor)
        over = threading.Event()

        def look_after() -> None:
            while not over.wait(0.1):
                supervisor.check()

        watcher = threading.Thread(target=look_after)
        try:
            if serve:
                supervisor.start("api")
                supervisor.start("dispatch")
            supervisor.start("aggregator", 2)
            supervisor.start("classifier", known.run.classifiers)
            supervisor.start("detector", known.run.detectors)
            if start_ingest:
                supervisor.start("ingest", may_finish=True)
            watcher.start()
            yield rig
        finally:
            over.set()
            watcher.join()
            supervisor.stop()
