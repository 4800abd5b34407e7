"""Follows something in the state store: a thread reads it again and again, through outages and refused logins."""

import logging
import threading
from collections.abc import Callable

from crowdmood.core.errors import ServerUnavailableError, SettingsError

log = logging.getLogger(__name__)

_POLL_S = 1.0


class Follower:
    """Calls `update` about once a second, in a thread.

    Args:
        name: What is followed, for logs and as the thread's name.
        update: Reads the store once and applies what has changed. While the store is unreachable or refuses the
            login, it fails, what is followed stays unchanged, and the next call tries again.
    """

    def __init__(self, name: str, update: Callable[[], None]) -> None:
        self._name = name
        self._update = update
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def wake(self) -> None:
        """Update now; safe to call from a signal handler."""
        self._wake.set()

    def close(self) -> None:
        """Stop, and wait for an update that is under way."""
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        refused = ""
        while True:
            self._wake.wait(_POLL_S)
            self._wake.clear()
            if self._closed:
                return
            try:
                self._update()
            except ServerUnavailableError:  # the connection has logged it
                continue
            except SettingsError as error:
                if str(error) != refused:
                    log.error("%s stays unchanged while the state store refuses the login: %s", self._name, error)
                refused = str(error)
            else:
                refused = ""
