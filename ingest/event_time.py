"""Event time of live cameras: the wall clock's, unless that is set back."""

_SLOWEST = 0.9
"""Pace, as a part of real time, at which event time goes on until a wall clock that was set back has caught up."""


class EventTime:
    """Milliseconds since 1970-01-01 UTC that always grow, and never stand still.

    A wall clock that is set forward is followed at once. One that is set back is waited for at a slower pace: windows
    that have closed cannot be opened again, and standing still would mean no mood for as long as it was set back.
    """

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def at(self, wall_ms: int, now_s: float) -> int:
        """Event time of a frame that came now.

        Args:
            wall_ms: What the wall clock shows, in milliseconds since 1970-01-01 UTC.
            now_s: Seconds by a clock that only grows.
        """
        at_ms = wall_ms
        if self._last is not None:
            last_ms, last_s = self._last
            at_ms = max(wall_ms, last_ms + max(1, round((now_s - last_s) * 1000 * _SLOWEST)))
        self._last = at_ms, now_s
        return at_ms
