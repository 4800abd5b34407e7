"""Waiting for what a test expects."""

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(holds: Callable[[], T], within_s: float = 30.0, meanwhile: tuple[type[Exception], ...] = ()) -> T:
    """What it says, as soon as that is true; until then it may raise what is named."""
    deadline, pause_s = time.monotonic() + within_s, 0.01
    while True:
        with contextlib.suppress(*meanwhile):
            if found := holds():
                return found
        assert time.monotonic() < deadline, f"it did not happen within {within_s:g} s"
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, 0.2)
