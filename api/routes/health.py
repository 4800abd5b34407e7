"""Whether this process lives, and whether it is of use."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api import models
from api.dependencies import Context, ContextDep
from crowdmood.core.errors import ServerUnavailableError

router = APIRouter(tags=["health"])

_PING_TIMEOUT_S = 2.0


@router.get("/livez", summary="Whether the process lives")
async def livez() -> models.Live:
    """Always 200: restart the process when this does not answer."""
    return models.Live()


@router.get(
    "/readyz",
    summary="Whether answers are kept fresh",
    response_model=models.Ready,
    response_model_exclude_none=True,
    responses={503: {"model": models.Ready, "description": "Answers are not kept fresh: `reason` says why."}},
)
async def readyz(context: ContextDep) -> models.Ready | JSONResponse:
    """200 while the state store answers and is being followed.

    While it is not, `GET /mood` still answers, with `stale` as soon as its newest mood is too old.
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
