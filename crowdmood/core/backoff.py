"""Growing pauses between attempts."""

import random
from collections.abc import Callable


class Backoff:
    """Pauses that double up to a bound, each shortened at random, so that clients do not all retry at once.

    Args:
        first_s: The first pause, in seconds.
        longest_s: The longest pause, in seconds.
        uniform: Draws a number between two bounds.
    """

    def __init__(
        self, first_s: float = 0.05, longest_s: float = 2.0, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._first_s = min(first_s, longest_s)
        self._longest_s = longest_s
        self._uniform = uniform
        self._pause_s = self._first_s

    def next_s(self) -> float:
        """Return the next pause, in seconds."""
        pause_s = self._pause_s
        self._pause_s = min(pause_s * 2, self._longest_s)
        return pause_s * self._uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start with the shortest pause again."""
        self._pause_s = self._first_s
