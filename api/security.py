"""Access control: keys and their scopes, limits, and security headers for browsers.

`Gate` runs before every route and identifies the client; a route names the scope that it requires with
`dependencies=[Reader]` or `[Manager]`. FastAPI reads the body before it checks these dependencies, so a router whose
routes have bodies also has a `route_class` such as `ManagerRoute`, which checks the scope first and limits the time.
Until the first key exists, an API that only this machine can reach is open, and any other API is closed.
"""

import asyncio
import ipaddress
import math
import re
import time
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.keys import FORBIDDEN, NOT_READY, UNAUTHORIZED, Caller, KeyRing
from api.limits import RateLimit, Slots
from api.problems import Kind, ProblemError
from crowdmood.core.settings import ApiSettings
from crowdmood.store.api_keys import Scope as KeyScope
from crowdmood.store.audit import Actor

FOREIGN_HOST = Kind("foreign-host", 421, "Without keys, the API accepts requests to localhost only.")
PROXIED = Kind("proxied", 403, "Without keys, the API accepts no requests through a proxy.")
FOREIGN_ORIGIN = Kind("foreign-origin", 403, "Requests from web pages of other origins are not allowed.")
TOO_OFTEN = Kind("rate-limited", 429, "Too many requests.")
TOO_MANY_CONNECTIONS = Kind("too-many-connections", 429, "Too many connections.")
TOO_MANY_STREAMS = Kind("too-many-streams", 429, "Too many streams.")
TOO_SLOW = Kind("too-slow", 408, "The body took too long to arrive.")
LENGTH_MISSING = Kind("length-required", 411, "The request has no Content-Length.")
TOO_LARGE = Kind("too-large", 413, "The body is too large.")
URL_TOO_LONG = Kind("url-too-long", 414, "The URL is too long.")
HEAD_TOO_LARGE = Kind("headers-too-large", 431, "The headers are too large.")

GUARDED = problems.responses(UNAUTHORIZED, FORBIDDEN, TOO_OFTEN, TOO_MANY_CONNECTIONS, NOT_READY)
"""The `responses` that `Gate` and a required scope add to a route."""

PHOTO_BYTES: Final = 10 * 1024 * 1024
"""Largest photo that `POST /predict` accepts."""
_BODY_BYTES: Final = 64 * 1024
"""Largest body that any other route accepts."""
BODY_WITHIN_S: Final = 10.0
"""Longest wait for the body of a request, except for a photo."""
_STREAM: Final = "/mood/stream"
_OF_PROXIES: Final = re.compile(
    rb"x-forwarded(-.*)?|forwarded|via|(x-)?real-ip|x-original-(for|host|forwarded-for)|x-proxyuser-ip|"
    rb"x-(client|cluster-client|envoy-external-address|envoy-original)(-.*)?|true-client-ip|(cf|do|fastly|fly)-(connecting|client)-ip.*|cf-ray"
)
"""Headers that reverse proxies and tunnels add. Browsers and clients of this machine send none of them."""
_URL_BYTES: Final = 8 * 1024
HEAD_BYTES: Final = 32 * 1024
"""Largest headers of a request, all together."""
_CALLER: Final = "crowdmood.caller"

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""Headers of every response, unless its route sets others."""


def caller_of(scope: Scope) -> Caller:
    """Return the client of a request, as `Gate` identified it."""
    caller: Caller = scope[_CALLER]
    return caller


# Asynchronous although it awaits nothing: FastAPI would run a plain function in a thread.
async def _who(connection: HTTPConnection) -> Actor:
    caller = caller_of(connection.scope)
    key_id, name = (None, None) if caller.key is None else (caller.key.key_id, caller.key.name)
    return Actor("api", key_id, name, caller.address)


WhoDep = Annotated[Actor, Depends(_who)]
"""The client, for the audit log."""


class _Requires(SecurityBase):
    def __init__(self, scope: KeyScope) -> None:
        self._scope = scope
        self.scheme_name = "key"
        self.model = HTTPBearer(
            description="A key from `crowdmood keys create`. `manage` includes `read` and `operate`; other scopes "
            "include nothing else. Until the first key exists, an API on a loopback address is open."
        )

    async def __call__(self, connection: HTTPConnection) -> None:
        caller_of(connection.scope).require(self._scope)


Reader = Security(_Requires("read"))
"""For routes that read: `dependencies=[Reader]`."""
Operator = Security(_Requires("operate"))
"""For routes that list, set and clear overrides."""
Manager = Security(_Requires("manage"))
"""For routes that change webhooks, keys or regions, or show previews."""
Predictor = Security(_Requires("predict"))
"""For routes that classify photos."""
Auditor = Security(_Requires("audit"))
"""For the route that reads the audit log."""


class ManagerRoute(APIRoute):
    """A route that reads its body only for a client with its scope, and within `BODY_WITHIN_S`."""

    scope: ClassVar[KeyScope] = "manage"

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which checks the scope and then reads the body."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            caller_of(request.scope).require(self.scope)
            try:
                # The request keeps the body for the handler.
                await asyncio.wait_for(request.body(), BODY_WITHIN_S)
            except TimeoutError:
                detail = f"send the whole body within {BODY_WITHIN_S:g} s"
                raise ProblemError(TOO_SLOW, detail, {"Connection": "close"}) from None
            except ClientDisconnect:
                raise HTTPException(400, "the connection closed before the end of the body") from None
            return await handle(request)

        return guarded


class OperatorRoute(ManagerRoute):
    """The same for the scope `operate`."""

    scope: ClassVar[KeyScope] = "operate"


class Gate:
    """Middleware in front of every route: identifies the client, applies the limits and adds headers to every response.

    Args:
        app: The wrapped application.
        settings: Settings of the API.
        ring: The keys.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self, app: ASGIApp, settings: ApiSettings, ring: KeyRing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._ring = ring
        self._origins = frozenset(settings.cors_origins)
        self._limit = RateLimit(settings.requests_per_s) if settings.requests_per_s else None
        self._requests = Slots(settings.max_connections)
        self._streams = Slots(settings.max_streams)
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or respond with a problem."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                _complete(message)
            await send(message)

        headers = dict(scope["headers"])
        scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        gave = scheme.lower() == "bearer"
        address = network_of(scope["client"][0] if scope["client"] else "")
        caller = Caller(self._ring, address, self._ring.find(text.strip()) if gave else None, gave)
        scope[_CALLER] = caller
        refusal = self._too_often(caller) or self._foreign(headers) or _too_much(scope, headers)
        names = {caller.address, caller.name}
        slots, too_many = (
            (self._streams, TOO_MANY_STREAMS) if scope["path"] == _STREAM else (self._requests, TOO_MANY_CONNECTIONS)
        )
        if refusal is None and not slots.acquire(names):
            refusal = too_many_open(too_many)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            slots.release(names)

    def _too_often(self, caller: Caller) -> JSONResponse | None:
        """Count a request against its key and its address; an open API does not identify clients and has no limit."""
        if self._limit is None or self._ring.open:
            return None
        now_s = self._clock()
        wait_s = max(self._limit.wait_s(name, now_s) for name in {caller.address, caller.name})
        if not wait_s:
            return None
        after = {"Retry-After": str(math.ceil(wait_s))}
        return problems.response(TOO_OFTEN, "the limit of requests per second of this key or address is reached", after)

    def _foreign(self, headers: dict[bytes, bytes]) -> JSONResponse | None:
        """Refuse requests of foreign web pages and of proxies: an open API trusts this machine only.

        A page's host name may resolve to this machine (DNS rebinding). Its requests then have no `Origin`, but they
        have its name in `Host`. A proxy on this machine forwards requests of other machines.
        """
        if not self._ring.open:
            return None
        proxied = next(filter(_is_of_proxies, headers), None)
        if proxied is not None:
            detail = (
                f"the request has the header {proxied.decode()!r} of a proxy: create a key (`crowdmood keys create`), "
                "and name the proxy in CROWDMOOD_API__TRUSTED_PROXIES"
            )
            return problems.response(PROXIED, detail)
        host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
        if not _is_here(f"//{host}"):
            return problems.response(FOREIGN_HOST, "use localhost, or create a key (`crowdmood keys create`)")
        if origin and origin not in self._origins and not _is_here(origin):
            return problems.response(FOREIGN_ORIGIN, f"{origin} is not among CROWDMOOD_API__CORS_ORIGINS")
        return None


@lru_cache(1024)
def _is_of_proxies(name: bytes) -> bool:
    return _OF_PROXIES.fullmatch(name) is not None


def too_many_open(kind: Kind) -> JSONResponse:
    """Return the response to a client that holds as many connections or streams as it may."""
    what = "MAX_STREAMS" if kind is TOO_MANY_STREAMS else "MAX_CONNECTIONS"
    detail = f"this key or address holds as many as CROWDMOOD_API__{what} allows: close some, and try again later"
    return problems.response(kind, detail, {"Retry-After": "5", "Connection": "close"})


@lru_cache(256)
def _is_here(url: str) -> bool:
    """Return whether a URL names this machine by a loopback address or `localhost`."""
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def network_of(address: str) -> str:
    """Return the /64 network of an IPv6 address, because a client owns all of it; other addresses unchanged."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, 64), strict=False))
    except ValueError:
        return address


def _too_much(scope: Scope, headers: dict[bytes, bytes]) -> JSONResponse | None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _URL_BYTES:
        return problems.response(URL_TOO_LONG, f"at most {_URL_BYTES} bytes are accepted")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES:
        return problems.response(HEAD_TOO_LARGE, f"at most {HEAD_BYTES} bytes are accepted")
    if b"transfer-encoding" in headers:
        # The chunks are not read (api/protocol.py). Without this header, the client would reuse the connection.
        closes = {"Connection": "close"}
        return problems.response(LENGTH_MISSING, "send a Content-Length instead of chunks", closes)
    most = PHOTO_BYTES if scope["path"] == "/predict" else _BODY_BYTES
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > most:
        return problems.response(TOO_LARGE, f"at most {most} bytes are accepted")
    return None


def _complete(message: Message) -> None:
    headers = message["headers"] = list(message.get("headers", ()))
    present = {name for name, _ in headers}
    headers += [header for header in _HEADERS if header[0] not in present]
