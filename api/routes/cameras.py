"""The cameras."""

from typing import Any

from fastapi import APIRouter

from api import models
from api.answers import camera_answers
from api.dependencies import ContextDep

router = APIRouter(tags=["cameras"])


@router.get(
    "/cameras",
    summary="List the cameras and their states",
    response_model=list[models.Camera],
)
async def cameras(context: ContextDep) -> list[dict[str, Any]]:
    """Return the state and the frame counters of each camera, at most about 1 s old."""
    return camera_answers(context.board.cameras)
