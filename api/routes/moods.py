"""The newest mood, and past ones."""

import json
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.exceptions import RequestValidationError

from api import history, models
from api.answers import Board, no_mood_yet
from api.dependencies import CameraQuery, ContextDep, TimeQuery
from api.problems import INVALID, STORE_AWAY, UNKNOWN_CAMERA, ProblemError, responses
from crowdmood.mood import Mood

router = APIRouter(tags=["moods"])

_JSON = "application/json"


@router.get(
    "/mood",
    summary="The newest mood",
    response_model=models.Mood,
    responses=responses(UNKNOWN_CAMERA, INVALID),
)
async def mood(context: ContextDep, camera: CameraQuery = None) -> Response:
    """The newest mood of the stadium or of one camera, answered from memory: made to be polled.

    There is always an answer of this one shape: `status` is `stale` when nothing new came for too long, and before
    the first mood. A mood of footage whose every camera has ended does not grow stale.
    """
    _require_known(context.board, camera)
    stale_after_s = context.settings.aggregator.stale_after_s
    newest = context.board.current(camera, context.clock() * 1000, stale_after_s)
    text = newest.to_json() if newest else json.dumps(no_mood_yet(camera), separators=(",", ":"))
    return Response(text, media_type=_JSON)


@router.get(
    "/moods",
    summary="Past moods",
    response_model=models.Moods,
    responses=responses(UNKNOWN_CAMERA, INVALID, STORE_AWAY),
)
async def moods(
    context: ContextDep,
    from_: Annotated[TimeQuery | None, Query(alias="from", description="Earliest `as_of`, inclusive.")] = None,
    to: Annotated[TimeQuery | None, Query(description="Latest `as_of`, exclusive.")] = None,
    camera: CameraQuery = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most this many: the newest of the range.")] = 100,
) -> Response:
    """Moods of the stadium or of one camera with `from` <= `as_of` < `to`, oldest first, as they were published.

    Times are event time: for footage that is replayed, the footage's own. Only the newest publications are searched;
    `truncated` tells when that, or `limit`, may have left out older moods of the range.
    """
    if from_ is not None and to is not None and from_ >= to:
        raise RequestValidationError([{"loc": ("query", "from"), "msg": "must be before 'to'", "type": "value_error"}])
    found, truncated = await history.search(context.reader, history.Range(from_, to, camera, limit))
    if not found:
        _require_known(context.board, camera)
    return Response(_moods_json(found, truncated=truncated), media_type=_JSON)


def _moods_json(found: list[Mood], *, truncated: bool) -> str:
    listed = ",".join(mood.to_json() for mood in found)
    return f'{{"moods":[{listed}],"truncated":{json.dumps(truncated)}}}'


def _require_known(board: Board, camera: str | None) -> None:
    if camera is not None and not board.knows(camera):
        raise ProblemError(UNKNOWN_CAMERA, f"there is no camera {camera!r}: GET /cameras lists those there are")
