"""The application: routers, errors, and the follower that lives as long as it does."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI

from api import examples, models, problems
from api.answers import Board
from api.dependencies import Clock, Context
from api.follower import Follower
from api.routes import cameras, health, metrics, moods, schemas
from crowdmood import __version__
from crowdmood.settings import Settings
from crowdmood.streams.moods import MoodReader

_DESCRIPTION = """
Which share of a stadium's visible faces shows each of seven expressions: one answer, one enum, a safe default.

Poll `GET /mood` and act on it only while `status` is `ok`. All times are RFC 3339 in UTC and, unless said otherwise,
event time: when the cameras saw it.
"""

_TAGS = [
    {"name": "moods", "description": "The crowd's mood, now and before."},
    {"name": "cameras", "description": "The cameras and the state they are in."},
    {"name": "health", "description": "For whoever runs this."},
]


def create_app(settings: Settings, reader: MoodReader, clock: Clock = time.time) -> FastAPI:
    """Put the application together; nothing is read before its lifespan starts.

    Args:
        settings: The settings.
        reader: The state store; closed with the application.
        clock: Wall-clock time in seconds since 1970-01-01 UTC.
    """
    board = Board(configured=[camera.id for camera in settings.cameras])
    follower = Follower(reader, board)
    app = _App(
        title="CrowdMood",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        redoc_url=None,
        lifespan=_lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.context = Context(settings, reader, board, follower, clock)
    problems.install(app)
    for resource in (moods, cameras, schemas, health, metrics):
        app.include_router(resource.router)
    return app


class _App(FastAPI):
    """FastAPI, whose document also holds the problems' shape and the examples."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"]["Problem"] = models.Problem.model_json_schema()
            # Put in afterwards: FastAPI cuts every null out of what routes declare, and our nulls mean something.
            for path, shown in examples.BY_PATH.items():
                answer = document["paths"][path]["get"]["responses"]["200"]
                answer["content"]["application/json"]["examples"] = shown
        assert self.openapi_schema is not None
        return self.openapi_schema


def context_of(app: FastAPI) -> Context:
    """What this application consists of."""
    context: Context = app.state.context
    return context


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context = context_of(app)
    following = asyncio.create_task(context.follower.run(), name="follower")
    try:
        yield
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await context.reader.close()
