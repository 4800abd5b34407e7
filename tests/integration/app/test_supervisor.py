"""The supervisor gives each process the secrets of its stage only."""

import math
import sys
from pathlib import Path

import pytest

from app.stages import STAGES
from app.supervisor import Supervisor
from crowdmood.bus.streams import Bus
from crowdmood.core.settings import load
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the environment of processes from /proc")


def test_500_cameras_with_masks_and_passwords_reach_a_process_in_files(server_url: str, tmp_path: Path) -> None:
    angles = [2 * math.pi * corner / 20 for corner in range(20)]
    mask = [[[round(0.5 + 0.3 * math.cos(a), 3), round(0.5 + 0.3 * math.sin(a), 3)] for a in angles]]
    cameras = [{"id": f"c{n}", "uri": f"rtsp://me:hunter2@127.0.0.1:9/{n}", "mask": mask} for n in range(500)]
    settings = load(
        bus_url=server_url,
        state_url=server_url,
        cameras=cameras,
        bus={"key_prefix": "many-cameras"},
        run={"stop_timeout_s": 5},
    )
    supervisor = Supervisor(settings, tmp_path / "metrics")
    try:
        supervisor.start("detector")
        eventually(lambda: Bus(server_url, settings.bus).workers("detector"))
        supervisor.check()
        (environment,) = (Path(f"/proc/{pid}/environ").read_text() for pid in supervisor.pids().values())
    finally:
        supervisor.stop(["detector"])
    assert "CROWDMOOD_CAMERAS=" not in environment
    file = tmp_path / "metrics" / "detector-cameras.json"
    assert f"CROWDMOOD_CAMERAS_FILE={file}" in environment
    assert file.stat().st_mode & 0o077 == 0
    assert len(file.read_bytes()) > 131_072
    assert "hunter2" not in file.read_text()


def test_a_process_is_given_the_secrets_of_its_stage_only(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROWDMOOD_CAMERA_ADDRESSES", '{"north": "rtsp://me:hunter2@127.0.0.1:9/none"}')
    settings = load(
        bus_url=server_url,
        state_url=server_url,
        cameras=[{"id": "north"}],
        bus={"key_prefix": "supervisor"},
        run={"stop_timeout_s": 0.1},
    )
    supervisor = Supervisor(settings, tmp_path / "metrics")
    try:
        for stage in STAGES:
            supervisor.start(stage)
        given = {name: Path(f"/proc/{pid}/environ").read_text() for name, pid in supervisor.pids().items()}
    finally:
        supervisor.stop()
    assert {name for name, environment in given.items() if "hunter2" in environment} == {"ingest-0"}
    assert {name for name, environment in given.items() if "CROWDMOOD_BUS_URL=" not in environment} == {"dispatch-0"}
    assert {name for name, environment in given.items() if "CROWDMOOD_STATE_URL=" not in environment} == {"ingest-0"}
