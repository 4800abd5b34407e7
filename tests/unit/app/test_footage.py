"""Settings for footage that is named on the command line."""

from pathlib import Path

import pytest

from app.cli.footage import with_photos
from app.footage import footage_cameras, replay_settings
from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import load


def test_names_cameras_after_their_footage(tmp_path: Path) -> None:
    for name in ("a/Stand North.mp4", "b/stand north.mp4", "c/--.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    cameras = footage_cameras(sorted(tmp_path.glob("*/*")))
    assert [camera.id for camera in cameras] == ["stand-north", "stand-north-2", "footage"]
    assert all(camera.recorded for camera in cameras)


@pytest.mark.parametrize(("footage", "text"), [([], "no footage"), ([Path("missing.mp4")], "missing.mp4: no such")])
def test_refuses_missing_footage(footage: list[Path], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        footage_cameras(footage)


def test_applies_the_regions_of_a_configured_camera_with_the_same_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("crowdmood.toml").write_text(
        '[[cameras]]\nid = "north"\nuri = "rtsp://me:hunter2@camera/1"\nmask = [[[0, 0], [1, 0], [1, 0.3]]]\n'
    )
    for name in ("North.mp4", "south.mp4"):
        Path(name).touch()
    north, south = replay_settings([Path("North.mp4"), Path("south.mp4")], None, None).cameras
    assert (north.id, north.uri.get_secret_value(), north.recorded) == ("north", "North.mp4", True)
    assert north.mask == (((0, 0), (1, 0), (1, 0.3)),)
    assert (south.id, south.mask) == ("south", ())


def test_keeps_settings_that_are_not_overridden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "north.mp4").touch()
    monkeypatch.setenv("CROWDMOOD_INGEST__SPEED", "7")
    assert replay_settings([tmp_path / "north.mp4"], None, None).ingest.speed == 7
    fast = replay_settings([tmp_path / "north.mp4"], "max", tmp_path)
    assert (fast.ingest.speed, fast.data_dir, fast.log.level) == ("max", tmp_path, "WARNING")
    monkeypatch.setenv("CROWDMOOD_LOG__LEVEL", "DEBUG")
    assert replay_settings([tmp_path / "north.mp4"], "max", None).log.level == "DEBUG"


@pytest.mark.parametrize(
    ("api", "on"),
    [
        ({}, True),
        ({"predict": False}, False),
        ({"host": "0.0.0.0"}, False),
        ({"trusted_proxies": ["127.0.0.1"]}, False),
        ({"host": "0.0.0.0", "predict": True}, True),
    ],
)
def test_a_demonstration_classifies_photos_where_only_this_machine_can_ask(api: dict[str, object], on: bool) -> None:
    assert with_photos(load(api=api)).api.predict is on
