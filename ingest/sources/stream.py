"""Live cameras: network streams and webcams."""

import contextlib
import sys
import time
from collections.abc import Generator

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import IngestSettings
from ingest.deinterlace import Deinterlacer
from ingest.sources.base import LiveFrame
from ingest.sources.container import DECODE_ERRORS, InvalidStreamError, opened, pixel_aspect, reason, timed_out

_ANALYZE_US = "1000000"
"""Longest analysis of a stream before the first frame, in microseconds. FFmpeg's default of 5 s delays a reconnect."""

_SNAPSHOT = "_pipe"
"""End of the names of FFmpeg's formats for single images."""


class NetworkCamera:
    """A camera behind a network address.

    Args:
        address: Its address; a user and a password in it are percent-encoded.
        settings: Transport, decoder and timeouts.
    """

    def __init__(self, address: str, settings: IngestSettings) -> None:
        scheme, _, rest = address.partition(":")
        self._address = f"{scheme.lower()}:{rest}"  # FFmpeg accepts protocols in lower case only
        self._settings = settings

    def frames(self) -> Generator[LiveFrame, None, None]:
        """Connect, and yield every frame as it arrives. The address of a snapshot is polled at the sampling rate.

        Raises:
            RefusedError: The camera refuses the user or the password.
            SourceError: The connection failed or broke, or the address is that of a recording.
        """
        options = {"analyzeduration": _ANALYZE_US}
        if self._address.startswith("rtsp") and self._settings.rtsp_transport != "auto":
            options["rtsp_transport"] = self._settings.rtsp_transport
        try:
            yield from _frames(self._address, None, options, self._settings)
        except InvalidStreamError:
            if not self._address.startswith("http"):
                raise
            # Many cameras send motion JPEG with parts of a wrong type or length: look for the images themselves.
            yield from _frames(self._address, "mjpeg", options, self._settings)


class Webcam:
    """A camera of this computer.

    Args:
        device: The camera's number; on Windows, its name as the system shows it.
        settings: The timeout.
        platform: As `sys.platform`.
    """

    def __init__(self, device: str, settings: IngestSettings, platform: str = sys.platform) -> None:
        self._input_format, self._address = webcam_address(device, platform)
        self._settings = settings

    def frames(self) -> Generator[LiveFrame, None, None]:
        """Open the device, and yield every frame as it arrives.

        Raises:
            SourceError: There is no such device, or it was disconnected.
        """
        return _frames(self._address, self._input_format, {}, self._settings)


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
    address: str, input_format: str | None, options: dict[str, str], settings: IngestSettings
) -> Generator[LiveFrame, None, None]:
    while True:
        timeout_s = settings.connect_timeout_s
        container_of = opened(
            address, input_format=input_format, options=options, timeout_s=timeout_s, hwaccel=settings.hwaccel
        )
        with container_of as (container, stream):
            kind = container.format.name
            if kind == "hls" and container.duration is not None:
                raise SourceError("this playlist is a recording: download it, and replay its file")
            yield from _received(container, stream, settings)
        if not kind.endswith(_SNAPSHOT):
            raise SourceError("the stream ended")
        time.sleep(1 / settings.sample_fps)


def _received(
    container: InputContainer, stream: VideoStream, settings: IngestSettings
) -> Generator[LiveFrame, None, None]:
    """Yield every frame until the end of the stream.

    Raises:
        InvalidStreamError: The data breaks the rules of its container.
        SourceError: The connection broke, or no image comes.
    """
    deinterlacer: Deinterlacer[None] = Deinterlacer()
    aspect = pixel_aspect(stream)
    timeout_s = settings.connect_timeout_s
    packet_s = time.monotonic()
    patience_s = max(timeout_s, settings.first_frame_timeout_s)
    due_s = packet_s + patience_s
    try:
        for packet in container.demux(stream):
            # Ignore a damaged packet: the image is complete again with the next key frame.
            with contextlib.suppress(av.error.InvalidDataError):
                for frame in packet.decode():
                    for _, image in deinterlacer.push(frame, None):
                        yield LiveFrame(image, aspect)
                    patience_s = timeout_s
                    due_s = time.monotonic() + patience_s
            packet_s = time.monotonic()
            if packet_s > due_s:
                raise SourceError(f"no image for {patience_s:g} s, although data arrives")
    except av.error.EOFError:
        return
    except av.error.InvalidDataError as error:
        if late := timed_out(packet_s, timeout_s):
            raise SourceError(late) from None
        raise InvalidStreamError(reason(error)) from None
    except DECODE_ERRORS as error:
        raise SourceError(timed_out(packet_s, timeout_s) or reason(error)) from None
    if late := timed_out(packet_s, timeout_s):
        raise SourceError(late)
