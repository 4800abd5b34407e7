"""Who may do what: keys and their scopes, how often, how much at once, and what browsers are told.

`Gate` stands before every route and finds out who asks; a route says what it takes with `dependencies=[Reader]` or
`[Manager]`. As long as there is no key, an API that only this machine can reach is open to it, and any other is shut.
"""

import ipaddress
import math
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from fastapi import Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.keys import FORBIDDEN, NOT_READY, UNAUTHORIZED, Caller, KeyRing
from api.limits import RateLimit
from api.problems import Kind
from crowdmood.core.settings import ApiSettings
from crowdmood.store.api_keys import Scope as KeyScope

FOREIGN_HOST = Kind("foreign-host", 421, "Without a key, only this machine may ask, by its own name.")
FOREIGN_ORIGIN = Kind("foreign-origin", 403, "Web pages of other origins may not ask.")
TOO_OFTEN = Kind("rate-limited", 429, "Too many requests.")
LENGTH_MISSING = Kind("length-required", 411, "The body's length is not stated.")
TOO_LARGE = Kind("too-large", 413, "The body is too large.")
URL_TOO_LONG = Kind("url-too-long", 414, "The address is too long.")
HEAD_TOO_LARGE = Kind("headers-too-large", 431, "The headers are too large.")

GUARDED = problems.responses(UNAUTHORIZED, FORBIDDEN, TOO_OFTEN, NOT_READY)
"""What a route's `responses` says of its guard."""

PHOTO_BYTES: Final = 10 * 1024 * 1024
"""Largest picture that `POST /predict` takes."""
_BODY_BYTES: Final = 64 * 1024
"""Largest body that any other route takes."""
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
"""Of every answer whose route does not say otherwise."""


def caller_of(scope: Scope) -> Caller:
    """Who asks, as `Gate` found out."""
    caller: Caller = scope[_CALLER]
    return caller


class _Requires(SecurityBase):
    def __init__(self, scope: KeyScope) -> None:
        self._scope = scope
        self.scheme_name = "key"
        self.model = HTTPBearer(
            description="A key that `crowdmood keys create` made; `manage` includes `read`, and `predict` is a scope "
            "of its own. Without any key, an API on a loopback address is open."
        )

    async def __call__(self, connection: HTTPConnection) -> None:
        caller_of(connection.scope).require(self._scope)


Reader = Security(_Requires("read"))
"""For whoever may read: `dependencies=[Reader]`."""
Manager = Security(_Requires("manage"))
"""For whoever may change what the API does."""
Predictor = Security(_Requires("predict"))
"""For keys that may classify photos."""


class Gate:
    """Middleware before everything: who asks, how often, how much; and the headers of every answer.

    Args:
        app: What is behind it.
        settings: Of the API.
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
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer what is wrong with it."""
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
        address = _network(scope["client"][0] if scope["client"] else "")
        caller = Caller(self._ring, address, self._ring.find(text.strip()) if gave else None, gave)
        scope[_CALLER] = caller
        refusal = self._too_often(caller) or self._foreign(headers) or _too_much(scope, headers)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _too_often(self, caller: Caller) -> JSONResponse | None:
        """Every request counts against its key and its address; on an open API there is nobody to tell apart."""
        if self._limit is None or self._ring.open:
            return None
        now_s = self._clock()
        wait_s = max(self._limit.wait_s(name, now_s) for name in {caller.address, caller.name})
        if not wait_s:
            return None
        after = {"Retry-After": str(math.ceil(wait_s))}
        return problems.response(TOO_OFTEN, "each key and each address may ask only so often", after)

    def _foreign(self, headers: dict[bytes, bytes]) -> JSONResponse | None:
        """An open API trusts this machine, not the web pages that its browser happens to show.

        A page's name may mean this machine (DNS rebinding): then its requests have no `Origin`, but its `Host`.
        """
        if not self._ring.open:
            return None
        host, origin = (headers.get(name, b"").decode("latin-1") for name in (b"host", b"origin"))
        if not _is_here(f"//{host}"):
            return problems.response(FOREIGN_HOST, "ask localhost, or make a key (`crowdmood keys create`)")
        if origin and origin not in self._origins and not _is_here(origin):
            return problems.response(FOREIGN_ORIGIN, f"{origin} is not among CROWDMOOD_API__CORS_ORIGINS")
        return None


@lru_cache(256)
def _is_here(url: str) -> bool:
    """Whether an address names this machine in a way that means no other one anywhere."""
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _network(address: str) -> str:
    """Whoever has an IPv6 address has 2^64 of them: they count as one."""
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
        # The chunks are not read (api/protocol.py): without this, the client would use the connection again.
        closes = {"Connection": "close"}
        return problems.response(LENGTH_MISSING, "send a Content-Length rather than chunks", closes)
    most = PHOTO_BYTES if scope["path"] == "/predict" else _BODY_BYTES
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > most:
        return problems.response(TOO_LARGE, f"at most {most} bytes are accepted")
    return None


def _complete(message: Message) -> None:
    headers = message["headers"] = list(message.get("headers", ()))
    present = {name for name, _ in headers}
    headers += [header for header in _HEADERS if header[0] not in present]
