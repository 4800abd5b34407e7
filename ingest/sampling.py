"""Which frames of a camera are looked at: chosen by their times alone, so the same footage gives the same frames."""

import math

_TOLERANCE = 0.1
"""How much earlier than due a frame may come, as a part of the sampling interval: times are rounded to milliseconds,
which at 120 frames per second is 0.06 of an interval, and cameras are not exact."""


class Sampler:
    """Takes the first frame of each interval of `1 / fps` seconds, without drift.

    A frame that comes just before its interval is made up for by the next one, so a camera whose own rate is the
    sampling rate loses nothing to a drifting phase; after a gap nothing is made up for.
    """

    def __init__(self, fps: float) -> None:
        self._per_ms = fps / 1000
        self._due = 0
        self._last_ms = -1

    def take(self, at_ms: int) -> bool:
        """Whether the frame at this time is wanted.

        Args:
            at_ms: Milliseconds since the start, 0 or more; a time that does not grow is not wanted.
        """
        interval = math.floor(at_ms * self._per_ms + _TOLERANCE)
        if interval < self._due or at_ms <= self._last_ms:
            return False
        gap = interval > self._due + 1
        self._due = interval + 1 if gap else self._due + 1
        self._last_ms = at_ms
        return True
