"""Health of a worker process, served over HTTP: /metrics, /livez and /readyz.

The API process has its own endpoints for these. This module does not depend on what a worker does.
"""

import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

READY_FOR_S: Final = 15.0
"""Seconds for which a worker counts as ready after its last report, on /readyz and on the bus."""


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
