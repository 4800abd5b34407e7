"""The JSON schemas of what is published, for whoever checks or generates code from them."""

from enum import StrEnum
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api import models
from api.problems import INVALID, responses
from api.webhook_payloads import BODIES

router = APIRouter(tags=["moods"])


class SchemaName(StrEnum):
    """What has a schema."""

    MOOD = "mood"
    CHANGE = "change"
    MOOD_CHANGED = "mood.changed"
    MOOD_UPDATED = "mood.updated"
    MOOD_UNAVAILABLE = "mood.unavailable"
    CAMERA_DOWN = "camera.down"
    CAMERA_UP = "camera.up"


_MODELS: dict[SchemaName, type[BaseModel]] = {
    SchemaName.MOOD: models.Mood,
    SchemaName.CHANGE: models.MoodChange,
    **{SchemaName(event.value): body for event, body in BODIES.items()},
}


@router.get("/schemas/{name}", summary="The JSON schema of something published", responses=responses(INVALID))
async def schema(name: SchemaName) -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of moods, changes and webhooks' bodies.

    Fields may be added; those that are there keep their names and meanings.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_MODELS[name].model_json_schema(mode="serialization"),
    }
