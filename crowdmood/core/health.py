"""Health of a worker process, served over HTTP: /metrics, /livez and /readyz.

The API process has its own endpoints for these. This module does not depend on what a worker does.
"""

import contextlib
import faulthandler
import json
import math
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

READY_FOR_S: Final = 15.0
"""Seconds for which a worker counts as ready after its last report, on /readyz and on the bus."""


STUCK_AFTER_S: Final = 120.0
"""Seconds without any progress after which a stage's process ends itself, to be restarted."""

_RENEW_EVERY_S = 2.0


class Watchdog:
    """Ends a process that makes no progress, with the stacks of its threads on standard error and exit code 1.

    The timer runs in C, so it also ends a process whose native code hangs. It starts with the first `renew` after
    `watch`; a process that waits for an unreachable server renews it.

    Args:
        after_s: Seconds without a call of `renew`.
    """

    def __init__(self, after_s: float = STUCK_AFTER_S) -> None:
        self._after_s = after_s
        self._watches = False
        self._renewed_s = -math.inf

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Watch this process for as long as the context lasts; not in a debugger, which stops it."""
        self._watches = sys.gettrace() is None
        try:
            yield
        finally:
            self._watches = False
            faulthandler.cancel_dump_traceback_later()

    def renew(self) -> None:
        """Start the timer again; call it at least once in `after_s` seconds."""
        if self._watches and time.monotonic() >= self._renewed_s + min(_RENEW_EVERY_S, self._after_s / 4):
            self._renewed_s = time.monotonic()
            faulthandler.dump_traceback_later(self._after_s, exit=True)

    def extend(self) -> None:
        """Start the timer again if it runs, during a wait that the process cannot end."""
        if self._renewed_s > -math.inf:
            self.renew()


WATCHDOG: Final = Watchdog()
"""Watchdog of this process."""


class Readiness:
    """Whether a process can do its work. It must be renewed regularly: it expires after `READY_FOR_S`.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_s = -math.inf

    def renew(self) -> None:
        """Mark the process as ready for the next `READY_FOR_S` seconds."""
        WATCHDOG.renew()
        self._until_s = self._clock() + READY_FOR_S

    def end(self) -> None:
        """Mark the process as not ready."""
        self._until_s = -math.inf

    def __bool__(self) -> bool:
        """Return whether the process is ready now."""
        return self._clock() < self._until_s


READINESS: Final = Readiness()
"""Readiness of this process."""


def serve(host: str, port: int) -> None:
    """Serve probes and metrics in a background thread.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 starts no server.
    """
    if not port:
        return
    server = make_server(host, port, _respond, _Server6 if ":" in host else ThreadingWSGIServer, _Handler)
    threading.Thread(target=server.serve_forever, name="ops", daemon=True).start()


_metrics: "WSGIApplication" = make_wsgi_app()


def _respond(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    match environ["PATH_INFO"]:
        case "/metrics":
            return _metrics(environ, start_response)
        case "/livez":
            status, body = "200 OK", {"live": True}
        case "/readyz" if READINESS:
            status, body = "200 OK", {"ready": True}
        case "/readyz":
            status, body = "503 Service Unavailable", {"ready": False}
        case _:
            status, body = "404 Not Found", {}
    start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps(body).encode()]


class _Server6(ThreadingWSGIServer):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Log nothing: probes arrive every few seconds."""
