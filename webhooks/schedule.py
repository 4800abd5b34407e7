"""When something is due, whatever is done to the wall clock meanwhile."""

import time
from collections.abc import Callable

_REMEMBERED = 10_000


class Schedule:
    """Times that this process has set, as a clock tells them that only goes forward.

    The state store holds wall-clock times, since no other clock survives a restart. Of those that were set here it is
    known how far away they were, so that a wall clock that is set neither brings them closer nor puts them off.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_s: dict[int, float] = {}

    def set(self, at_ms: int, now_ms: int) -> None:
        """Note a time that is set now, both in milliseconds of wall-clock time."""
        self._due_s.pop(at_ms, None)
        self._due_s[at_ms] = self._clock() + (at_ms - now_ms) / 1000
        if len(self._due_s) > _REMEMBERED:
            del self._due_s[next(iter(self._due_s))]

    def when(self, at_ms: int, now_ms: int) -> int:
        """What the wall clock will show at a time that was set, in milliseconds; as it is where another set it."""
        if at_ms not in self._due_s:
            return at_ms
        return now_ms + round((self._due_s[at_ms] - self._clock()) * 1000)
