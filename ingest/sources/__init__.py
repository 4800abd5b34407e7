"""Sources of frames, chosen by the scheme of a camera's address. A source opens, decodes and timestamps.

Sources do not use the bus, and do not decide when frames are published.
"""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import CameraSettings, IngestSettings
from ingest.sources.base import LiveSource, RecordedSource
from ingest.sources.images import ImageFolder
from ingest.sources.stream import NetworkCamera, Webcam
from ingest.sources.video import VideoFile

_SUPPORTED = (
    "use a video file, a folder of images, rtsp://…, rtsps://…, http://…, https://… or webcam:0 (a webcam's number)"
)


def recorded_source(camera: CameraSettings, settings: IngestSettings) -> RecordedSource:
    """Return the footage of a recorded camera; nothing is read yet.

    Raises:
        SourceError: There is no such file or folder, or the scheme of the address is not supported.
    """
    if camera.scheme != "file":
        raise SourceError(f"camera {camera.id}: addresses with {camera.scheme}: are not supported; {_SUPPORTED}")
    address = camera.uri.get_secret_value()
    if address.lower().startswith("file:"):
        address = url2pathname(urlsplit(address).path)
    path = Path(address)
    if path.is_dir():
        return ImageFolder(path, settings)
    if path.is_file():
        return VideoFile(path, settings)
    raise SourceError(f"camera {camera.id}: {path} is neither a file nor a folder; {_SUPPORTED}")


def live_source(camera: CameraSettings, settings: IngestSettings) -> LiveSource:
    """Return the source of a live camera; nothing is connected yet.

    Raises:
        SourceError: The address is malformed. The text does not contain it, since it may hold a password.
    """
    address = camera.uri.get_secret_value()
    if camera.scheme == "webcam":
        try:
            return Webcam(address.partition(":")[2], settings)
        except SourceError as error:
            raise SourceError(f"camera {camera.id}: {error}") from None
    try:
        host = urlsplit(address).hostname
    except ValueError:
        host = None
    if not host:
        raise SourceError(f"camera {camera.id}: the address after {camera.scheme}: is malformed; {_SUPPORTED}")
    return NetworkCamera(address, settings)
