"""How often somebody may ask: pure, the time is given."""

_MOST_REMEMBERED = 10_000


class RateLimit:
    """A steady rate with room for a burst, for each name apart: the generic cell rate algorithm (ITU-T I.371).

    Of each name it keeps one number, the time at which the name's next request would be due at the steady rate.

    Args:
        per_s: Requests a second.
        burst_s: Seconds' worth of requests that may come at once.
    """

    def __init__(self, per_s: float, burst_s: float = 2.0) -> None:
        self._interval_s = 1 / per_s
        self._burst_s = max(burst_s, self._interval_s)
        self._due: dict[str, float] = {}

    def __len__(self) -> int:
        """Number of names that are remembered."""
        return len(self._due)

    def wait_s(self, name: str, now_s: float) -> float:
        """Seconds until a request of this name would be let through; 0 lets it through and counts it."""
        due = max(self._due.get(name, now_s), now_s) + self._interval_s
        if due - now_s > self._burst_s + 1e-9:
            return due - now_s - self._burst_s
        if len(self._due) >= _MOST_REMEMBERED and name not in self._due:
            self._forget(now_s)
        self._due[name] = due
        return 0.0

    def _forget(self, now_s: float) -> None:
        """Let go of names that have their whole burst again; they come back as new ones."""
        self._due = {name: due for name, due in self._due.items() if due > now_s}
