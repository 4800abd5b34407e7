"""Identity, signals and core dumps of a process.

This module does not depend on what the process does.
"""

import contextlib
import os
import resource
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from types import FrameType

SUPERVISED_VARIABLE = "CROWDMOOD_SUPERVISED"
"""Environment variable of a process that a supervisor started. Its value is unique to the supervisor, which keeps the
process's standard input open: when the input closes, the supervisor has ended."""


def identity(name: str) -> str:
    """Return a unique identity for this process, even if other processes have the same name.

    Under a supervisor, a restarted process has the same identity as before: the supervisor restarts it only after the
    earlier process has ended. Otherwise the identity is new in every process.
    """
    return f"{os.environ.get(SUPERVISED_VARIABLE) or uuid.uuid4().hex}/{name}"


def default_name() -> str:
    """Return a worker name that no other running process has."""
    return f"{socket.gethostname()}-{os.getpid()}"


def disable_core_dumps() -> None:
    """Disable core files of this process and of those it starts: a core file would contain frames."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def stop_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on SIGTERM or SIGINT, and exit at once on a second signal. Earlier handlers are restored at the end.

    A supervised process also stops when its supervisor ends.
    """

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    if os.environ.get(SUPERVISED_VARIABLE):
        threading.Thread(target=_stop_with_supervisor, args=(stop,), daemon=True).start()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def on_hang_up(act: Callable[[], None]) -> Iterator[None]:
    """Call `act`, which must return at once, on SIGHUP. The earlier handler is restored at the end."""
    previous = signal.signal(signal.SIGHUP, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, previous)


def _stop_with_supervisor(stop: threading.Event) -> None:
    # The supervisor never writes: this returns when its end of the pipe is closed, however it ended.
    os.read(sys.stdin.fileno(), 1)
    stop.set()
