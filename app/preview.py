"""The preview of a camera: one frame with its regions and the faces that the detector finds."""

import contextlib
from pathlib import Path

from crowdmood.core.errors import DataError, SettingsError, SourceError
from crowdmood.core.settings import CameraSettings, Settings


def write(settings: Settings, camera_id: str, out: Path, at_s: float, *, show_faces: bool) -> None:
    """Write one frame of a camera as PNG, with its regions and faces drawn.

    Args:
        settings: Settings of the camera and the detector.
        camera_id: Id of a configured camera.
        out: PNG file to write.
        at_s: Position in recorded footage, in seconds. Of a live camera, the next frame is used.
        show_faces: Do not pixelate faces.

    Raises:
        SettingsError: There is no such camera, or the settings of the detector are wrong.
        SourceError: The camera has no frame there.
        DataError: The file cannot be written.
    """
    from detector.finder import load_finder
    from detector.preview import preview
    from detector.regions import Region

    camera = next((camera for camera in settings.cameras if camera.id == camera_id), None)
    if camera is None:
        known = ", ".join(camera.id for camera in settings.cameras) or "none is configured"
        raise SettingsError(f"there is no camera {camera_id!r}: {known}")
    finder = load_finder(settings)
    limit = settings.ingest.max_frame_megapixels
    png = preview(_frame(camera, settings, at_s), finder, Region.of(camera), limit, show_faces=show_faces)
    try:
        out.write_bytes(png)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from None


def _frame(camera: CameraSettings, settings: Settings, at_s: float) -> bytes:
    """Return one frame as JPEG, as ingest publishes it on the bus."""
    from ingest.encoding import Planes
    from ingest.sources import live_source, recorded_source

    if camera.recorded:
        source = recorded_source(camera, settings.ingest)
        source.check()
        for recorded in source.frames():
            if recorded.at_ms >= at_s * 1000:
                return recorded.encode().jpeg
        raise SourceError(f"camera {camera.id}: its footage ends before {at_s:g} s")
    with contextlib.closing(live_source(camera, settings.ingest).frames()) as frames:
        for frame in frames:
            planes = Planes.of(frame.image, settings.ingest.max_frame_megapixels, frame.pixel_aspect)
            return planes.encode(settings.ingest.jpeg_quality).jpeg
    raise SourceError(f"camera {camera.id}: no frame was received")
