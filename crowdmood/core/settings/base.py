"""What every group of settings is, and the names that have a meaning in settings."""

from pydantic import BaseModel, ConfigDict

STADIUM = "stadium"
"""The zone that holds every camera."""


class Group(BaseModel):
    """Base of the nested groups: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
