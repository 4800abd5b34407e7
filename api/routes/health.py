"""Liveness and readiness of this process."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api import models
from api.dependencies import Context, ContextDep
from crowdmood.core.errors import ServerUnavailableError

router = APIRouter(tags=["health"])

_PING_TIMEOUT_S = 2.0


@router.get("/livez", summary="Check that the process is alive")
async def livez() -> models.Live:
    """Return 200 always. Restart the process if this request gets no response."""
    return models.Live()


@router.get(
    "/readyz",
    summary="Check that responses are up to date",
    response_model=models.Ready,
    response_model_exclude_none=True,
    responses={503: {"model": models.Ready, "description": "Responses are not up to date; `reason` says why."}},
)
async def readyz(context: ContextDep) -> models.Ready | JSONResponse:
    """Return 200 while the process can read the state store and follows it, else 503.

    `GET /mood` responds in both cases; without the state store its mood becomes `stale` once it is too old.
    """
    reason = context.follower.trouble() or await _store_trouble(context)
    return models.Ready(ready=True) if reason is None else JSONResponse({"ready": False, "reason": reason}, 503)


async def _store_trouble(context: Context) -> str | None:
    try:
        async with asyncio.timeout(_PING_TIMEOUT_S):
            await context.reader.ping()
    except (ServerUnavailableError, TimeoutError):
        return "the state store does not answer"
    return None
