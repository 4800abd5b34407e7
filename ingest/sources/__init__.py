"""Sources of frames, chosen by the scheme of a camera's address. A source opens, decodes and timestamps.

Sources do not use the bus, and do not decide when frames are published.
"""

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import url2pathname

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import CameraSettings, IngestSettings
from ingest.sources.base import LiveSource, RecordedSource
from ingest.sources.images import ImageFolder
from ingest.sources.stream import NetworkCamera, Webcam
from ingest.sources.video import VideoFile

_SUPPORTED = (
    "use a video file, a folder of images, rtsp(s)://…, http(s)://…, rtmp(s)://…, rtp://…, srt://…, udp://… or "
    "webcam:0 (a webcam's number)"
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
        SourceError: The address is missing or malformed. The text does not contain it, since it may hold a password.
    """
    address = camera.uri.get_secret_value()
    if not address:
        raise SourceError(
            f"camera {camera.id} has no address: set it in CROWDMOOD_CAMERA_ADDRESSES, or as `uri` of the camera"
        )
    if camera.scheme == "webcam":
        try:
            return Webcam(address.partition(":")[2], settings)
        except SourceError as error:
            raise SourceError(f"camera {camera.id}: {error}") from None
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise SourceError(
            f"camera {camera.id}: the address after {camera.scheme}: is malformed. A user and a password in it must be "
            f"percent-encoded, or set apart as `user` and `password`; {_SUPPORTED}"
        )
    if camera.user:
        password = camera.password.get_secret_value()
        login = f"{quote(camera.user, safe='')}:{quote(password, safe='')}"
        address = urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))
    return NetworkCamera(address, settings)
