"""Opening what FFmpeg reads, so that its errors are ours and never show the address they happened at."""

import contextlib
import time
from collections.abc import Iterator

import av
import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

from crowdmood.core.errors import SourceError

DECODE_ERRORS = (av.error.FFmpegError, ValueError)
"""What PyAV raises: its own errors, and ValueError from what it hands on to Python."""


@contextlib.contextmanager
def opened(
    address: str,
    *,
    input_format: str | None = None,
    options: dict[str, str] | None = None,
    timeout_s: float | None = None,
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A container and its main video stream, while the context lasts.

    Args:
        address: What FFmpeg opens; may hold credentials.
        input_format: FFmpeg's name of the input device, when it cannot be told from the address.
        options: FFmpeg's options of the protocol and the format.
        timeout_s: Longest wait for the connection, and then for each packet, in seconds; None waits for ever.

    Raises:
        SourceError: It cannot be opened or holds no video; the text does not hold the address.
    """
    av.logging.set_level(None)  # FFmpeg's own log lines show addresses with their passwords
    started_s = time.monotonic()
    try:
        container = av.open(address, format=input_format, options=options, timeout=timeout_s)
    except DECODE_ERRORS as error:
        raise SourceError(timed_out(started_s, timeout_s) or reason(error)) from None
    with container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            raise SourceError("it holds no video")
        if not hasattr(stream, "width"):  # the stream passes on what its decoder knows, and has none
            raise SourceError("its video is of a kind that cannot be decoded")
        yield container, stream


def reason(error: Exception) -> str:
    """Why FFmpeg failed, in its words but without the address, which it puts into its exceptions' texts."""
    if isinstance(error, av.error.EOFError):
        return "there is nothing in it"
    return getattr(error, "strerror", None) or type(error).__name__


def timed_out(since_s: float, timeout_s: float | None) -> str:
    """Why FFmpeg gave up after waiting since then, if it was for the time; each of its protocols says it differently.

    Args:
        since_s: When the wait began, by `time.monotonic`.
        timeout_s: The longest wait, in seconds.
    """
    late = timeout_s is not None and time.monotonic() - since_s >= timeout_s
    return f"no answer for {timeout_s:g} s" if late else ""
