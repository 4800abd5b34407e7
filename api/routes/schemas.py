"""The JSON schemas of published messages, for clients that validate or generate code."""

from enum import StrEnum
from typing import Any

from fastapi import APIRouter
from pydantic import TypeAdapter

from api.models import CurrentMood
from api.problems import INVALID, responses
from api.webhook_payloads import BODIES
from crowdmood.domain.mood import MoodChange

router = APIRouter(tags=["moods"])


class SchemaName(StrEnum):
    """Names of the schemas."""

    MOOD = "mood"
    CHANGE = "change"
    MOOD_CHANGED = "mood.changed"
    MOOD_UPDATED = "mood.updated"
    MOOD_UNAVAILABLE = "mood.unavailable"
    CAMERA_DOWN = "camera.down"
    CAMERA_UP = "camera.up"


_TYPES: dict[SchemaName, Any] = {
    SchemaName.MOOD: CurrentMood,
    SchemaName.CHANGE: MoodChange,
    **{SchemaName(event.value): body for event, body in BODIES.items()},
}


@router.get("/schemas/{name}", summary="Get a JSON schema", responses=responses(INVALID))
async def schema(name: SchemaName) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a mood, a change or a webhook's body.

    Later versions may add fields; existing fields keep their names and meanings.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TypeAdapter(_TYPES[name]).json_schema(mode="serialization"),
    }
