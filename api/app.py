"""The application: routers, errors, and the follower that runs during its lifespan."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from api import examples, models, poll, problems
from api.answers import Board
from api.dependencies import Clock, Context
from api.feed import Feed
from api.follower import Follower
from api.keys import KeyRing
from api.photos import PhotoDesk
from api.routes import (
    audit,
    cameras,
    display,
    health,
    keys,
    metrics,
    moods,
    override,
    page,
    predict,
    previews,
    schemas,
    stream,
)
from api.routes import webhooks as webhook_routes
from api.security import GUARDED, Auditor, Gate, Manager, Operator, Predictor, Reader
from crowdmood import __version__
from crowdmood.bus.photos import PhotoBus
from crowdmood.bus.previews import Previews
from crowdmood.core import tasks
from crowdmood.core.errors import CrowdMoodError
from crowdmood.core.settings import ApiSettings, Settings, required_url
from crowdmood.store.api_keys import ApiKeyStore
from crowdmood.store.audit import AuditLog
from crowdmood.store.moods import MoodReader
from crowdmood.store.overrides import OverrideStore
from crowdmood.store.regions import SavedRegions
from webhooks.store import WebhookStore

log = logging.getLogger("crowdmood.api")

_END_EVERY_S = 1.0
_TRIM_EVERY_S = 3600.0
_TRIM_AGAIN_S = 60.0
"""Pause after a failure."""

_DESCRIPTION = """
The share of a stadium's readable people with each of eight expressions: one response, one enum, a safe default.

Poll `GET /mood` and act on it only while `status` is `ok`. A figure that is null is unknown or withheld, never 0. All
times are RFC 3339 in UTC, and event time (when the cameras captured the frames) unless stated otherwise.
"""

_TAGS = [
    {"name": "moods", "description": "The crowd's mood, now and in the past."},
    {"name": "overrides", "description": "What operators make boards show, whatever the crowd shows."},
    {"name": "cameras", "description": "The cameras, their states, previews and regions."},
    {"name": "photos", "description": "Classification of single photos."},
    {"name": "webhooks", "description": "Webhooks and their deliveries."},
    {"name": "keys", "description": "API keys."},
    {"name": "audit", "description": "Who did what, and when."},
    {"name": "health", "description": "Health checks and metrics for operators."},
]


def create_app(settings: Settings, reader: MoodReader, clock: Clock = time.time) -> FastAPI:
    """Create the application; it reads nothing before its lifespan starts.

    Args:
        settings: The settings.
        reader: The state store; closed with the application.
        clock: Wall-clock time in seconds since 1970-01-01 UTC.
    """
    board = Board(settings.aggregator.stale_after_s, [camera.id for camera in settings.cameras], settings.zones)
    feed = Feed()
    ring = KeyRing(local=settings.api.only_here, clock=clock)
    follower = Follower(reader, board, feed, ring, settings.zones, clock=clock)
    state = required_url(settings.state_url, "state"), settings.bus.key_prefix
    app = _App(
        settings.api,
        ring,
        title="CrowdMood",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,  # FastAPI's pages run scripts from other sites, on the origin that stores the page's key
        redoc_url=None,
        lifespan=_lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.context = Context(
        settings,
        reader,
        board,
        feed,
        follower,
        _photo_desk(settings),
        WebhookStore(*state, keep_s=settings.webhooks.deliveries_hours * 3600),
        ApiKeyStore(*state),
        SavedRegions(*state, settings.run_id),
        OverrideStore(*state),
        AuditLog(*state, settings.audit.keep_days, clock=clock),
        Previews(settings.bus_url.get_secret_value(), settings.bus) if settings.bus_url else None,
        clock,
    )
    problems.install(app)
    for resource in (page, schemas):
        app.include_router(resource.router)
    for resource in (moods, display, stream, cameras):
        app.include_router(resource.router, dependencies=[Reader], responses=GUARDED)
    app.include_router(predict.router, dependencies=[Predictor], responses=GUARDED)
    for resource in (previews, webhook_routes, keys):
        app.include_router(resource.router, dependencies=[Manager], responses=GUARDED)
    app.include_router(override.router, dependencies=[Operator], responses=GUARDED)
    app.include_router(audit.router, dependencies=[Auditor], responses=GUARDED)
    if not settings.api.ops_port:
        app.include_router(health.router)
        app.include_router(metrics.router, dependencies=[Reader], responses=GUARDED)
    return app


def create_ops_app(main: FastAPI) -> FastAPI:
    """Create the application with health checks and metrics for the operators' port, which needs no key."""
    app = FastAPI(openapi_url=None)
    app.state.context = context_of(main)
    problems.install(app)
    for resource in (health, metrics):
        app.include_router(resource.router)
    return app


class _App(FastAPI):
    """FastAPI behind `Gate`; its OpenAPI document also contains the schema of problems and the examples."""

    def __init__(self, settings: ApiSettings, ring: KeyRing, **metadata: Any) -> None:
        self._settings = settings
        self._ring = ring
        super().__init__(**metadata)

    def build_middleware_stack(self) -> ASGIApp:
        # Outermost, so that responses to internal errors have the headers as well.
        gate = Gate(poll.Shortcut(super().build_middleware_stack(), context_of(self)), self._settings, self._ring)
        if not self._settings.cors_origins:
            return gate
        return CORSMiddleware(
            gate,
            allow_origins=self._settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "Last-Event-ID"],
            expose_headers=["ETag", poll.VALID_MS, "Retry-After"],
        )

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"]["Problem"] = models.Problem.model_json_schema()
            # Added afterwards: FastAPI removes every null from what routes declare, but nulls here have a meaning.
            for path, shown in examples.BY_PATH.items():
                answer = document["paths"][path]["get"]["responses"]["200"]
                answer["content"]["application/json"]["examples"] = shown
        assert self.openapi_schema is not None
        return self.openapi_schema


def context_of(app: FastAPI) -> Context:
    """Return the parts of an application."""
    context: Context = app.state.context
    return context


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context = context_of(app)
    following = asyncio.create_task(context.follower.run(), name="follower")
    trimming = asyncio.create_task(_trim_audit_log(context.audit), name="audit log")
    ending = asyncio.create_task(_end_overrides(context), name="overrides")
    try:
        yield
    finally:
        await tasks.end(following, trimming, ending)
        await context.photos.close()
        await context.reader.close()
        context.webhooks.close()
        context.keys.close()
        context.regions.close()
        context.audit.close()
        context.overrides.close()
        if context.previews is not None:
            context.previews.close()


async def _end_overrides(context: Context) -> None:
    """Delete and record overrides that have ended until cancelled; they stop to apply by the clock, without this."""
    while True:
        now_ms = context.clock() * 1000
        if any(one.until_ms <= now_ms for one in context.board.overrides.all):
            try:
                await asyncio.to_thread(context.overrides.end, now_ms)
            except CrowdMoodError as error:
                log.warning("the end of an override is not recorded yet: %s", error)
        await asyncio.sleep(_END_EVERY_S)


async def _trim_audit_log(entries: AuditLog) -> None:
    """Delete old entries now and then until cancelled: an entry that is appended may be the last one for months."""
    while True:
        try:
            await asyncio.to_thread(entries.trim)
            pause_s = _TRIM_EVERY_S
        except CrowdMoodError as error:
            log.warning("old entries of the audit log remain: %s", error)
            pause_s = _TRIM_AGAIN_S
        await asyncio.sleep(pause_s)


def _photo_desk(settings: Settings) -> PhotoDesk:
    url = settings.bus_url
    bus = PhotoBus(url.get_secret_value(), settings.bus) if url else None
    return PhotoDesk(bus, settings.ingest.max_frame_megapixels, settings.api.photos_per_minute)
