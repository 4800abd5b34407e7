"""The interfaces of sources: recorded footage can be read again, a live camera cannot."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av

from ingest.encoding import SQUARE, JpegImage


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """A sampled frame of recorded footage.

    Attributes:
        at_ms: Event time in milliseconds since the footage's start.
        encode: Returns the image; raises `UndecodableError` if it cannot be decoded.
    """

    at_ms: int
    encode: Callable[[], JpegImage]


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A frame of a live camera.

    Attributes:
        image: The decoded image, progressive.
        pixel_aspect: Width of a pixel divided by its height.
    """

    image: av.VideoFrame
    pixel_aspect: Fraction = SQUARE


class RecordedSource(Protocol):
    """Recorded footage, which yields the same frames whenever it is read."""

    def check(self) -> int:
        """Check that the footage can be read.

        Returns:
            The approximate number of sampled frames; 0 if it is unknown.

        Raises:
            SourceError: The footage is missing, damaged or empty, or its frames are too large.
        """

    def frames(self) -> Iterator[RecordedFrame]:
        """Yield the sampled frames from the start.

        Raises:
            SourceError: The footage breaks off; the frames before that were yielded.
        """


class LiveSource(Protocol):
    """A camera that sends frames in real time."""

    def frames(self) -> Generator[LiveFrame, None, None]:
        """Connect, and yield every frame as it arrives.

        Raises:
            SourceError: The connection failed or broke. The text says why, and does not contain the address.
        """
