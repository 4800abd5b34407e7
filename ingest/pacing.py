"""When recorded footage is due: event time against a steady clock."""

import time
from collections.abc import Callable
from typing import Literal


class Pacer:
    """Plays footage at a multiple of real time from its first frame on.

    Footage that fell behind catches up: what counts is the schedule, not the distance to the frame before.
    """

    def __init__(self, speed: float | Literal["max"], clock: Callable[[], float] = time.monotonic) -> None:
        """Begin.

        Args:
            speed: Multiple of real time, or `max` for no pacing.
            clock: Seconds that only grow.
        """
        self._speed = speed
        self._clock = clock
        self._start: tuple[float, int] | None = None

    def delay_s(self, at_ms: int) -> float:
        """How long to wait before the frame of this event time, in seconds; 0 when it is due."""
        if self._speed == "max":
            return 0.0
        if self._start is None:
            self._start = self._clock(), at_ms
        start_s, start_ms = self._start
        return max(0.0, start_s + (at_ms - start_ms) / 1000 / self._speed - self._clock())
