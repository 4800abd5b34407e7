"""Recorded footage in a video file. Frames have their presentation times; damage in the middle is an error."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from crowdmood.core.errors import SourceError, UndecodableError
from crowdmood.core.settings import IngestSettings
from ingest.deinterlace import Deinterlacer
from ingest.encoding import JpegImage, Planes, check_size, square_size
from ingest.sources.base import RecordedFrame
from ingest.sources.container import DECODE_ERRORS, opened, pixel_aspect, reason
from ingest.timing import FootageClock, Sampler

log = logging.getLogger("crowdmood.ingest")

_USUAL_FPS = 25
_MISSING_TAIL_S = 1
"""A file that ends this many seconds before the length that it declares gets a warning."""
_DURATION_IS_END = ("asf", "avi", "matroska,webm", "nut")
"""Formats whose files declare the time of their end by their own clock, not their length. Some programs write the
length into Matroska files all the same; read as the end it is too small, so that a complete file gets no warning."""


class VideoFile:
    """A video file."""

    def __init__(self, path: Path, settings: IngestSettings) -> None:
        self._path = path
        self._settings = settings

    def check(self) -> int:
        """Check that the first frame can be read.

        Returns:
            The approximate number of sampled frames; 0 if the file declares no length.

        Raises:
            SourceError: The file is missing, no video, damaged or without frames, or its frames are too large.
        """
        if next(self.frames(), None) is None:
            raise SourceError(f"{self._path} is a video without a single frame")
        with self._opened() as (container, stream):
            fps = min(Fraction(self._settings.sample_fps), stream.average_rate or _USUAL_FPS)
            first_s, _ = next(_decoded(container, stream))
            return round((_declared_length_s(container, stream, first_s) or 0) * fps)

    def frames(self) -> Iterator[RecordedFrame]:
        """Yield the sampled frames with their presentation times.

        Raises:
            SourceError: The file cannot be opened or breaks off.
        """
        sampler = Sampler(self._settings.sample_fps)
        at_ms = None
        try:
            with self._opened() as (container, stream):
                aspect = pixel_aspect(stream)
                self._check_size(stream.width, stream.height, aspect)
                for at_ms, frame in _timed_frames(container, stream, self._path):
                    self._check_size(frame.width, frame.height, aspect)
                    if sampler.take(at_ms):
                        yield RecordedFrame(at_ms, partial(self._encode, frame, aspect))
        except (SourceError, UndecodableError) as error:
            where = "cannot be read as a video" if at_ms is None else f"breaks off after {at_ms / 1000:.1f} s"
            raise SourceError(f"{self._path} {where}: {error}") from None

    def _opened(self) -> AbstractContextManager[tuple[InputContainer, VideoStream]]:
        # Without "file:", FFmpeg would read a name with a colon as a protocol. The whitelist prevents that a playlist
        # with the name of a video opens network addresses.
        whitelist = {"protocol_whitelist": "file,crypto,data"}
        return opened(f"file:{self._path}", options=whitelist, hwaccel=self._settings.hwaccel)

    def _check_size(self, width: int, height: int, aspect: Fraction) -> None:
        check_size(*square_size(width, height, aspect), self._settings.max_frame_megapixels)

    def _encode(self, frame: av.VideoFrame, aspect: Fraction) -> JpegImage:
        return Planes.of(frame, self._settings.max_frame_megapixels, aspect).encode(self._settings.jpeg_quality)


def _timed_frames(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield every frame with its event time in milliseconds.

    Raises:
        SourceError: A frame in the middle cannot be decoded.
    """
    frame_s = 1 / Fraction(stream.average_rate or _USUAL_FPS)
    clock = FootageClock(frame_s)
    first_s = at_ms = None
    for pts_s, frame in _decoded(container, stream):
        at_ms = clock.at_ms(pts_s)
        first_s = pts_s if first_s is None else first_s
        yield at_ms, frame
    length_s = _declared_length_s(container, stream, first_s)
    if at_ms is not None and length_s is not None and length_s - at_ms / 1000 - frame_s > _MISSING_TAIL_S:
        log.warning(
            "%s declares a length of %.1f s and ends after %.1f s: everything in it was read",
            path,
            float(length_s),
            at_ms / 1000,
        )


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[tuple[Fraction | None, av.VideoFrame]]:
    """Yield every frame with its time by the file's clock in seconds, or None if it has none.

    Raises:
        SourceError: A frame in the middle cannot be decoded.
    """
    begun = False
    deinterlacer: Deinterlacer[Fraction | None] = Deinterlacer()
    try:
        for packet in container.demux(stream):
            for frame in _decode(packet, begun=begun):
                begun = True
                pts = frame.pts if frame.pts is not None else frame.dts
                time_base = frame.time_base or stream.time_base
                yield from deinterlacer.push(frame, None if pts is None or time_base is None else pts * time_base)
        yield from deinterlacer.flush()
    except DECODE_ERRORS as error:
        yield from deinterlacer.flush()
        raise SourceError(reason(error)) from None


def _decode(packet: "av.Packet[VideoStream]", *, begun: bool) -> list[av.VideoFrame]:
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        if begun:
            raise
        return []  # a recording that was cut out of a stream may begin between two key frames


def _declared_length_s(container: InputContainer, stream: VideoStream, first_s: Fraction | None) -> Fraction | None:
    """Return the length of the video that the file declares, in seconds, or None if it declares none.

    Args:
        container: The file.
        stream: Its video stream.
        first_s: Time of the first frame that can be decoded, by the file's clock. Earlier frames do not count.
    """
    if stream.duration is not None and stream.time_base is not None:
        # After a file was cut, some headers still count all frames, while the duration is that of the rest.
        counted = stream.frames / Fraction(stream.average_rate) if stream.average_rate else Fraction(0)
        length_s = max(stream.duration * stream.time_base, counted)
    # With sound, the length of the whole file may be that of the sound.
    elif container.duration is not None and len(container.streams) == 1:
        length_s = Fraction(container.duration, av.time_base)
    else:
        return None
    start = 0 if container.format.name in _DURATION_IS_END else stream.start_time
    if first_s is None or start is None or stream.time_base is None:
        return length_s
    return max(length_s - (first_s - start * stream.time_base), Fraction(0))
