"""A single picture's faces."""

from typing import Any

from fastapi import APIRouter, Request

from api import models
from api.dependencies import ContextDep
from api.photos import NO_ANSWER, TOO_SLOW
from api.pictures import NO_PICTURE, TOO_MANY_PIXELS
from api.problems import responses
from api.security import LENGTH_MISSING, TOO_LARGE

router = APIRouter(tags=["photos"])

_FILE = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/predict",
    summary="Classify the faces of one picture",
    response_model=models.Prediction,
    responses=responses(NO_PICTURE, TOO_MANY_PIXELS, TOO_LARGE, TOO_SLOW, LENGTH_MISSING, NO_ANSWER),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The file itself, at most 10 MB: `curl --data-binary @face.jpg`.",
            "content": {f"image/{kind}": _FILE for kind in ("jpeg", "png", "webp")},
        }
    },
)
async def predict(request: Request, context: ContextDep) -> dict[str, Any]:
    """Classify the faces of a picture as the workers classify those of a camera's frame.

    The picture is not stored, and no mood counts it. Boxes are in pixels of the upright picture.
    """
    return await context.photos.judge(request.body)
