"""Whether a live camera still sees: one that repeats a picture exactly does not, since sensors are noisy."""


class FreezeWatch:
    """Tells when the same picture has come for too long."""

    def __init__(self, after_s: float) -> None:
        """Begin.

        Args:
            after_s: Seconds of the same picture after which a camera counts as frozen.
        """
        self._after_s = after_s
        self._digest: int | None = None
        self._since_s = 0.0

    def frozen(self, digest: int, at_s: float) -> bool:
        """Look at the next picture.

        Args:
            digest: Stands for the picture's content.
            at_s: When it came, in seconds by a clock that only grows.
        """
        if digest != self._digest:
            self._digest, self._since_s = digest, at_s
        return at_s - self._since_s >= self._after_s
