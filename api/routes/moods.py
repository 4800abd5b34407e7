"""The newest mood, past moods and changes."""

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
        "description": "Milliseconds for which a client may act on the mood; `Cache-Control` has whole seconds.",
        "schema": {"type": "integer", "minimum": 0},
    }
}
_Limit = Annotated[int, Query(ge=1, le=1000, description="At most this many.")]
_Run = Annotated[
    str | None,
    Query(
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Only this run: the `run_id` in `GET /cameras`. Each replay is a separate run.",
        examples=["live"],
    ),
]


@router.get(
    "/mood",
    summary="Get the newest mood",
    response_model=models.CurrentMood,
    responses=responses(UNKNOWN_CAMERA, UNKNOWN_ZONE, INVALID)
    | {
        200: {"headers": _VALID_MS},
        304: {"description": "The mood has the `ETag` in `If-None-Match`.", "headers": _VALID_MS},
    },
)
async def mood(
    context: ContextDep,
    zone: ZoneQuery = STADIUM,
    camera: CameraQuery = None,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of the response that you have.")] = None,
) -> Response:
    """Return the newest mood of a zone or of one camera. The mood is in memory, so clients can poll it.

    The response always has this shape: `status` is `stale` if no new mood was published for too long, and before the
    first mood. Once all cameras of recorded footage have ended, its last mood does not become stale.

    `Cache-Control` gives the seconds, up to `valid_until`, for which a client may act on the mood without another
    request. `Mood-Valid-Ms` gives the same time in milliseconds; 0: do not act on it. Recorded footage has times of its
    own, so its mood is valid for as long after its publication as a live mood is after its `as_of`. Every replica
    sends the same `ETag` for the same mood.
    """
    now_ms = context.clock() * 1000
    return reply(context.board.answer(known(context, zone, camera), now_ms), now_ms, if_none_match)


@router.get(
    "/moods",
    summary="List past moods",
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
    """Return moods of a zone or of one camera with `from` <= `as_of` < `to`, newest publication first.

    Times are event time: for replayed footage, the times of the footage. While `next` is not null, even on an empty
    page, there are more: send it as `cursor`.
    """
    wanted = history.Range(from_, to, known(context, zone, camera), limit, cursor)
    return _page(
        "moods",
        await history.search(
            partial(context.reader.newest, run_id=run, from_ms=wanted.from_ms, to_ms=wanted.to_ms), wanted
        ),
    )


@router.get(
    "/changes",
    summary="List past changes",
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
    """Return changes of a zone with `from` <= `as_of` < `to`, newest publication first, in pages like `GET /moods`."""
    wanted = history.Range(from_, to, known(context, zone, None), limit, cursor)
    return _page(
        "changes",
        await history.search(
            partial(context.reader.newest_changes, run_id=run, from_ms=wanted.from_ms, to_ms=wanted.to_ms), wanted
        ),
    )


def _page(name: str, page: history.Page[history.Item]) -> Response:
    listed = ",".join(item.to_json() for item in page.items)
    following = "null" if page.next is None else f'"{page.next.decode()}"'
    return Response(f'{{"{name}":[{listed}],"next":{following}}}', media_type=_JSON)
