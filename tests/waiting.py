"""The one way to wait in tests: for a condition, with a deadline that only a hang reaches."""

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    observe: Callable[[], T],
    within_s: float = 90.0,
    ignoring: tuple[type[Exception], ...] = (),
    *,
    until: Callable[[T], object] = bool,
    unless: Callable[[], object] = lambda: None,
) -> T:
    """Return the first observation of which `until` is true.

    Args:
        observe: Returns an observation; called with growing pauses of up to 0.2 s.
        within_s: Longest wait in seconds.
        ignoring: Errors of `observe` that mean "not yet".
        until: Whether an observation is the awaited one.
        unless: Whether the awaited observation can no longer come, e.g. since a process has ended; may raise.

    Raises:
        AssertionError: It did not come; the message holds the last observation.
    """
    deadline, pause_s = time.monotonic() + within_s, 0.01
    observed: object = "nothing"
    while True:
        hopeless = unless()
        with contextlib.suppress(*ignoring):
            observed = found = observe()
            if until(found):
                return found
        assert not hopeless, f"it can no longer happen ({hopeless}); last observed: {observed}"
        assert time.monotonic() < deadline, f"it did not happen within {within_s:g} s; last observed: {observed}"
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, 0.2)


def seconds_until(holds: Callable[[], object], within_s: float = 90.0) -> float:
    """Wait until something holds, and return after how many seconds it did."""
    started_s = time.monotonic()
    eventually(holds, within_s)
    return time.monotonic() - started_s
