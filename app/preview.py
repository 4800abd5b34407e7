"""`crowdmood preview`: one frame of a camera, with its regions and what the detector finds there."""

import contextlib
from pathlib import Path

from crowdmood.core.errors import DataError, SettingsError, SourceError
from crowdmood.core.settings import CameraSettings, Settings


def write(settings: Settings, camera_id: str, out: Path, at_s: float, *, show_faces: bool) -> None:
    """Take a frame, find its faces and draw them.

    Args:
        settings: The camera's and the detector's.
        camera_id: Which of the configured cameras.
        out: PNG file to write.
        at_s: Moment of recorded footage, in seconds; live cameras give their next frame.
        show_faces: Leave faces as they are, instead of pixelated.

    Raises:
        SettingsError: There is no such camera, or the detector cannot work as it is set.
        SourceError: The camera gives no frame.
        DataError: The picture cannot be written.
    """
    from detector.loading import load_finder
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
    """The JPEG of one frame, as ingest would put it on the bus."""
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
    raise SourceError(f"camera {camera.id}: it gives no frame")
