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
from starlette.types import ASGIApp, Receive, Scope, Send

from api.app import context_of, create_app, create_ops_app
from api.dependencies import Context
from api.protocol import BoundedProtocol
from crowdmood.core.errors import ServerUnavailableError, SettingsError
from crowdmood.core.settings import Settings
from crowdmood.store.api_keys import ApiKeyStore
from crowdmood.store.moods import MoodReader

log = logging.getLogger("crowdmood.api")

_BACKLOG = 2048
FINISH_WITHIN_S = 5
"""Longest wait for requests in hand when told to stop."""
_MOST_SAID_BYTES = 4096
"""Largest message of a client over a WebSocket: there is nothing that it could say."""
_UNREAD_MS = 60_000
"""Time after which the system drops a connection whose client takes nothing at all, where it can (Linux)."""


def run(settings: Settings, stop: threading.Event, on_bound: Callable[[str], None] | None = None) -> int:
    """Serve until told to stop, then finish the requests in hand.

    Args:
        settings: The settings; `api.port` 0 takes a free port.
        stop: Set when to stop: signals are the caller's (`crowdmood.core.process.stop_signals`).
        on_bound: Called with the URL served, once requests are answered there.

    Returns:
        The exit code.

    Raises:
        SettingsError: No state store is named, we cannot listen where the settings say, or others could reach us and
            nobody has a key.
    """
    if settings.state_url is None:
        raise SettingsError("no state store to answer from: set CROWDMOOD_STATE_URL (`crowdmood run` starts its own)")
    state_url = settings.state_url.get_secret_value()
    reader = MoodReader(state_url, settings.bus.key_prefix)
    where = settings.api
    if where.ops_port and where.ops_port == where.port:
        # Which application answers depends on the port alone.
        raise SettingsError(
            f"CROWDMOOD_API__PORT and CROWDMOOD_API__OPS_PORT are both {where.port}: give operators another port"
        )
    with contextlib.ExitStack() as sockets:
        listeners = [sockets.enter_context(_listen(where.host, where.port, "API__"))]
        if where.ops_port:
            listeners.append(sockets.enter_context(_listen(where.ops_host, where.ops_port, "API__OPS_")))
        if not where.only_here:
            try:
                _require_key(ApiKeyStore(state_url, settings.bus.key_prefix, stop), where.host)
            except ServerUnavailableError:
                return 0  # told to stop while we waited for the state store
        return _serve(settings, reader, listeners, stop, on_bound)


def _serve(
    settings: Settings,
    reader: MoodReader,
    listeners: list[socket.socket],
    stop: threading.Event,
    on_bound: Callable[[str], None] | None,
) -> int:
    url = _url(listeners[0])
    app = create_app(settings, reader, time.time)
    context = context_of(app)

    def on_started() -> None:
        log.info("serving on %s", url)
        if on_bound is not None:
            on_bound(url)

    proxies = list(settings.api.trusted_proxies)
    config = uvicorn.Config(
        _ByPort(app, create_ops_app(app), settings.api.ops_port) if settings.api.ops_port else app,
        log_config=None,
        access_log=False,
        lifespan="on",
        http=BoundedProtocol,
        ws_max_size=_MOST_SAID_BYTES,
        ws_per_message_deflate=False,  # it would compress each message anew for every reader
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=FINISH_WITHIN_S,
    )
    _Server(config, stop, context, on_started).run(sockets=listeners)
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
            # A tick earlier than connections are closed: streams tell their readers why they end.
            self.should_exit = self._context.feed.over
            self._context.feed.end()
        return await super().on_tick(counter)


class _ByPort:
    """Two applications of one process: which one answers depends on the port that was asked."""

    def __init__(self, main: ASGIApp, ops: ASGIApp, ops_port: int) -> None:
        self._main, self._ops, self._ops_port = main, ops, ops_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked_ops = scope["type"] != "lifespan" and scope["server"][1] == self._ops_port
        await (self._ops if asked_ops else self._main)(scope, receive, send)


def _require_key(store: ApiKeyStore, host: str) -> None:
    """Return when somebody has a key; waits for a state store that is away."""
    with contextlib.closing(store):
        now_ms = time.time() * 1000
        if not any(key.state(now_ms) == "active" for key in store.table(patient=True).values()):
            raise SettingsError(
                f"others can reach the API on {host}, and nobody has an API key yet: make one with "
                "`crowdmood keys create NAME`, or serve on 127.0.0.1 (CROWDMOOD_API__HOST) without a proxy"
            )


def _listen(host: str, port: int, variable: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A name with both kinds of address ("localhost") is served on the one that every client tries.
        family, _, _, _, address = min(found, key=lambda candidate: candidate[0] != socket.AF_INET)
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)  # connections inherit it
        return listener
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
        freeing = "stop what uses it, or " if error.errno == errno.EADDRINUSE else ""
        free_one = " (0 takes a free port)" if variable == "API__" else ""
        raise SettingsError(
            f"cannot serve on {host}:{port}: {reason}; {freeing}set CROWDMOOD_{variable}HOST and "
            f"CROWDMOOD_{variable}PORT{free_one}"
        ) from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
