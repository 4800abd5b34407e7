"""Limits on rates and on what is open at the same time. Pure: the caller passes the time."""

from collections import Counter
from collections.abc import Collection

_MOST_REMEMBERED = 10_000


class RateLimit:
    """A steady rate with bursts, for each name separately: the generic cell rate algorithm (ITU-T I.371).

    It keeps one number per name: the time at which the next request is due at the steady rate.

    Args:
        per_s: Requests per second.
        burst_s: A burst may contain the requests of this many seconds.
    """

    def __init__(self, per_s: float, burst_s: float = 2.0) -> None:
        self._interval_s = 1 / per_s
        self._burst_s = max(burst_s, self._interval_s)
        self._due: dict[str, float] = {}

    def __len__(self) -> int:
        """Return the number of names in memory."""
        return len(self._due)

    def wait_s(self, name: str, now_s: float) -> float:
        """Return the seconds until a request of this name is allowed; if 0, count the request."""
        due = max(self._due.get(name, now_s), now_s) + self._interval_s
        if due - now_s > self._burst_s + 1e-9:
            return due - now_s - self._burst_s
        if len(self._due) >= _MOST_REMEMBERED and name not in self._due:
            self._forget(now_s)
        self._due[name] = due
        return 0.0

    def _forget(self, now_s: float) -> None:
        """Drop names whose full burst is available again; a new request starts them like new names."""
        self._due = {name: due for name, due in self._due.items() if due > now_s}


class Slots:
    """A limit on what each name may hold at the same time.

    Args:
        most: Slots of each name; 0: no limit.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return the number of names that hold a slot."""
        return len(self._held)

    def acquire(self, names: Collection[str]) -> bool:
        """Take a slot of each name, or none if a name has no free slot; return whether they were taken."""
        if self._most and any(self._held[name] >= self._most for name in names):
            return False
        self._held.update(names)
        return True

    def release(self, names: Collection[str]) -> None:
        """Give the slots back that `acquire` took for these names."""
        for name in names:
            self._held[name] -= 1
            if not self._held[name]:
                del self._held[name]
