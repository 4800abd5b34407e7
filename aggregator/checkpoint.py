"""The types of a checkpoint, so that a damaged one is found before an aggregator continues from it."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, StrictBool, StrictFloat, StrictInt

from crowdmood.core import stored
from crowdmood.store.moods import CameraRow

# Checkpoints of other releases have more fields, which are kept, or fewer: those with a default may be missing.


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


class _Checkpoint(BaseModel):
    windows: _Windows
    cameras: dict[str, CameraRow]
    changes: dict[str, _Zone]


def check(checkpoint: Mapping[str, Any]) -> None:
    """Check the fields of a checkpoint and their types.

    Raises:
        UndecodableError: A field is missing or has another type.
    """
    stored.build(_Checkpoint, checkpoint)
