"""What routes may ask for, as named aliases."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends, Query, Request
from pydantic import BeforeValidator, WithJsonSchema

from api.answers import Board
from api.follower import Follower
from crowdmood.mood import to_ms
from crowdmood.settings import Settings
from crowdmood.streams.moods import MoodReader

Clock: TypeAlias = Callable[[], float]
"""Wall-clock time in seconds since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Context:
    """What one running API consists of."""

    settings: Settings
    reader: MoodReader
    board: Board
    follower: Follower
    clock: Clock


# Asynchronous although it waits for nothing: FastAPI would hand a plain function to a thread, for every request.
async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def _time_in_query(text: str) -> int:
    try:
        return to_ms(text)
    except ValueError as error:
        if "time zone" in str(error):
            raise
        raise ValueError(
            f"{text!r} is no RFC 3339 time such as 2026-05-01T15:00:00Z (write '+' as %2B in an address)"
        ) from None


ContextDep = Annotated[Context, Depends(_context)]
CameraQuery = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=64,
        description="One camera, as `GET /cameras` names it; without it, the whole stadium.",
        examples=["north"],
    ),
]
TimeQuery = Annotated[
    int,
    BeforeValidator(_time_in_query),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-05-01T15:00:00Z"]}),
]
"""RFC 3339 text with a time zone, as milliseconds since 1970-01-01 UTC."""
