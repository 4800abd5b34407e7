"""Live moods and changes: server-sent events and a WebSocket with the same messages."""

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
from api.security import TOO_MANY_STREAMS, TOO_OFTEN, caller_of
from api.stream import STOPPING, TOO_SLOW, Message, messages
from crowdmood.core import metrics
from crowdmood.core.settings import STADIUM
from crowdmood.store.positions import Position

router = APIRouter(tags=["moods"])

_CLOSE_CODES = {TOO_SLOW: 1008, UNAUTHORIZED: 1008, STOPPING: 1012, STORE_AWAY: 1013}
"""RFC 6455's and IANA's codes: policy violation, service restart, try again later."""
_POSITION = "^[0-9]{1,19}-[0-9]{1,19}[.][0-9]{1,19}-[0-9]{1,19}$"


# A separate dependency, so that errors are returned before the stream, or the WebSocket, is opened.
async def _stream(
    connection: HTTPConnection,
    context: ContextDep,
    zone: ZoneQuery = STADIUM,
    camera: CameraQuery = None,
    last_event_id: Annotated[
        str | None, Query(pattern=_POSITION, description="The same as the header, for clients that cannot set headers.")
    ] = None,
    header: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=_POSITION,
            description="Id of the last message that you received, from any replica: the stream continues after it.",
        ),
    ] = None,
) -> AsyncIterator[Message]:
    scope = known(context, zone, camera)
    if not context.board.loaded:
        raise ProblemError(STORE_AWAY, "the state store has not been read yet: try again in 1 s", {"Retry-After": "1"})
    given = header or last_event_id
    return messages(context, caller_of(connection.scope), scope, None if given is None else Position.parse(given))


_Stream = Annotated[AsyncIterator[Message], Depends(_stream)]


@router.get(
    "/mood/stream",
    summary="Stream moods and changes",
    response_class=Response,
    responses=responses(UNKNOWN_CAMERA, UNKNOWN_ZONE, TOO_OFTEN, TOO_MANY_STREAMS, INVALID, STORE_AWAY)
    | {200: {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def mood_stream(stream: _Stream) -> StreamingResponse:
    """Stream server-sent events of a zone or of one camera. The same address accepts a WebSocket.

    - `mood`: first the newest mood, then each mood as it is published, once as `stale` if no new mood arrives, and at
      once as `overridden` when an override begins. The data have the shape of `GET /mood`.
    - `change`: the leading expression has changed; the data have the shape of one change in `GET /changes`. Single
      cameras have no changes. No change is sent that was published during an override.
    - `gap`: the history no longer contains everything since `Last-Event-ID`; the data are problem details.
    - `end`: the stream ends, because the client reads too slowly, its key is no longer valid, or the server stops. The
      data are problem details.

    Every message has an id. A client that reconnects with the last id as `Last-Event-ID`, as browsers do, receives all
    messages since then, from any replica. If there is nothing else to send, a comment serves as a heartbeat.

    Over a WebSocket, every message, including heartbeats, is a JSON object of `event`, `id` and `data`.
    """
    events = (message.as_event() async for message in _counted(stream, "sse"))
    # Without this header, nginx buffers events.
    return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.websocket("/mood/stream")
async def mood_socket(websocket: WebSocket, stream: _Stream) -> None:
    """Send the messages of `GET /mood/stream`; ignore what the client sends."""
    await websocket.accept()
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(_send(websocket, stream))
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
        sending.cancel()


async def _send(websocket: WebSocket, stream: AsyncIterator[Message]) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        async for message in _counted(stream, "websocket"):
            await websocket.send_text(message.as_text())
            if message.why is not None:
                await websocket.close(_CLOSE_CODES[message.why], message.why.type)


async def _counted(stream: AsyncIterator[Message], protocol: str) -> AsyncIterator[Message]:
    streams = metrics.STREAMS.labels(protocol)
    streams.inc()
    try:
        async for message in stream:
            if message.why is not None:
                metrics.STREAMS_ENDED.labels(message.why.name).inc()
            yield message
    finally:
        streams.dec()
