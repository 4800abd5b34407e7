"""Live cameras: network streams and webcams."""

import contextlib
import sys
import time
from collections.abc import Generator

import av

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import IngestSettings
from ingest.deinterlace import Deinterlacer
from ingest.sources.base import LiveFrame
from ingest.sources.container import DECODE_ERRORS, opened, pixel_aspect, reason, timed_out

_ANALYZE_US = "1000000"
"""Longest analysis of a stream before the first frame, in microseconds. FFmpeg's default of 5 s delays a reconnect."""


class NetworkCamera:
    """A camera behind rtsp(s):// or http(s)://."""

    def __init__(self, address: str, settings: IngestSettings) -> None:
        scheme, _, rest = address.partition(":")
        self._address = f"{scheme.lower()}:{rest}"  # FFmpeg accepts protocols in lower case only
        self._timeout_s = settings.connect_timeout_s

    def frames(self) -> Generator[LiveFrame, None, None]:
        """Connect, and yield every frame as it arrives.

        Raises:
            SourceError: The connection failed or broke.
        """
        options = {"analyzeduration": _ANALYZE_US}
        if self._address.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # over UDP, a lost packet damages an image
        return _frames(self._address, None, options, self._timeout_s)


class Webcam:
    """A camera of this computer.

    Args:
        device: The camera's number; on Windows, its name as the system shows it.
        settings: The timeout.
        platform: As `sys.platform`.
    """

    def __init__(self, device: str, settings: IngestSettings, platform: str = sys.platform) -> None:
        self._input_format, self._address = webcam_address(device, platform)
        self._timeout_s = settings.connect_timeout_s

    def frames(self) -> Generator[LiveFrame, None, None]:
        """Open the device, and yield every frame as it arrives.

        Raises:
            SourceError: There is no such device, or it was disconnected.
        """
        return _frames(self._address, self._input_format, {}, self._timeout_s)


def webcam_address(device: str, platform: str) -> tuple[str, str]:
    """Return FFmpeg's input format and address of a webcam.

    Raises:
        SourceError: This is no name or number of a camera on this system.
    """
    if platform == "win32":
        if device.isdigit():
            raise SourceError("on Windows, give the name of a webcam, as in 'webcam:Integrated Camera'")
        return "dshow", f"video={device}"
    if not (device.isascii() and device.isdigit()):
        raise SourceError("give the number of a webcam, as in webcam:0")
    return ("avfoundation", device) if platform == "darwin" else ("v4l2", f"/dev/video{device}")


def _frames(
    address: str, input_format: str | None, options: dict[str, str], timeout_s: float
) -> Generator[LiveFrame, None, None]:
    with opened(address, input_format=input_format, options=options, timeout_s=timeout_s) as (container, stream):
        deinterlacer: Deinterlacer[None] = Deinterlacer()
        aspect = pixel_aspect(stream)
        packet_s = frame_s = time.monotonic()
        why = "the stream ended"
        try:
            for packet in container.demux(stream):
                # Ignore a damaged packet: the image is complete again with the next key frame.
                with contextlib.suppress(av.error.InvalidDataError):
                    for frame in packet.decode():
                        for _, image in deinterlacer.push(frame, None):
                            yield LiveFrame(image, aspect)
                        frame_s = time.monotonic()
                packet_s = time.monotonic()
                if packet_s > frame_s + timeout_s:
                    raise SourceError(f"no image for {timeout_s:g} s, although data arrives")
        except DECODE_ERRORS as error:
            why = reason(error)
        raise SourceError(timed_out(packet_s, timeout_s) or why)
