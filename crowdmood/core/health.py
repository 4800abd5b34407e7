"""What a worker's process tells those who run it, over HTTP: /metrics, /livez and /readyz.

The API has its own, which speak of answers; nothing here knows what a worker is for.
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
"""Seconds after which a worker that has said nothing more is not taken for ready any longer, here and on the bus."""


class Readiness:
    """Whether this process is of use: as long as it says so again and again.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_s = -math.inf

    def renew(self) -> None:
        """It is, for `READY_FOR_S` from now."""
        self._until_s = self._clock() + READY_FOR_S

    def end(self) -> None:
        """It is not any more."""
        self._until_s = -math.inf

    def __bool__(self) -> bool:
        """Whether it is now."""
        return self._clock() < self._until_s


READINESS: Final = Readiness()
"""Of this process."""


def serve(host: str, port: int) -> None:
    """Answer probes and Prometheus in a background thread.

    Args:
        host: Address to listen at.
        port: Port to listen at; 0 serves nothing.
    """
    if not port:
        return
    server = make_server(host, port, _answer, _Server6 if ":" in host else ThreadingWSGIServer, _Handler)
    threading.Thread(target=server.serve_forever, name="ops", daemon=True).start()


_metrics: "WSGIApplication" = make_wsgi_app()


def _answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
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
        """Nothing: probes come every few seconds."""
