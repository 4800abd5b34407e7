"""The cameras."""

from typing import Any

from fastapi import APIRouter

from api import models
from api.answers import camera_answers
from api.dependencies import ContextDep

router = APIRouter(tags=["cameras"])


@router.get(
    "/cameras",
    summary="Every camera's state",
    response_model=list[models.Camera],
)
async def cameras(context: ContextDep) -> list[dict[str, Any]]:
    """What is known of each camera and what became of its frames, at most about a second old."""
    return camera_answers(context.board.cameras)
