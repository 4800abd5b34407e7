"""The cameras."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from api import models
from api.answers import camera_answers
from api.dependencies import ContextDep
from api.security import caller_of

router = APIRouter(tags=["cameras"])


@router.get(
    "/cameras",
    summary="List the cameras and their states",
    response_model=list[models.Camera],
)
async def cameras(request: Request, context: ContextDep) -> list[dict[str, Any]]:
    """Return the state and the frame counters of each camera, at most about 1 s old.

    A key with the scope `manage` also sees where frames come from.
    """
    return camera_answers(context.board.cameras, sources=caller_of(request.scope).may("manage"))
