"""The truth about a simulated match, as `truth.json` holds it: see README.md beside this file for its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crowdmood import LABELS
from crowdmood.errors import DataError
from simulator.script import Event

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.stand import Seen

TRUTH_FILE: Final = "truth.json"
_DECIMALS: Final = 6


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Crowd(_Section):
    """A crowd at one moment.

    Attributes:
        people: In the picture.
        visible: Those of them who are not occluded.
        shares: Share of each label among the visible ones, in the order of `crowdmood.LABELS`; None if there are none.
    """

    people: int
    visible: int
    shares: dict[str, float] | None


class CameraMoment(Crowd):
    """What a camera shows at one moment: everybody in its picture, in columns.

    Attributes:
        persons: Numbers that stay with people for the whole match.
        boxes_xyxy: Their faces from the forehead's edge to the chin (FER2013's framing), in pixels.
        labels: What they show, codes into the truth's `labels`.
        visibility: Share of each face that nobody and nothing hides, 0 to 1; the picture's edge does not count.
        occluded: Whether more than a tenth of the face is hidden.
    """

    persons: tuple[int, ...]
    boxes_xyxy: tuple[tuple[int, int, int, int], ...]
    labels: tuple[int, ...]
    visibility: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    occluded: tuple[bool, ...]

    @model_validator(mode="after")
    def _columns_are_equally_long(self) -> CameraMoment:
        columns = (self.persons, self.boxes_xyxy, self.labels, self.visibility, self.occluded)
        if {len(column) for column in columns} != {self.people}:
            raise ValueError(
                "persons, boxes_xyxy, labels, visibility and occluded must each have one entry for each of `people`"
            )
        return self


class Moment(_Section):
    """The stadium at one moment.

    Attributes:
        at_s: Seconds since the start of the footage; the frame shown then is what is described.
        stadium: Everybody.
        zones: By the zone's name.
        cameras: By the camera's id.
    """

    at_s: int
    stadium: Crowd
    zones: dict[str, Crowd]
    cameras: dict[str, CameraMoment]


class CameraTruth(_Section):
    """One camera: its id, the zone that it looks at, its footage beside the truth file, and how many sit there."""

    id: str
    zone: str
    video: str
    people: int


class Truth(_Section):
    """The whole file.

    Attributes:
        schema_version: Version of this layout.
        seed: What the match was drawn from.
        fps: Frames per second of the footage.
        width: Of the pictures, in pixels.
        height: Likewise.
        duration_s: Length of the footage, in seconds.
        labels: What label codes mean: `crowdmood.LABELS`.
        cameras: The cameras.
        events: The script.
        seconds: One moment for each full second, beginning with 0.
    """

    schema_version: Literal[1] = 1
    seed: int
    fps: int
    width: int
    height: int
    duration_s: float
    labels: tuple[str, ...] = LABELS
    cameras: tuple[CameraTruth, ...]
    events: tuple[Event, ...]
    seconds: tuple[Moment, ...]


def camera_moment(seen: Seen) -> CameraMoment:
    """Writes down what a camera sees."""
    crowd = _crowd(seen.labels, seen.occluded)
    return CameraMoment(
        people=crowd.people,
        visible=crowd.visible,
        shares=crowd.shares,
        persons=tuple(seen.persons.tolist()),
        boxes_xyxy=tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in seen.boxes.tolist()),
        labels=tuple(seen.labels.tolist()),
        visibility=tuple(seen.visibility.tolist()),
        occluded=tuple(seen.occluded.tolist()),
    )


def moment(at_s: int, cameras: dict[str, CameraMoment], zones: dict[str, str]) -> Moment:
    """Sums cameras up.

    Args:
        at_s: When, in seconds.
        cameras: What each camera sees, by its id; nobody is seen by two.
        zones: Each camera's zone, by its id.
    """
    by_zone = {
        zone: _together(cameras[camera] for camera in cameras if zones[camera] == zone)
        for zone in dict.fromkeys(zones.values())
    }
    return Moment(at_s=at_s, stadium=_together(cameras.values()), zones=by_zone, cameras=cameras)


def load_truth(folder: Path) -> Truth:
    """Reads the truth file of a match's folder.

    Raises:
        DataError: It is missing, or no such file.
    """
    path = folder / TRUTH_FILE
    try:
        return Truth.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); give a folder that crowdmood simulate wrote") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{path}: {where}: {first['msg']}; simulate the match anew") from None


def _together(cameras: Iterable[CameraMoment]) -> Crowd:
    seen = list(cameras)
    labels = [label for camera in seen for label in camera.labels]
    occluded = [hidden for camera in seen for hidden in camera.occluded]
    return _crowd(np.array(labels, np.int64), np.array(occluded, np.bool_))


def _crowd(labels: NDArray[np.int64], occluded: NDArray[np.bool_]) -> Crowd:
    counts = np.bincount(labels[~occluded], minlength=len(LABELS))
    visible = int(counts.sum())
    shares = dict(zip(LABELS, (counts / visible).round(_DECIMALS).tolist(), strict=True)) if visible else None
    return Crowd(people=len(labels), visible=visible, shares=shares)
