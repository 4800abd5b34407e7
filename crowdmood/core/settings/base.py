"""The base class of every group of settings, and names with a special meaning."""

from pydantic import BaseModel, ConfigDict

STADIUM = "stadium"
"""The zone of all cameras."""


class Group(BaseModel):
    """Base of the nested groups: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
