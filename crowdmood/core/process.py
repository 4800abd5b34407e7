"""What is the same for every process of ours: who it is, and how it is told to stop.

Nothing here knows what the process is for.
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
"""Set for a process whose standard input is held open by its parent: when it closes, the parent is gone. It names the
parent, like no other one."""


def identity(name: str) -> str:
    """Who this process is, whatever other processes are called.

    Under a supervisor it is the same again after a restart: its predecessor is dead for sure by then. Else it is like
    no other's.
    """
    return f"{os.environ.get(SUPERVISED_VARIABLE) or uuid.uuid4().hex}/{name}"


def default_name() -> str:
    """A worker's name that no other process has now."""
    return f"{socket.gethostname()}-{os.getpid()}"


def dump_no_core() -> None:
    """Let the system write no core file when this process, or one that it starts, crashes: frames would be in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def stop_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop`; a second one exits at once. What was there before is restored.

    A supervised process also stops when its parent dies.
    """

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    if os.environ.get(SUPERVISED_VARIABLE):
        threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def on_hang_up(act: Callable[[], None]) -> Iterator[None]:
    """SIGHUP calls `act`, which must only note it. What was there before is restored."""
    previous = signal.signal(signal.SIGHUP, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, previous)


def _stop_with_parent(stop: threading.Event) -> None:
    # The parent never writes: this returns when its end of the pipe is closed, however it died.
    os.read(sys.stdin.fileno(), 1)
    stop.set()
