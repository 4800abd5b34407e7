"""Event time of footage: presentation times as a file has them become milliseconds since its start."""

from fractions import Fraction

_JUMP_S = 1
"""A step back by more than this is a new clock (a recorder that was restarted), not frames out of order."""


class Timeline:
    """Maps presentation times to milliseconds; the first frame is at 0.

    A missing time, or a clock that starts again, goes on one frame after the last.
    """

    def __init__(self, frame_s: Fraction) -> None:
        """Begin.

        Args:
            frame_s: The usual distance between two frames, in seconds.
        """
        self._frame_s = frame_s
        self._offset_s: Fraction | None = None
        self._next_s = Fraction(0)

    def at_ms(self, pts_s: Fraction | None) -> int:
        """Event time of the next frame.

        Args:
            pts_s: Its presentation time in seconds by the file's clock; None when the file does not say.
        """
        at_s = self._next_s
        if pts_s is not None:
            if self._offset_s is None or pts_s + self._offset_s < self._next_s - self._frame_s - _JUMP_S:
                self._offset_s = self._next_s - pts_s
            at_s = pts_s + self._offset_s
        self._next_s = at_s + self._frame_s
        return round(at_s * 1000)
