"""The truth about a simulated match, as `truth.json` holds it: see README.md beside this file for its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import LABELS
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
        readable: Those of them whose expression can be read.
        shares: Share of each label among the readable ones, in the order of `crowdmood.LABELS`; None if there are none.
    """

    people: int
    visible: int
    readable: int
    shares: dict[str, float] | None

    @model_validator(mode="before")
    @classmethod
    def _of_schema_1(cls, given: Any) -> Any:
        """Fill in what files of schema 1 lack: there, those who were not occluded counted."""
        if not isinstance(given, dict) or "readable" in given or "visible" not in given:
            return given
        return {
            **given,
            "readable": given["visible"],
            **({"unreadable": given["occluded"]} if "occluded" in given else {}),
        }


class CameraMoment(Crowd):
    """What a camera shows at one moment: everybody in its picture, in columns.

    Attributes:
        persons: Numbers that stay with people for the whole match.
        boxes_xyxy: Their faces from the forehead's edge to the chin (FER2013's framing), in pixels.
        labels: What they show, codes into the truth's `labels`.
        visibility: Share of each face that can be seen, 0 to 1; the picture's edge does not count.
        occluded: Whether more than a tenth of the face is hidden.
        unreadable: Whether the expression cannot be read: the face is turned away or behind something that the person
            holds, or others hide more than half of it.
    """

    persons: tuple[int, ...]
    boxes_xyxy: tuple[tuple[int, int, int, int], ...]
    labels: tuple[int, ...]
    visibility: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    occluded: tuple[bool, ...]
    unreadable: tuple[bool, ...]

    @model_validator(mode="after")
    def _columns_are_equally_long(self) -> CameraMoment:
        columns = (self.persons, self.boxes_xyxy, self.labels, self.visibility, self.occluded, self.unreadable)
        if {len(column) for column in columns} != {self.people}:
            raise ValueError(
                "persons, boxes_xyxy, labels, visibility, occluded and unreadable must each have one entry for each of "
                "`people`"
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
        schema_version: Version of this layout; files of version 1, without `readable`, can still be read.
        seed: What the match was drawn from.
        fps: Frames per second of the footage.
        width: Of the pictures, in pixels.
        height: Likewise.
        duration_s: Length of the footage, in seconds.
        labels: What label codes mean: `crowdmood.LABELS`; seven of them in files of version 1.
        cameras: The cameras.
        events: The script.
        seconds: One moment for each full second, beginning with 0.
    """

    schema_version: Literal[1, 2] = 2
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
    """Write down what a camera sees."""
    crowd = _crowd(seen.labels, seen.occluded, seen.readable)
    return CameraMoment(
        people=crowd.people,
        visible=crowd.visible,
        readable=crowd.readable,
        shares=crowd.shares,
        persons=tuple(seen.persons.tolist()),
        boxes_xyxy=tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in seen.boxes.tolist()),
        labels=tuple(seen.labels.tolist()),
        visibility=tuple(seen.visibility.tolist()),
        occluded=tuple(seen.occluded.tolist()),
        unreadable=tuple((~seen.readable).tolist()),
    )


def moment(at_s: int, cameras: dict[str, CameraMoment], zones: dict[str, str]) -> Moment:
    """Sum cameras up.

    Args:
        at_s: When, in seconds.
        cameras: What each camera sees, by its id; no one is seen by two.
        zones: Each camera's zone, by its id.
    """
    by_zone = {
        zone: _together(cameras[camera] for camera in cameras if zones[camera] == zone)
        for zone in dict.fromkeys(zones.values())
    }
    return Moment(at_s=at_s, stadium=_together(cameras.values()), zones=by_zone, cameras=cameras)


def load_truth(folder: Path) -> Truth:
    """Read the truth file of a match's folder.

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
        raise DataError(f"{path}: {where}: {first['msg']}; simulate the match again") from None


def _together(cameras: Iterable[CameraMoment]) -> Crowd:
    seen = list(cameras)
    labels = [label for camera in seen for label in camera.labels]
    occluded = [hidden for camera in seen for hidden in camera.occluded]
    unreadable = [hidden for camera in seen for hidden in camera.unreadable]
    return _crowd(np.array(labels, np.int64), np.array(occluded, np.bool_), ~np.array(unreadable, np.bool_))


def _crowd(labels: NDArray[np.int64], occluded: NDArray[np.bool_], readable: NDArray[np.bool_]) -> Crowd:
    counts = np.bincount(labels[readable], minlength=len(LABELS))
    counted = int(counts.sum())
    shares = dict(zip(LABELS, (counts / counted).round(_DECIMALS).tolist(), strict=True)) if counted else None
    return Crowd(people=len(labels), visible=int((~occluded).sum()), readable=counted, shares=shares)
