"""Due times that do not move when the wall clock is set."""

import time
from collections.abc import Callable

_REMEMBERED = 10_000


class Schedule:
    """Due times that this process has set, measured by a monotonic clock.

    The state store holds wall-clock times, since no other clock survives a restart. For times that this process set,
    the schedule knows how far away they were, so that setting the wall clock neither advances nor delays them.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_s: dict[int, float] = {}

    def set(self, at_ms: int, now_ms: int) -> None:
        """Record a due time that is set now, both in milliseconds of wall-clock time."""
        self._due_s.pop(at_ms, None)
        self._due_s[at_ms] = self._clock() + (at_ms - now_ms) / 1000
        if len(self._due_s) > _REMEMBERED:
            del self._due_s[next(iter(self._due_s))]

    def when(self, at_ms: int, now_ms: int) -> int:
        """Return the current wall clock's time of a due time, in milliseconds; unchanged if another process set it."""
        if at_ms not in self._due_s:
            return at_ms
        return now_ms + round((self._due_s[at_ms] - self._clock()) * 1000)
