"""The newest mood, and past ones."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from api import history, models
from api.dependencies import CameraQuery, ContextDep, CursorQuery, FromQuery, ToQuery, ZoneQuery, known
from api.poll import VALID_MS, reply
from api.problems import INVALID, STORE_AWAY, UNKNOWN_CAMERA, UNKNOWN_ZONE, responses
from crowdmood.core.settings import STADIUM

router = APIRouter(tags=["moods"])

_JSON = "application/json"
_VALID_MS = {
    VALID_MS: {
        "description": "Milliseconds for which the answer may be acted on, as `Cache-Control` says in whole seconds.",
        "schema": {"type": "integer", "minimum": 0},
    }
}
_Limit = Annotated[int, Query(ge=1, le=1000, description="At most this many.")]
_Run = Annotated[
    str | None,
    Query(
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Only of this run, as `GET /cameras` names it (`run_id`): each replay is one of its own.",
        examples=["live"],
    ),
]


@router.get(
    "/mood",
    summary="The newest mood",
    response_model=models.Mood,
    responses=responses(UNKNOWN_CAMERA, UNKNOWN_ZONE, INVALID)
    | {
        200: {"headers": _VALID_MS},
        304: {"description": "The mood is still the one that `If-None-Match` names.", "headers": _VALID_MS},
    },
)
async def mood(
    context: ContextDep,
    zone: ZoneQuery = STADIUM,
    camera: CameraQuery = None,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of an answer that you have.")] = None,
) -> Response:
    """The newest mood of a zone or of one camera, answered from memory: made to be polled.

    There is always an answer of this one shape: `status` is `stale` when nothing new came for too long, and before
    the first mood. A mood of footage whose every camera has ended does not grow stale.

    `Cache-Control` says for how many seconds an answer may be acted on without asking again: until `valid_until`.
    `Mood-Valid-Ms` says it in milliseconds; 0: act on it no longer. The times of recorded footage are its own, so its
    mood may be kept for as long after its publication as a live one after its `as_of`. Every replica gives the same
    mood the same `ETag`.
    """
    now_ms = context.clock() * 1000
    return reply(context.board.answer(known(context, zone, camera), now_ms), now_ms, if_none_match)


@router.get(
    "/moods",
    summary="Past moods",
    response_model=models.Moods,
    responses=responses(UNKNOWN_CAMERA, UNKNOWN_ZONE, INVALID, STORE_AWAY),
)
async def moods(
    context: ContextDep,
    from_: FromQuery = None,
    to: ToQuery = None,
    zone: ZoneQuery = STADIUM,
    camera: CameraQuery = None,
    run: _Run = None,
    limit: _Limit = 100,
    cursor: CursorQuery = None,
) -> Response:
    """Moods of a zone or of one camera with `from` <= `as_of` < `to`, as they were published, the newest first.

    Times are event time: for footage that is replayed, the footage's own. There is more while `next` is not null, even
    after an empty page: ask again with `cursor` set to it.
    """
    wanted = history.Range(from_, to, known(context, zone, camera), limit, cursor)
    return _page("moods", await history.search(partial(context.reader.newest, run_id=run), wanted))


@router.get(
    "/changes",
    summary="Past changes of mood",
    response_model=models.Changes,
    responses=responses(UNKNOWN_ZONE, INVALID, STORE_AWAY),
)
async def changes(
    context: ContextDep,
    from_: FromQuery = None,
    to: ToQuery = None,
    zone: ZoneQuery = STADIUM,
    run: _Run = None,
    limit: _Limit = 100,
    cursor: CursorQuery = None,
) -> Response:
    """Changes of a zone with `from` <= `as_of` < `to`, the newest first, page by page as `GET /moods`."""
    wanted = history.Range(from_, to, known(context, zone, None), limit, cursor)
    return _page("changes", await history.search(partial(context.reader.newest_changes, run_id=run), wanted))


def _page(name: str, page: history.Page[history.Item]) -> Response:
    listed = ",".join(item.to_json() for item in page.items)
    following = "null" if page.next is None else f'"{page.next.decode()}"'
    return Response(f'{{"{name}":[{listed}],"next":{following}}}', media_type=_JSON)
