"""What every source of pictures offers: recorded footage that may be read again, or a live camera that may not."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

import av

from ingest.encoding import Picture


@dataclass(frozen=True, slots=True)
class Shot:
    """A sampled moment of recorded footage.

    Attributes:
        at_ms: Event time in milliseconds since the footage's start.
        picture: Makes the picture, when it is wanted; raises `UndecodableError` when there is none to be had.
    """

    at_ms: int
    picture: Callable[[], Picture]


class RecordedSource(Protocol):
    """Recorded footage: the same shots each time it is read."""

    def check(self) -> int:
        """Make sure that it can be read.

        Returns:
            About how many shots it will give; 0 when that cannot be told beforehand.

        Raises:
            SourceError: It is missing, damaged, empty or too large.
        """

    def shots(self) -> Iterator[Shot]:
        """Read it from the start.

        Raises:
            SourceError: It breaks off; the shots before that have been given.
        """


class LiveSource(Protocol):
    """A camera that sends frames as they happen."""

    def frames(self) -> Generator[av.VideoFrame, None, None]:
        """Connect, then give every frame as it comes.

        Raises:
            SourceError: No connection, or it broke; the text says why and holds nothing of the address.
        """
