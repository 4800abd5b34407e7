"""What every group of settings is."""

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """Base of the nested groups: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
