"""The supervisor gives each process the secrets of its stage only."""

import sys
from pathlib import Path

import pytest

from app.stages import STAGES
from app.supervisor import Supervisor
from crowdmood.core.settings import load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the environment of processes from /proc")


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
