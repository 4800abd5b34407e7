"""Pure timing rules: which frames are sampled, their event time, and when they are due.

Clocks are injected, so that no test waits.
"""

import math
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Literal

_SAMPLING_TOLERANCE = 0.1
"""How much earlier than due a frame may be, as a part of the sampling interval. Times are rounded to milliseconds,
which at 120 frames per second is 0.06 of an interval, and cameras are not exact."""

_JUMP_S = 1
"""A step back by more than this is a new clock (a restarted recorder). A smaller one is frames out of order."""

_SLOWEST = 0.9
"""Pace of event time, as a part of real time, until a clock that was set back has caught up."""


class Sampler:
    """Selects the first frame of each interval of `1 / fps` seconds, by the frames' times alone, without drift.

    If a frame comes just before its interval, the next frame is selected too. So a camera that runs at the sampling
    rate loses no frames when its phase drifts. After a gap no extra frames are selected.
    """

    def __init__(self, fps: float) -> None:
        self._per_ms = fps / 1000
        self._due = 0
        self._last_ms = -1

    def take(self, at_ms: int) -> bool:
        """Return whether to sample the next frame.

        Args:
            at_ms: Milliseconds since any start, 0 or more. A frame that is not later than the last one is not sampled.
        """
        interval = math.floor(at_ms * self._per_ms + _SAMPLING_TOLERANCE)
        if interval < self._due or at_ms <= self._last_ms:
            return False
        gap = interval > self._due + 1
        self._due = interval + 1 if gap else self._due + 1
        self._last_ms = at_ms
        return True


class FootageClock:
    """Event time of recorded footage: presentation times as milliseconds since the first frame.

    A frame without a time, or after the file's clock starts again, is one frame later than the last.

    Args:
        frame_s: Usual time between two frames, in seconds.
    """

    def __init__(self, frame_s: Fraction) -> None:
        self._frame_s = frame_s
        self._offset_s: Fraction | None = None
        self._next_s = Fraction(0)

    def at_ms(self, pts_s: Fraction | None) -> int:
        """Return the event time of the next frame.

        Args:
            pts_s: Presentation time by the file's clock, in seconds; None if the file has none.
        """
        at_s = self._next_s
        if pts_s is not None:
            if self._offset_s is None or pts_s + self._offset_s < self._next_s - self._frame_s - _JUMP_S:
                self._offset_s = self._next_s - pts_s
            at_s = pts_s + self._offset_s
        self._next_s = at_s + self._frame_s
        return round(at_s * 1000)


class LiveClock:
    """Event time of a live camera: the bus server's clock as milliseconds since 1970-01-01 UTC, strictly increasing.

    If that clock is set forward, event time follows at once. If it is set back, event time continues at a slower pace
    until the clock has caught up: closed windows cannot reopen, and without progress no window would close.
    """

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def at_ms(self, bus_ms: int, now_s: float) -> int:
        """Return the event time of a frame that has just arrived.

        Args:
            bus_ms: The bus server's time in milliseconds since 1970-01-01 UTC.
            now_s: Monotonic time in seconds.
        """
        at_ms = bus_ms
        if self._last is not None:
            last_ms, last_s = self._last
            at_ms = max(bus_ms, last_ms + max(1, round((now_s - last_s) * 1000 * _SLOWEST)))
        self._last = at_ms, now_s
        return at_ms


class Pacer:
    """Plays recorded footage at a multiple of real time, beginning with the first frame.

    Late footage catches up: frames are due by the schedule, not by the time since the last frame.

    Args:
        speed: Multiple of real time, or `max` for no pacing.
        clock: Monotonic time in seconds.
    """

    def __init__(self, speed: float | Literal["max"], clock: Callable[[], float] = time.monotonic) -> None:
        self._speed = speed
        self._clock = clock
        self._start: tuple[float, int] | None = None

    def delay_s(self, at_ms: int) -> float:
        """Return the seconds until the frame of this event time is due, or 0 if it is due now."""
        if self._speed == "max":
            return 0.0
        if self._start is None:
            self._start = self._clock(), at_ms
        start_s, start_ms = self._start
        return max(0.0, start_s + (at_ms - start_ms) / 1000 / self._speed - self._clock())


class FreezeWatch:
    """Detects a live camera that repeats an image exactly; sensors are noisy, so a working camera does not.

    Args:
        after_s: Seconds of the same image after which the camera is frozen.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._digest: int | None = None
        self._since_s = 0.0

    def frozen(self, digest: int, at_s: float) -> bool:
        """Return whether the camera is frozen.

        Args:
            digest: Digest of the newest image.
            at_s: When it arrived: monotonic time in seconds.
        """
        if digest != self._digest:
            self._digest, self._since_s = digest, at_s
        return at_s - self._since_s >= self._after_s
