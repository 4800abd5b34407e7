"""Every error response as problem details (RFC 9457). They say what was wrong and reveal nothing about the code.

A route raises `ProblemError(KIND, detail)` and documents what it may raise with `responses(KIND, …)`. Clients branch
on a kind's `type`: kinds are added, never renamed.
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
        name: Last part of its `type`, the stable identifier that clients branch on.
        status: The HTTP status of the response.
        title: Describes the kind, the same for every occurrence.
    """

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """Return the stable URI reference."""
        return f"/problems/{self.name}"


INVALID = Kind("invalid-request", 422, "The request is invalid.")
UNKNOWN_CAMERA = Kind("unknown-camera", 404, "There is no such camera.")
UNKNOWN_ZONE = Kind("unknown-zone", 404, "There is no such zone.")
CHANGED_SINCE = Kind("changed-since", 412, "The resource has changed since you read it.")
NO_PRECONDITION = Kind("precondition-required", 428, "The request does not name the version that it changes.")
STORE_AWAY = Kind("store-unavailable", 503, "The state store is unreachable.")
BUG = Kind("internal-error", 500, "An internal error occurred.")


class ProblemError(Exception):
    """An error that becomes a problem details response.

    Attributes:
        kind: The kind of problem.
        detail: What was wrong with this request and what to do, for people.
        headers: Headers of the response, such as `Retry-After`.
    """

    def __init__(self, kind: Kind, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers


def response(kind: Kind, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the response for a problem, for middleware, which cannot raise `ProblemError`."""
    return _response(kind.type, kind.title, kind.status, detail, headers)


def responses(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may raise these kinds."""
    described: dict[int, list[str]] = {}
    for kind in kinds:
        described.setdefault(kind.status, []).append(f"`{kind.type}`: {kind.title}")
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": " ".join(texts), "content": content} for status, texts in described.items()}


def install(app: FastAPI) -> None:
    """Make an app answer every error with problem details."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(WebSocketRequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ServerUnavailableError, _store_unreachable)
    app.add_exception_handler(Exception, _bug)


def _response(
    type_: str, title: str, status: int, detail: str | None, headers: Mapping[str, str] | None
) -> JSONResponse:
    body = {"type": type_, "title": title, "status": status}
    return JSONResponse(body | ({} if detail is None else {"detail": detail}), status, headers, MEDIA_TYPE)


# Starlette types a handler's error as Exception: each handler narrows the type.


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return response(error.kind, error.detail, error.headers)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ValidationException)
    return response(INVALID, "; ".join(f"{_place(problem)}: {_reason(problem)}" for problem in error.errors()))


def _place(problem: dict[str, Any]) -> str:
    # For invalid JSON, the location is a position in the text.
    within = () if problem["type"] == "json_invalid" else problem["loc"][1:]
    return ".".join(map(str, within)) or str(problem["loc"][0])


def _reason(problem: dict[str, Any]) -> str:
    return str(problem["msg"]).removeprefix("Value error, ")


async def _http(request: Request, error: Exception) -> JSONResponse:
    """Convert an error of the framework, such as an unknown path. Its status is its only meaning."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return response(INVALID, "the body is not valid JSON")
    title = HTTPStatus(error.status_code).phrase
    detail = None if error.detail == title else error.detail
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _methods(request) or headers["Allow"]
    return _response("about:blank", title, error.status_code, detail, headers)


def _methods(request: Request) -> str:
    """Return every method of a path: the framework names only those of the path's first route."""
    route = request.scope.get("route")
    documented: dict[str, Any] = request.app.openapi()["paths"].get(getattr(route, "path_format", ""), {})
    return ", ".join(method.upper() for method in documented)


async def _store_unreachable(_request: Request, _error: Exception) -> JSONResponse:
    # The error's text contains the server's address, which belongs in the log, not in a response.
    return response(STORE_AWAY, "try again in 1 s", {"Retry-After": "1"})


async def _bug(_request: Request, _error: Exception) -> JSONResponse:
    return response(BUG, "the server's log has the details")
