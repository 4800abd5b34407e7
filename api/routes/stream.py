"""Moods and changes as they are published: server-sent events and a WebSocket with the same messages."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from starlette.requests import HTTPConnection

from api.dependencies import CameraQuery, ContextDep, ZoneQuery, known
from api.keys import UNAUTHORIZED
from api.problems import INVALID, STORE_AWAY, UNKNOWN_CAMERA, UNKNOWN_ZONE, ProblemError, responses
from api.security import caller_of
from api.stream import STOPPING, TOO_SLOW, Message, messages
from crowdmood.core import metrics
from crowdmood.core.settings import STADIUM
from crowdmood.store.positions import Position

router = APIRouter(tags=["moods"])

_CLOSE_CODES = {TOO_SLOW: 1008, UNAUTHORIZED: 1008, STOPPING: 1012, STORE_AWAY: 1013}
"""RFC 6455's and IANA's codes: policy violation, service restart, try again later."""
_POSITION = "^[0-9]{1,19}-[0-9]{1,19}[.][0-9]{1,19}-[0-9]{1,19}$"


# A dependency of its own, so that what is wrong is answered before the stream, or the WebSocket, is opened.
async def _told(
    connection: HTTPConnection,
    context: ContextDep,
    zone: ZoneQuery = STADIUM,
    camera: CameraQuery = None,
    last_event_id: Annotated[
        str | None, Query(pattern=_POSITION, description="As the header, for clients that cannot set one.")
    ] = None,
    header: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=_POSITION,
            description="The id of the last message that you have: everything after it follows. Of any replica.",
        ),
    ] = None,
) -> AsyncIterator[Message]:
    scope = known(context, zone, camera)
    if not context.board.loaded:
        raise ProblemError(STORE_AWAY, "nothing has been read yet: try again in a moment", {"Retry-After": "1"})
    given = header or last_event_id
    return messages(context, caller_of(connection.scope), scope, None if given is None else Position.parse(given))


_Told = Annotated[AsyncIterator[Message], Depends(_told)]


@router.get(
    "/mood/stream",
    summary="Moods and changes as they are published",
    response_class=Response,
    responses=responses(UNKNOWN_CAMERA, UNKNOWN_ZONE, INVALID, STORE_AWAY)
    | {200: {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def mood_stream(told: _Told) -> StreamingResponse:
    """Server-sent events of a zone, or of one camera; the same address speaks WebSocket.

    - `mood`: the newest mood at first, then each one as it is published, and as `stale` when nothing new comes. The
      data are those of `GET /mood`.
    - `change`: the crowd's mood has changed; the data are those of `GET /changes`. Single cameras have none.
    - `gap`: the history no longer reaches back to `Last-Event-ID`; the data are problem details.
    - `end`: nothing more will come: the reader is too slow, its key is no longer good, or the server stops. The data
      are problem details.

    Every message has an id. Whoever sends the last one as `Last-Event-ID`, as browsers do by themselves, gets what
    came since then, without a gap, from every replica. A comment comes as a heartbeat when there is nothing to tell.

    Over a WebSocket every message is a JSON object of `event`, `id` and `data`, heartbeats included.
    """
    events = (message.as_event() async for message in _counted(told, "sse"))
    # nginx would hold events back to fill a buffer.
    return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.websocket("/mood/stream")
async def mood_socket(websocket: WebSocket, told: _Told) -> None:
    """The messages of `GET /mood/stream`; what the client says is passed over."""
    await websocket.accept()
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(_tell(websocket, told))
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
        telling.cancel()


async def _tell(websocket: WebSocket, told: AsyncIterator[Message]) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        async for message in _counted(told, "websocket"):
            await websocket.send_text(message.as_text())
            if message.why is not None:
                await websocket.close(_CLOSE_CODES[message.why], message.why.type)


async def _counted(told: AsyncIterator[Message], protocol: str) -> AsyncIterator[Message]:
    streams = metrics.STREAMS.labels(protocol)
    streams.inc()
    try:
        async for message in told:
            if message.why is not None:
                metrics.STREAMS_ENDED.labels(message.why.name).inc()
            yield message
    finally:
        streams.dec()
