"""Recorded footage in a video file: real presentation times, and no silent end."""

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
from ingest.encoding import Picture, Planes, check_size
from ingest.sampling import Sampler
from ingest.sources.base import Shot
from ingest.sources.container import DECODE_ERRORS, opened, reason
from ingest.timeline import Timeline

_USUAL_FPS = 25
_MISSING_TAIL_S = 1
"""A file whose frames end this much before the length it claims has lost its end."""
_TOLD_BY_THEIR_END = ("asf", "avi", "matroska,webm", "nut")
"""Formats whose files claim when they end by their own clock, not how long they last. Some programs that write Matroska
mean the length all the same: taken for the end it claims too little, so that a whole file is never called torn."""


class VideoFile:
    """A video file."""

    def __init__(self, path: Path, settings: IngestSettings) -> None:
        self._path = path
        self._settings = settings

    def check(self) -> int:
        """Make sure that there is a first frame.

        Returns:
            About how many frames will be taken; 0 when the file does not say how long it is.

        Raises:
            SourceError: The file is missing, no video, damaged, without frames, or its frames are too large.
        """
        if next(self.shots(), None) is None:
            raise SourceError(f"{self._path} is a video without a single frame")
        with self._opened() as (container, stream):
            fps = min(Fraction(self._settings.sample_fps), stream.average_rate or _USUAL_FPS)
            first_s, _ = next(_decoded(container, stream))
            return round((_claimed_length_s(container, stream, first_s) or 0) * fps)

    def shots(self) -> Iterator[Shot]:
        """Every sampled frame, by its presentation time.

        Raises:
            SourceError: The file cannot be opened or breaks off.
        """
        sampler = Sampler(self._settings.sample_fps)
        at_ms = None
        try:
            with self._opened() as (container, stream):
                check_size(stream.width, stream.height, self._settings.max_frame_megapixels)
                for at_ms, frame in _timed_frames(container, stream):
                    check_size(frame.width, frame.height, self._settings.max_frame_megapixels)
                    if sampler.take(at_ms):
                        yield Shot(at_ms, partial(self._picture, frame))
        except (SourceError, UndecodableError) as error:
            where = "cannot be read as a video" if at_ms is None else f"breaks off after {at_ms / 1000:.1f} s"
            raise SourceError(f"{self._path} {where}: {error}") from None

    def _opened(self) -> AbstractContextManager[tuple[InputContainer, VideoStream]]:
        # "file:" keeps a name with a colon from being read as a protocol; the whitelist keeps a playlist that
        # calls itself a video from reaching out.
        return opened(f"file:{self._path}", options={"protocol_whitelist": "file"})

    def _picture(self, frame: av.VideoFrame) -> Picture:
        return Planes.of(frame, self._settings.max_frame_megapixels).encode(self._settings.jpeg_quality)


def _timed_frames(container: InputContainer, stream: VideoStream) -> Iterator[tuple[int, av.VideoFrame]]:
    """Every frame with its event time in milliseconds.

    Raises:
        SourceError: Something in the middle cannot be decoded, or the end is missing.
    """
    frame_s = 1 / Fraction(stream.average_rate or _USUAL_FPS)
    timeline = Timeline(frame_s)
    first_s = at_ms = None
    for pts_s, frame in _decoded(container, stream):
        at_ms = timeline.at_ms(pts_s)
        first_s = pts_s if first_s is None else first_s
        yield at_ms, frame
    claimed_s = _claimed_length_s(container, stream, first_s)
    if at_ms is not None and claimed_s is not None and claimed_s - at_ms / 1000 - frame_s > _MISSING_TAIL_S:
        raise SourceError(f"it claims to last {float(claimed_s):.1f} s and has no more frames")


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[tuple[Fraction | None, av.VideoFrame]]:
    """Every frame with its time by the file's clock, in seconds; None where the file does not say.

    Raises:
        SourceError: Something in the middle cannot be decoded.
    """
    begun = False
    try:
        for packet in container.demux(stream):
            for frame in _decode(packet, begun=begun):
                begun = True
                pts = frame.pts if frame.pts is not None else frame.dts
                time_base = frame.time_base or stream.time_base
                yield None if pts is None or time_base is None else pts * time_base, frame
    except DECODE_ERRORS as error:
        raise SourceError(reason(error)) from None


def _decode(packet: "av.Packet[VideoStream]", *, begun: bool) -> list[av.VideoFrame]:
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        if begun:
            raise
        return []  # a recording cut out of a stream may begin between two key frames


def _claimed_length_s(container: InputContainer, stream: VideoStream, first_s: Fraction | None) -> Fraction | None:
    """How long the pictures last by the file's own word, in seconds; None when it does not say.

    Args:
        container: The file.
        stream: Its pictures.
        first_s: When the first picture that can be decoded is shown, by the file's clock; what it claims to hold before
            that does not count.
    """
    if stream.duration is not None and stream.time_base is not None:
        # Some headers count frames that are not there any more, where the length is that of what is left.
        counted = stream.frames / Fraction(stream.average_rate) if stream.average_rate else Fraction(0)
        claimed_s = max(stream.duration * stream.time_base, counted)
    # The whole file's length says nothing of the pictures when there is sound, which may last longer.
    elif container.duration is not None and len(container.streams) == 1:
        claimed_s = Fraction(container.duration, av.time_base)
    else:
        return None
    start = 0 if container.format.name in _TOLD_BY_THEIR_END else stream.start_time
    if first_s is None or start is None or stream.time_base is None:
        return claimed_s
    return max(claimed_s - (first_s - start * stream.time_base), Fraction(0))
