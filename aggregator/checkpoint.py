"""The types of a checkpoint, so that a damaged one is found before an aggregator continues from it."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt

from crowdmood.core import stored
from crowdmood.domain.labels import LABELS, Label
from crowdmood.domain.mood import Dominant
from crowdmood.store.moods import CameraRow

# Checkpoints of other releases have more fields, which are kept, or fewer: those with a default may be missing.


_Count: TypeAlias = Annotated[StrictInt, Field(ge=0)]
_Share: TypeAlias = Annotated[StrictFloat, Field(ge=0, le=1)]
_Balance: TypeAlias = Annotated[StrictFloat, Field(ge=-1, le=1)]
_Shares: TypeAlias = Annotated[dict[Label, _Share | None], Field(min_length=len(LABELS))]


class _Run(BaseModel):
    camera_id: str
    run_id: str
    recorded: StrictBool
    newest_ms: StrictInt | None
    total: StrictInt | None
    superseded: StrictBool
    known: StrictInt
    missing: StrictInt
    next_id: StrictInt
    held: list[StrictInt]
    lost: list[StrictInt]
    released: list[list[StrictInt]]


class _Windows(BaseModel):
    last_end_ms: StrictInt | None
    first_ms: StrictInt | None
    retired: list[list[str | StrictInt]]
    closed: dict[str, list[StrictInt]]
    runs: list[_Run]


class _Dwell(BaseModel):
    held_ms: StrictInt | None


class _Zone(BaseModel):
    sequence: StrictInt
    leader: StrictInt | None
    first_ms: StrictInt | None
    newest_ms: StrictInt | None
    changed_ms: StrictInt | None
    recent: list[list[StrictInt | list[list[StrictFloat]]]]
    before: list[list[StrictFloat]]
    before_count: StrictInt
    turned: _Dwell
    ahead: _Dwell


class _Figures(BaseModel):
    people: _Count
    readable: _Count
    shares: _Shares
    low: _Shares
    high: _Shares
    raw: _Shares
    dominant: Dominant
    valence: _Balance
    valence_low: _Balance
    valence_high: _Balance
    energy: _Share | None
    energy_low: _Share | None
    energy_high: _Share | None
    method: str
    fit: _Share | None


class _Held(BaseModel):
    cameras: list[str]
    figures: _Figures


class _Checkpoint(BaseModel):
    windows: _Windows
    cameras: dict[str, CameraRow]
    changes: dict[str, _Zone]
    figures: list[_Held] = []


def check(checkpoint: Mapping[str, Any]) -> None:
    """Check the fields of a checkpoint and their types.

    Raises:
        UndecodableError: A field is missing or has another type.
    """
    stored.build(_Checkpoint, checkpoint)
