"""`GET /mood` for polling clients: the response, and a fast path around the framework.

The answer is in memory; routing a request and validating its parameters costs several times as much as sending it.
"""

from functools import lru_cache
from urllib.parse import parse_qsl

from fastapi import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Request

from api.answers import Answer, Scope
from api.dependencies import Context
from api.security import caller_of
from crowdmood.core.settings import STADIUM

VALID_MS = "Mood-Valid-Ms"
"""Header with the milliseconds for which a client may act on a mood; `Cache-Control` has whole seconds only."""
_JSON = "application/json"


def reply(answer: Answer, now_ms: float, if_none_match: str | None) -> Response:
    """Return the response with an answer, or 304 if the client already has this answer.

    Args:
        answer: The current answer.
        now_ms: Wall-clock time in milliseconds.
        if_none_match: The header `If-None-Match`, or None.
    """
    left_ms = max(int(answer.fresh_until_ms - now_ms), 0)
    left_s = left_ms // 1000
    # Private: a shared cache would serve clients without a key.
    headers = {
        "ETag": answer.etag,
        "Cache-Control": f"private, max-age={left_s}" if left_s else "no-cache",
        VALID_MS: str(left_ms),
    }
    if if_none_match is not None and _names(if_none_match, answer.etag):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, headers=headers, media_type=_JSON)


class Shortcut:
    """Middleware that responds to a plain `GET /mood`, and passes every other request to the application.

    Args:
        app: The application.
        context: The parts of the application.
    """

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Request, receive: Receive, send: Send) -> None:
        """Respond, or pass the request to the application."""
        if scope["type"] == "http" and scope["path"] == "/mood" and scope["method"] == "GET":
            asked = _plain(scope["query_string"])
            if asked is not None and self._context.board.holds(asked) and caller_of(scope).may("read"):
                now_ms = self._context.clock() * 1000
                given = next((value for name, value in scope["headers"] if name == b"if-none-match"), None)
                answer = self._context.board.answer(asked, now_ms)
                tag = None if given is None else given.decode("latin-1")
                await reply(answer, now_ms, tag)(scope, receive, send)
                return
        await self._app(scope, receive, send)


@lru_cache(1024)
def _plain(query: bytes) -> Scope | None:
    """Return the scope of a query string, or None if its parameters need validation."""
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    asked = dict(given)
    if len(asked) < len(given) or not asked.keys() <= {"zone", "camera"}:
        return None
    zone, camera = asked.get("zone", STADIUM), asked.get("camera")
    return None if camera is not None and zone != STADIUM else Scope(zone, camera)


def _names(if_none_match: str, etag: str) -> bool:
    """Return whether the header names this answer (RFC 9110, 13.1.2: a weak comparison)."""
    given = [name.strip().removeprefix("W/") for name in if_none_match.split(",")]
    return etag in given or given == ["*"]
