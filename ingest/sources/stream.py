"""Live cameras: network streams and webcams."""

import contextlib
import sys
import time
from collections.abc import Generator

import av

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import IngestSettings
from ingest.sources.container import DECODE_ERRORS, opened, reason, timed_out

_ANALYZE_US = "1000000"
"""How long FFmpeg may look at a stream before it gives the first frame, in microseconds; its own 5 s are too long
for a camera that comes back."""


class NetworkCamera:
    """A camera behind rtsp(s):// or http(s)://."""

    def __init__(self, address: str, settings: IngestSettings) -> None:
        scheme, _, rest = address.partition(":")
        self._address = f"{scheme.lower()}:{rest}"  # FFmpeg knows its protocols in lower case only
        self._timeout_s = settings.connect_timeout_s

    def frames(self) -> Generator[av.VideoFrame, None, None]:
        """Connect, then give every frame as it comes.

        Raises:
            SourceError: No connection, or it broke.
        """
        options = {"analyzeduration": _ANALYZE_US}
        if self._address.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # over UDP a lost packet is a torn picture
        return _frames(self._address, None, options, self._timeout_s)


class Webcam:
    """A camera of this computer."""

    def __init__(self, device: str, settings: IngestSettings, platform: str = sys.platform) -> None:
        """Choose a camera.

        Args:
            device: Its number; on Windows its name, as the system shows it.
            settings: For the timeout.
            platform: As `sys.platform`.
        """
        self._input_format, self._address = webcam_address(device, platform)
        self._timeout_s = settings.connect_timeout_s

    def frames(self) -> Generator[av.VideoFrame, None, None]:
        """Open the device, then give every frame as it comes.

        Raises:
            SourceError: There is no such device, or it went away.
        """
        return _frames(self._address, self._input_format, {}, self._timeout_s)


def webcam_address(device: str, platform: str) -> tuple[str, str]:
    """What FFmpeg calls a webcam: (input format, address).

    Raises:
        SourceError: Cameras are not named like this on this system.
    """
    if platform == "win32":
        if device.isdigit():
            raise SourceError("on Windows a webcam is called by its name, as in 'webcam:Integrated Camera'")
        return "dshow", f"video={device}"
    if not (device.isascii() and device.isdigit()):
        raise SourceError("a webcam is called by its number, as in webcam:0")
    return ("avfoundation", device) if platform == "darwin" else ("v4l2", f"/dev/video{device}")


def _frames(
    address: str, input_format: str | None, options: dict[str, str], timeout_s: float
) -> Generator[av.VideoFrame, None, None]:
    with opened(address, input_format=input_format, options=options, timeout_s=timeout_s) as (container, stream):
        since_s = pictured_s = time.monotonic()
        why = "the stream ended"
        try:
            for packet in container.demux(stream):
                # A packet that the network tore: the next key frame mends the picture.
                with contextlib.suppress(av.error.InvalidDataError):
                    for frame in packet.decode():
                        yield frame
                        pictured_s = time.monotonic()
                since_s = time.monotonic()
                if since_s > pictured_s + timeout_s:
                    raise SourceError(f"no picture for {timeout_s:g} s, although something comes")
        except DECODE_ERRORS as error:
            why = reason(error)
        raise SourceError(timed_out(since_s, timeout_s) or why)
