"""Every refusal and failure as `{"detail": …}`: what was wrong, never how the code looks inside."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from api import models
from crowdmood.errors import ServerUnavailableError

UNKNOWN_CAMERA: dict[int | str, dict[str, Any]] = {404: {"model": models.Error, "description": "No such camera."}}
INVALID: dict[int | str, dict[str, Any]] = {422: {"model": models.Error, "description": "An invalid request."}}
STORE_AWAY: dict[int | str, dict[str, Any]] = {
    503: {"model": models.Error, "description": "The state store cannot be reached."}
}


def install(app: FastAPI) -> None:
    """Make an app answer its errors this way."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ServerUnavailableError, _store_away)
    app.add_exception_handler(Exception, _bug)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # Starlette's signature is wider than what it gives
    problems = (f"{problem['loc'][-1]}: {_reason(problem)}" for problem in error.errors())
    return JSONResponse({"detail": "; ".join(problems)}, 422)


def _reason(problem: dict[str, Any]) -> str:
    return str(problem["msg"]).removeprefix("Value error, ")


async def _store_away(_request: Request, _error: Exception) -> JSONResponse:
    # The error's own text names our server's address: that is for the log, not for everybody.
    return JSONResponse(
        {"detail": "the state store cannot be reached: try again in a moment"}, 503, {"Retry-After": "1"}
    )


async def _bug(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "an internal error: the server's log says more"}, 500)
