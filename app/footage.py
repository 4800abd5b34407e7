"""Settings for the recorded footage that is named on the command line, with one camera for each file or folder."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import CameraSettings, Settings, load


def replay_settings(footage: Sequence[Path], speed: str | None, data_dir: Path | None) -> Settings:
    """Return the settings for a replay of footage.

    Args:
        footage: Video files or folders of images.
        speed: Multiple of real time, or `max`; None keeps the setting.
        data_dir: Data directory of the embedded servers; None keeps the setting.

    Raises:
        SettingsError: A file or folder does not exist, or a setting is wrong.
    """
    overrides: dict[str, Any] = {}
    if speed is not None:
        overrides["ingest"] = {"speed": speed}
    if data_dir is not None:
        overrides["data_dir"] = data_dir
    settings = load(cameras=footage_cameras(footage, load(**overrides).cameras), **overrides)
    if "level" in settings.log.model_fields_set:
        return settings
    # The progress bar and the table report what happens. Only warnings and errors are logged in between.
    return settings.model_copy(update={"log": settings.log.model_copy(update={"level": "WARNING"})})


def footage_cameras(footage: Sequence[Path], configured: Sequence[CameraSettings] = ()) -> tuple[CameraSettings, ...]:
    """Return one camera for each file or folder, with an id made from its name; equal ids are numbered.

    Args:
        footage: Video files or folders of images.
        configured: Cameras of the settings. If an id is among them, the regions of that camera apply.

    Raises:
        SettingsError: `footage` is empty, or a file or folder does not exist.
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
