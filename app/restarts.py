"""A limit on restarts."""

from collections import deque


class RestartBudget:
    """Number of restarts that are allowed within a sliding window.

    Args:
        max_restarts: Restarts allowed within the window.
        window_s: Length of the window in seconds.
    """

    def __init__(self, max_restarts: int, window_s: float) -> None:
        self._max_restarts = max_restarts
        self._window_s = window_s
        self._restarts: deque[float] = deque()

    def spend(self, now_s: float) -> bool:
        """Count one restart; return False when none is left."""
        while self._restarts and self._restarts[0] <= now_s - self._window_s:
            self._restarts.popleft()
        if len(self._restarts) >= self._max_restarts:
            return False
        self._restarts.append(now_s)
        return True
