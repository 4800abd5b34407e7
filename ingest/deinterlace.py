"""Deinterlaces frames that their stream marks as interlaced. Other frames pass unchanged."""

from collections import deque
from fractions import Fraction
from typing import Final, Generic, TypeVar

import av
import av.filter

T = TypeVar("T")

_TIME_BASE: Final = Fraction(1, 1000)
_FRAME_TICKS: Final = 40


class Deinterlacer(Generic[T]):
    """FFmpeg's bwdif, one frame for each pair of fields, from the first interlaced frame on.

    Bwdif needs the next frame: a frame comes out one frame later than it goes in. It keeps frames apart that are not
    marked, so that a stream may mix both.
    """

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[int, int, str] | None = None
        self._tags: deque[T] = deque()
        self._ticks = 0

    def push(self, frame: av.VideoFrame, tag: T) -> list[tuple[T, av.VideoFrame]]:
        """Push a frame, and return the frames that are ready, with their tags.

        Args:
            frame: A decoded frame.
            tag: Returned with the frame: filters change its own times.
        """
        shape = frame.width, frame.height, frame.format.name
        ready = self.flush() if self._graph is not None and shape != self._shape else []
        if self._graph is None:
            if not frame.interlaced_frame:
                return [*ready, (tag, frame)]
            self._graph, self._shape = _graph(*shape), shape
        frame.time_base, frame.pts = _TIME_BASE, self._ticks
        self._ticks += _FRAME_TICKS
        self._tags.append(tag)
        self._graph.push(frame)
        return ready + self._pull()

    def flush(self) -> list[tuple[T, av.VideoFrame]]:
        """Return the frames that are still inside, and start again."""
        if self._graph is None:
            return []
        self._graph.push(None)
        ready = self._pull()
        self._graph, self._ticks = None, 0
        self._tags.clear()
        return ready

    def _pull(self) -> list[tuple[T, av.VideoFrame]]:
        assert self._graph is not None
        ready: list[tuple[T, av.VideoFrame]] = []
        while self._tags:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            assert isinstance(frame, av.VideoFrame)
            ready.append((self._tags.popleft(), frame))
        return ready


def _graph(width: int, height: int, pixel_format: str) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat(pixel_format), time_base=_TIME_BASE)
    bwdif = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph
