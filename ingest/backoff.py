"""How long to wait before a camera is tried again."""

import random
from collections.abc import Callable

_FIRST_S = 0.5


class Backoff:
    """Pauses that double up to a bound, each shortened at random so that many cameras do not come back at once."""

    def __init__(self, longest_s: float, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._longest_s = longest_s
        self._uniform = uniform
        self._pause_s = min(_FIRST_S, longest_s)

    def next_s(self) -> float:
        """The next pause, in seconds: half to all of what is due."""
        pause_s = self._pause_s
        self._pause_s = min(pause_s * 2, self._longest_s)
        return pause_s * self._uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin with the shortest pause again: the camera has held."""
        self._pause_s = min(_FIRST_S, self._longest_s)
