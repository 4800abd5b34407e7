"""Each stage gets the settings that it needs, and no secret of another stage."""

from pathlib import Path

import pytest

from app.stages import STAGES, environment_of
from crowdmood.core.settings import Settings, load

SECRETS = {secret for spec in STAGES.values() for secret in spec.secrets}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    (tmp_path / "crowdmood.toml").write_text('[camera_addresses]\nsouth = "rtsp://me:hunter2@camera/2"\n')
    monkeypatch.chdir(tmp_path)
    return load(
        bus_url="redis://:secret-bus@host:1/0",
        state_url="redis://:secret-state@host:2/0",
        cameras=[
            {"id": "north", "uri": "rtsp://camera/1?key=hunter2", "mask": [[[0, 0], [1, 0], [1, 1]]]},
            {"id": "south"},
            {"id": "goal", "uri": "goal.mp4"},
        ],
        zones={"home": ["north"]},
        aggregator={"min_faces": 31},
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_loads_its_own_settings_beside_a_file_with_others(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, stage: str
) -> None:
    environment = environment_of(stage, settings)
    assert environment.keys() & SECRETS == STAGES[stage].secrets
    assert ("hunter2" in str(environment)) == (stage == "ingest")
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    loaded = load()
    assert loaded.aggregator.min_faces == 31
    if "CROWDMOOD_CAMERAS" in STAGES[stage].secrets:
        assert [(camera.id, camera.recorded, camera.mask) for camera in loaded.cameras] == [
            (camera.id, camera.recorded, camera.mask) for camera in settings.cameras
        ]
    if stage == "ingest":
        assert loaded.cameras == settings.cameras
