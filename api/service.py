"""Serves the application on its sockets until a stop event."""

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
from api.protocol import protocol
from crowdmood.core.errors import ServerUnavailableError, SettingsError
from crowdmood.core.settings import Settings
from crowdmood.store.api_keys import ApiKeyStore
from crowdmood.store.moods import MoodReader

log = logging.getLogger("crowdmood.api")

_BACKLOG = 2048
FINISH_WITHIN_S = 5
"""Longest wait for open requests after the stop event."""
_CLIENT_MESSAGE_BYTES = 4096
"""Largest message of a client over a WebSocket; all of them are ignored."""
_UNREAD_MS = 60_000
"""Time after which Linux drops a connection whose client acknowledges no data."""


def run(settings: Settings, stop: threading.Event, on_bound: Callable[[str], None] | None = None) -> int:
    """Serve until the stop event is set, then finish the open requests.

    Args:
        settings: The settings; `api.port` 0 chooses a free port.
        stop: Set it to stop. The caller handles signals (`crowdmood.core.process.stop_signals`).
        on_bound: Called with the URL once the server accepts requests.

    Returns:
        The exit code.

    Raises:
        SettingsError: There is no state store in the settings, the address cannot be used, or other machines could
            reach the API while no key exists.
    """
    if settings.state_url is None:
        raise SettingsError("the API needs a state store: set CROWDMOOD_STATE_URL (`crowdmood run` starts its own)")
    state_url = settings.state_url.get_secret_value()
    reader = MoodReader(state_url, settings.bus.key_prefix)
    where = settings.api
    if where.ops_port and where.ops_port == where.port:
        # Requests are assigned to an application by port alone.
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
                return 0  # stopped while waiting for the state store
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
        http=protocol(settings.api.max_connections, proxies),
        ws_max_size=_CLIENT_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # it would compress each message again for every client
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
    """uvicorn's server without signal handlers: the stop event or a failed follower stops it."""

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
            # Streams end one tick before connections are closed, so that they can send the reason.
            self.should_exit = self._context.feed.over
            self._context.feed.end()
        return await super().on_tick(counter)


class _ByPort:
    """Two applications in one process; the port of a request selects one."""

    def __init__(self, main: ASGIApp, ops: ASGIApp, ops_port: int) -> None:
        self._main, self._ops, self._ops_port = main, ops, ops_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_ops = scope["type"] != "lifespan" and scope["server"][1] == self._ops_port
        await (self._ops if is_ops else self._main)(scope, receive, send)


def _require_key(store: ApiKeyStore, host: str) -> None:
    """Check that an active key exists; wait while the state store is unreachable."""
    with contextlib.closing(store):
        now_ms = time.time() * 1000
        if not any(key.state(now_ms) == "active" for key in store.table(patient=True).values()):
            raise SettingsError(
                f"other machines can reach the API on {host}, and no API key exists yet: create one with "
                "`crowdmood keys create NAME`, or serve on 127.0.0.1 (CROWDMOOD_API__HOST) without a proxy"
            )


def _listen(host: str, port: int, variable: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A name with IPv4 and IPv6 addresses ("localhost") is served over IPv4, which every client tries.
        family, _, _, _, address = min(found, key=lambda candidate: candidate[0] != socket.AF_INET)
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Accepted connections inherit the option.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
        return listener
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
        freeing = "stop the process that uses it, or " if error.errno == errno.EADDRINUSE else ""
        free_one = " (0 chooses a free port)" if variable == "API__" else ""
        raise SettingsError(
            f"cannot serve on {host}:{port}: {reason}; {freeing}set CROWDMOOD_{variable}HOST and "
            f"CROWDMOOD_{variable}PORT{free_one}"
        ) from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
