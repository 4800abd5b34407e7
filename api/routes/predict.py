"""The faces of a single photo."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api import models
from api.dependencies import ContextDep
from api.photos import NO_ANSWER, PHOTOS_OFF, TOO_MANY_PHOTOS
from api.pictures import NO_PICTURE, TOO_MANY_PIXELS
from api.problems import ProblemError, responses
from api.recording import NOT_RECORDED, record
from api.security import LENGTH_MISSING, TOO_LARGE, TOO_MANY_CONNECTIONS, TOO_OFTEN, TOO_SLOW, WhoDep, caller_of

router = APIRouter(tags=["photos"])

_FILE = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/predict",
    summary="Classify the faces of a photo",
    response_model=models.Prediction,
    responses=responses(
        PHOTOS_OFF,
        NO_PICTURE,
        TOO_MANY_PIXELS,
        TOO_LARGE,
        TOO_OFTEN,
        TOO_MANY_CONNECTIONS,
        TOO_MANY_PHOTOS,
        TOO_SLOW,
        LENGTH_MISSING,
        NO_ANSWER,
        NOT_RECORDED,
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The file itself, at most 4 megapixels and 10 MB: `curl --data-binary @face.jpg`.",
            "content": {f"image/{kind}": _FILE for kind in ("jpeg", "png", "webp")},
        }
    },
)
async def predict(request: Request, context: ContextDep, who: WhoDep) -> dict[str, Any]:
    """Classify the faces of a photo. The cameras' workers do this, and process waiting frames first.

    Off unless `CROWDMOOD_API__PREDICT` is set, because it is emotion recognition of single people; then it needs a key
    with the scope `predict`. The photo is not stored, and no mood counts it. Boxes are in pixels of the upright image.
    Every use is in the audit log; a photo whose use cannot be recorded is refused.
    """
    if not context.settings.api.predict:
        raise ProblemError(PHOTOS_OFF, "set CROWDMOOD_API__PREDICT=true to classify single photos")
    recorded = partial(run_in_threadpool, record, context.audit, who, "photo.classified")
    return await context.photos.classify(caller_of(request.scope), request.body, recorded)
