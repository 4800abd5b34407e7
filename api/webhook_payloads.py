"""The shapes of what the standard adapter posts, as the published JSON schemas tell them."""

from typing import Literal

from pydantic import BaseModel, Field

from api.models import Mood, MoodChange, Time
from crowdmood.domain.messages import CameraStateName
from webhooks.events import EventType


class CameraReport(BaseModel):
    """What became of a camera."""

    camera: str = Field(description="The camera's name.")
    state: CameraStateName = Field(description="`down`: it cannot be reached; `frozen`: its picture stands still.")
    since: Time | None = Field(description="When it came into this state.")
    detail: str = Field(description="More about it, for people.")


class _Body(BaseModel):
    timestamp: Time = Field(description="When it became known, wall-clock time.")
    test: Literal[True] | None = Field(default=None, description="There when it did not happen: a test.")


class MoodChangedBody(_Body):
    """A crowd shows something else than before."""

    type: Literal["mood.changed"] = Field(description="What happened.")
    data: MoodChange = Field(description="The change.")


class MoodUpdatedBody(_Body):
    """A crowd's newest mood."""

    type: Literal["mood.updated"] = Field(description="What happened.")
    data: Mood = Field(description="The mood.")


class MoodUnavailableBody(_Body):
    """A crowd's mood is no longer known: `data.status` says why. Show your default."""

    type: Literal["mood.unavailable"] = Field(description="What happened.")
    data: Mood = Field(description="The mood.")


class CameraDownBody(_Body):
    """A camera cannot be reached, or its picture stands still."""

    type: Literal["camera.down"] = Field(description="What happened.")
    data: CameraReport = Field(description="The camera.")


class CameraUpBody(_Body):
    """A camera is back."""

    type: Literal["camera.up"] = Field(description="What happened.")
    data: CameraReport = Field(description="The camera.")


BODIES: dict[EventType, type[BaseModel]] = {
    EventType.MOOD_CHANGED: MoodChangedBody,
    EventType.MOOD_UPDATED: MoodUpdatedBody,
    EventType.MOOD_UNAVAILABLE: MoodUnavailableBody,
    EventType.CAMERA_DOWN: CameraDownBody,
    EventType.CAMERA_UP: CameraUpBody,
}
"""The JSON schemas of what is posted."""
