"""Dependencies of the routes, as named aliases."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends, Header, Query
from pydantic import BeforeValidator, WithJsonSchema
from starlette.requests import HTTPConnection

from api.answers import Board, Scope
from api.feed import Feed
from api.follower import Follower
from api.photos import PhotoDesk
from api.problems import NO_PRECONDITION, UNKNOWN_CAMERA, UNKNOWN_ZONE, ProblemError
from crowdmood.bus.previews import Previews
from crowdmood.core.settings import STADIUM, Settings
from crowdmood.domain.mood import to_ms
from crowdmood.store.api_keys import ApiKeyStore
from crowdmood.store.audit import AuditLog
from crowdmood.store.moods import MoodReader
from crowdmood.store.overrides import OverrideStore
from crowdmood.store.positions import entry_id
from crowdmood.store.regions import SavedRegions
from webhooks.store import WebhookStore

Clock: TypeAlias = Callable[[], float]
"""Wall-clock time in seconds since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one running API."""

    settings: Settings
    reader: MoodReader
    board: Board
    feed: Feed
    follower: Follower
    photos: PhotoDesk
    webhooks: WebhookStore
    keys: ApiKeyStore
    regions: SavedRegions
    overrides: OverrideStore
    audit: AuditLog
    previews: Previews | None
    clock: Clock


# Asynchronous although it awaits nothing: FastAPI would run a plain function in a thread, for every request.
async def _context(connection: HTTPConnection) -> Context:
    context: Context = connection.app.state.context
    return context


def _time_in_query(text: object) -> int:
    try:
        return to_ms(str(text))
    except ValueError as error:
        if "time zone" in str(error):
            raise
        raise ValueError(
            f"{text!r} is not an RFC 3339 time such as 2026-05-01T15:00:00Z (write '+' as %2B in a URL)"
        ) from None


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise ValueError("Input should be a valid string")
    return given


def known(context: Context, zone: str, camera: str | None) -> Scope:
    """Return the scope of a request.

    Raises:
        ProblemError: The camera or zone does not exist.
    """
    if camera is not None and zone != STADIUM:
        raise ProblemError(UNKNOWN_CAMERA, f"zone {zone!r} has no moods of single cameras: leave out zone or camera")
    if camera is not None and not context.board.knows_camera(camera):
        raise ProblemError(UNKNOWN_CAMERA, f"there is no camera {camera!r}: GET /cameras lists the cameras")
    if not context.board.knows_zone(zone):
        raise ProblemError(UNKNOWN_ZONE, f"there is no zone {zone!r}: GET /display lists the zones")
    return Scope(zone, camera)


ContextDep = Annotated[Context, Depends(_context)]
CameraQuery = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=64,
        description="A camera's `id` in `GET /cameras`; default: the whole zone.",
        examples=["north"],
    ),
]
ZoneQuery = Annotated[
    str,
    Query(
        min_length=1,
        max_length=64,
        description="A zone of the settings; `stadium` contains every camera. Leave it out if you send `camera`.",
        examples=["stadium"],
    ),
]
TimeQuery = Annotated[
    int,
    BeforeValidator(_time_in_query),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-05-01T15:00:00Z"]}),
]
"""RFC 3339 text with a time zone, as milliseconds since 1970-01-01 UTC."""
TimeGiven = Annotated[TimeQuery, BeforeValidator(_text)]
"""The same in a body, where it must be a string."""
FromQuery = Annotated[TimeQuery | None, Query(alias="from", description="Earliest `as_of`, inclusive.")]
ToQuery = Annotated[TimeQuery | None, Query(description="Latest `as_of`, exclusive.")]
CursorQuery = Annotated[
    Annotated[
        bytes,
        BeforeValidator(entry_id),
        WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,19}-[0-9]{1,19}$", "examples": ["1777647600000-3"]}),
    ]
    | None,
    Query(description="`next` of the previous page, from any replica; send the same filters."),
]
"""Id of an entry in the state store."""
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=200,
        description="The `ETag` of the version that you change, so that no other change is lost; `*` for any version.",
        examples=["*"],
    ),
]


def etag(version: str) -> str:
    """Return a version as the value of the header `ETag`."""
    return f'"{version}"'


def matching(if_match: str | None) -> Callable[[str], bool]:
    """Return a function that checks whether the header names a version (RFC 9110, 13.1.1).

    Raises:
        ProblemError: The header is missing.
    """
    if if_match is None:
        raise ProblemError(
            NO_PRECONDITION, "send If-Match with the ETag of the version that you read, or * to replace any version"
        )
    named = {name.strip() for name in if_match.split(",")}
    return lambda version: "*" in named or etag(version) in named
