"""The JSON schemas of what is published, for whoever checks or generates code from them."""

from enum import StrEnum
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api import models
from api.problems import INVALID, responses

router = APIRouter(tags=["moods"])


class SchemaName(StrEnum):
    """What has a schema."""

    MOOD = "mood"
    CHANGE = "change"


_MODELS: dict[SchemaName, type[BaseModel]] = {SchemaName.MOOD: models.Mood, SchemaName.CHANGE: models.MoodChange}


@router.get("/schemas/{name}", summary="The JSON schema of a mood or of a change", responses=responses(INVALID))
async def schema(name: SchemaName) -> dict[str, Any]:
    """JSON Schema, draft 2020-12. Fields may be added; those that are there keep their names and meanings."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_MODELS[name].model_json_schema(mode="serialization"),
    }
