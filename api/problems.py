"""Every refusal and failure as problem details (RFC 9457): what was wrong, never how the code looks inside.

A route raises `ProblemError(KIND, detail)` and documents what it may raise with `responses(KIND, …)`. A kind's `type`
is a promise to clients: kinds are added, never renamed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, ValidationException, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from crowdmood.core.errors import ServerUnavailableError

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem.

    Attributes:
        name: Ends its `type`, the stable name that clients branch on.
        status: The HTTP status it comes with.
        title: What it is, the same for every occurrence.
    """

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The stable URI reference."""
        return f"/problems/{self.name}"


INVALID = Kind("invalid-request", 422, "The request is invalid.")
UNKNOWN_CAMERA = Kind("unknown-camera", 404, "There is no such camera.")
UNKNOWN_ZONE = Kind("unknown-zone", 404, "There is no such zone.")
CHANGED_SINCE = Kind("changed-since", 412, "It was changed since you read it.")
NO_PRECONDITION = Kind("precondition-required", 428, "Say which version you change.")
STORE_AWAY = Kind("store-unavailable", 503, "The state store cannot be reached.")
BUG = Kind("internal-error", 500, "Something went wrong inside.")


class ProblemError(Exception):
    """A request that is not answered as asked.

    Attributes:
        kind: What kind of problem it is.
        detail: What was wrong with this request and what to do, for people.
        headers: Headers of the answer, such as `Retry-After`.
    """

    def __init__(self, kind: Kind, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers


def response(kind: Kind, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer that tells of a problem; a middleware, which cannot raise, returns it."""
    return _response(kind.type, kind.title, kind.status, detail, headers)


def responses(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """What a route's `responses` says of these kinds."""
    described: dict[int, list[str]] = {}
    for kind in kinds:
        described.setdefault(kind.status, []).append(f"`{kind.type}`: {kind.title}")
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": " ".join(texts), "content": content} for status, texts in described.items()}


def install(app: FastAPI) -> None:
    """Make an app answer its errors this way."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(WebSocketRequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ServerUnavailableError, _store_away)
    app.add_exception_handler(Exception, _bug)


def _response(
    type_: str, title: str, status: int, detail: str | None, headers: Mapping[str, str] | None
) -> JSONResponse:
    body = {"type": type_, "title": title, "status": status}
    return JSONResponse(body | ({} if detail is None else {"detail": detail}), status, headers, MEDIA_TYPE)


# Starlette's signature of a handler is wider than what it gives: each narrows it.


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return response(error.kind, error.detail, error.headers)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ValidationException)
    return response(INVALID, "; ".join(f"{_place(problem)}: {_reason(problem)}" for problem in error.errors()))


def _place(problem: dict[str, Any]) -> str:
    within = () if problem["type"] == "json_invalid" else problem["loc"][1:]  # there it is a position in the text
    return ".".join(map(str, within)) or str(problem["loc"][0])


def _reason(problem: dict[str, Any]) -> str:
    return str(problem["msg"]).removeprefix("Value error, ")


async def _http(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses by itself, such as an unknown path: it means what its status means."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return response(INVALID, "the body is not the JSON that it says it is")
    title = HTTPStatus(error.status_code).phrase
    detail = None if error.detail == title else error.detail
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _methods(request) or headers["Allow"]
    return _response("about:blank", title, error.status_code, detail, headers)


def _methods(request: Request) -> str:
    """What may be done at a path: the framework names only what its first route there does."""
    route = request.scope.get("route")
    documented: dict[str, Any] = request.app.openapi()["paths"].get(getattr(route, "path_format", ""), {})
    return ", ".join(method.upper() for method in documented)


async def _store_away(_request: Request, _error: Exception) -> JSONResponse:
    # The error's own text names our server's address: that is for the log, not for everybody.
    return response(STORE_AWAY, "try again in a moment", {"Retry-After": "1"})


async def _bug(_request: Request, _error: Exception) -> JSONResponse:
    return response(BUG, "the server's log says more")
