"""The shapes of the standard adapter's bodies, as the published JSON schemas describe them."""

from typing import Literal

from pydantic import BaseModel, Field

from api.models import Time
from crowdmood.domain.messages import CameraStateName
from crowdmood.domain.mood import Mood, MoodChange
from webhooks.events import EventType


class CameraReport(BaseModel):
    """The new state of a camera."""

    camera: str = Field(description="The camera's name.")
    state: CameraStateName = Field(description="`down`: it is unreachable; `frozen`: its image no longer changes.")
    since: Time | None = Field(description="When the camera entered this state.")
    detail: str = Field(description="More about the state, for people.")


class _Body(BaseModel):
    timestamp: Time = Field(description="When the event was detected, wall-clock time.")
    test: Literal[True] | None = Field(default=None, description="Present only in a test event, which did not happen.")


class MoodChangedBody(_Body):
    """The leading expression of a crowd has changed."""

    type: Literal["mood.changed"] = Field(description="Type of the event.")
    data: MoodChange = Field(description="The change.")


class MoodUpdatedBody(_Body):
    """The newest mood of a crowd."""

    type: Literal["mood.updated"] = Field(description="Type of the event.")
    data: Mood = Field(description="The mood.")


class MoodUnavailableBody(_Body):
    """The mood of a crowd is no longer known; `data.status` gives the reason. Show your default."""

    type: Literal["mood.unavailable"] = Field(description="Type of the event.")
    data: Mood = Field(description="The mood.")


class CameraDownBody(_Body):
    """A camera is unreachable, or its image no longer changes."""

    type: Literal["camera.down"] = Field(description="Type of the event.")
    data: CameraReport = Field(description="The camera.")


class CameraUpBody(_Body):
    """A camera delivers frames again."""

    type: Literal["camera.up"] = Field(description="Type of the event.")
    data: CameraReport = Field(description="The camera.")


BODIES: dict[EventType, type[BaseModel]] = {
    EventType.MOOD_CHANGED: MoodChangedBody,
    EventType.MOOD_UPDATED: MoodUpdatedBody,
    EventType.MOOD_UNAVAILABLE: MoodUnavailableBody,
    EventType.CAMERA_DOWN: CameraDownBody,
    EventType.CAMERA_UP: CameraUpBody,
}
"""The model of each event's body, from which its JSON schema is made."""
