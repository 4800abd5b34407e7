"""Serves the application on a socket until told to stop."""

import contextlib
import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import uvicorn

from api.app import context_of, create_app
from api.dependencies import Context
from crowdmood.errors import SettingsError
from crowdmood.settings import ApiSettings, Settings
from crowdmood.streams.moods import MoodReader

log = logging.getLogger("crowdmood.api")

_BACKLOG = 2048
_FINISH_WITHIN_S = 5
"""Longest wait for requests in hand when told to stop."""


def run(settings: Settings, stop: threading.Event, on_bound: Callable[[str], None] | None = None) -> int:
    """Serve until told to stop, then finish the requests in hand.

    Args:
        settings: The settings; `api.port` 0 takes a free port.
        stop: Set when to stop: signals are the caller's (`crowdmood.worker.stop_signals`).
        on_bound: Called with the URL served, once requests are answered there.

    Returns:
        The exit code.

    Raises:
        SettingsError: No state store is named, or we cannot listen where the settings say.
    """
    if settings.state_url is None:
        raise SettingsError("no state store to answer from: set CROWDMOOD_STATE_URL (`crowdmood run` starts its own)")
    reader = MoodReader(settings.state_url.get_secret_value(), settings.bus.key_prefix)
    listener = _listen(settings.api)
    url = _url(listener)
    app = create_app(settings, reader, time.time)
    context = context_of(app)

    def on_started() -> None:
        log.info("serving on %s", url)
        if on_bound is not None:
            on_bound(url)

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_FINISH_WITHIN_S,
    )
    with listener:
        _Server(config, stop, context, on_started).run(sockets=[listener])
    if context.follower.failure is not None:
        raise context.follower.failure
    log.info("api stops")
    return 0


class _Server(uvicorn.Server):
    """uvicorn's server, stopped by an event and by a follower that died, never by a signal of its own."""

    def __init__(
        self, config: uvicorn.Config, stop: threading.Event, context: Context, on_started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._stop = stop
        self._context = context
        self._on_started = on_started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        if self._stop.is_set() or self._context.follower.failure is not None:
            self.should_exit = True
        return await super().on_tick(counter)


def _listen(where: ApiSettings) -> socket.socket:
    try:
        found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A name with both kinds of address ("localhost") is served on the one that every client tries.
        family, _, _, _, address = min(found, key=lambda candidate: candidate[0] != socket.AF_INET)
        return socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
        freeing = "stop what uses it, or " if error.errno == errno.EADDRINUSE else ""
        raise SettingsError(
            f"cannot serve on {where.host}:{where.port}: {reason}; {freeing}set CROWDMOOD_API__HOST and "
            "CROWDMOOD_API__PORT (0 takes a free port)"
        ) from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
