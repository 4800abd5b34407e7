"""Recorded footage named on the command line: a camera for each piece, and the settings to replay it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import CameraSettings, Settings, load


def replay_settings(footage: Sequence[Path], speed: str | None, data_dir: Path | None) -> Settings:
    """Settings to replay footage with.

    Args:
        footage: Video files or folders of images.
        speed: Pace as a multiple of real time, or `max`; None leaves it as it is set.
        data_dir: Directory of the embedded servers; None leaves it as it is set.

    Raises:
        SettingsError: Footage does not exist, or a setting is wrong.
    """
    overrides: dict[str, Any] = {}
    if speed is not None:
        overrides["ingest"] = {"speed": speed}
    if data_dir is not None:
        overrides["data_dir"] = data_dir
    settings = load(cameras=footage_cameras(footage, load(**overrides).cameras), **overrides)
    if "level" in settings.log.model_fields_set:
        return settings
    # The bar and the table say what happens; only trouble should break in.
    return settings.model_copy(update={"log": settings.log.model_copy(update={"level": "WARNING"})})


def footage_cameras(footage: Sequence[Path], configured: Sequence[CameraSettings] = ()) -> tuple[CameraSettings, ...]:
    """A camera for each piece of footage, named after its file; equal names are numbered.

    Args:
        footage: Video files or folders of images.
        configured: Cameras of the settings: footage that is named as one of them is looked at in its regions.

    Raises:
        SettingsError: A file does not exist, or there is none.
    """
    if not footage:
        raise SettingsError("no footage given: name video files or folders of images")
    known = {camera.id: camera for camera in configured}
    cameras: list[CameraSettings] = []
    for path in footage:
        if not path.exists():
            raise SettingsError(f"{path}: no such file or folder")
        base = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_")[:56] or "footage"
        taken = {camera.id for camera in cameras}
        names = (base if number == 1 else f"{base}-{number}" for number in range(1, len(footage) + 2))
        camera_id, uri = next(n for n in names if n not in taken), SecretStr(str(path))
        camera = known.get(camera_id) or CameraSettings(id=camera_id, uri=uri)
        cameras.append(camera.model_copy(update={"uri": uri}))
    return tuple(cameras)
