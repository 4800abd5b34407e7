"""Opens what FFmpeg can read. Errors never contain the address, which may hold credentials."""

import contextlib
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import av.logging
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.video.stream import VideoStream

from crowdmood.core.errors import SourceError
from ingest.encoding import SQUARE


class RefusedError(SourceError):
    """The camera refuses the user or the password."""


class InvalidStreamError(SourceError):
    """The camera sends data that FFmpeg does not recognise, or that breaks the rules of its container."""


DECODE_ERRORS = (av.error.FFmpegError, ValueError)
"""Errors of PyAV: its own, and ValueError for values that Python does not accept."""


@contextlib.contextmanager
def opened(
    address: str,
    *,
    input_format: str | None = None,
    options: dict[str, str] | None = None,
    timeout_s: float | None = None,
    hwaccel: str = "",
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a container, and yield it and its main video stream.

    Args:
        address: The address for FFmpeg; may hold credentials.
        input_format: FFmpeg's name of the input device, if the address does not imply it.
        options: FFmpeg's options for the protocol and the format.
        timeout_s: Longest wait for the connection, and then for each packet, in seconds; None has no limit.
        hwaccel: FFmpeg's name of a hardware decoder; empty decodes on the CPU.

    Raises:
        RefusedError: The camera refuses the user or the password.
        InvalidStreamError: It sends no container that FFmpeg recognises.
        SourceError: The container cannot be opened or holds no video.
    """
    av.logging.set_level(None)  # FFmpeg logs addresses with their passwords
    started_s = time.monotonic()
    try:
        accelerator = HWAccel(hwaccel, allow_software_fallback=False) if hwaccel else None
        container = av.open(address, format=input_format, options=options, timeout=timeout_s, hwaccel=accelerator)
    except (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError):
        raise RefusedError("the camera refuses the user or the password") from None
    except av.error.InvalidDataError as error:
        if late := timed_out(started_s, timeout_s):
            raise SourceError(late) from None
        raise InvalidStreamError(reason(error)) from None
    except av.error.ProtocolNotFoundError:
        raise SourceError(f"this build of FFmpeg has no protocol {address.partition(':')[0]}") from None
    except (av.error.PermissionError, RuntimeError) as error:
        if not hwaccel:
            raise SourceError(reason(error)) from None
        available = ", ".join(hwdevices_available()) or "none"
        raise SourceError(
            f"CROWDMOOD_INGEST__HWACCEL is {hwaccel}, which does not work here or not for this video. FFmpeg knows "
            f"{available}, and the machine must have the device; leave it empty to decode on the CPU"
        ) from None
    except DECODE_ERRORS as error:
        raise SourceError(timed_out(started_s, timeout_s) or reason(error)) from None
    with container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            raise SourceError("it holds no video")
        if not hasattr(stream, "width"):  # attributes come from the decoder, and there is none
            raise SourceError("its video is of a kind that cannot be decoded")
        yield container, stream


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Return the width of a pixel divided by its height, as the container or else the codec declares it."""
    for declared in (stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio):
        if declared:
            return Fraction(declared)
    return SQUARE


def reason(error: Exception) -> str:
    """Return FFmpeg's description of an error, without the address that its exceptions contain."""
    if isinstance(error, av.error.EOFError):
        return "it is empty"
    return getattr(error, "strerror", None) or type(error).__name__


def timed_out(since_s: float, timeout_s: float | None) -> str:
    """Return the description of a timeout, or an empty string if there was none; FFmpeg's own depends on the protocol.

    Args:
        since_s: Start of the wait, by `time.monotonic`.
        timeout_s: Longest wait, in seconds.
    """
    late = timeout_s is not None and time.monotonic() - since_s >= timeout_s
    return f"no answer for {timeout_s:g} s" if late else ""
