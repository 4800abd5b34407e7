"""The truth about a simulated match, as stored in `truth.json`; README.md in this folder lists its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import LABELS
from simulator.script import MatchEvent

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.stand import VisiblePeople

TRUTH_FILE: Final = "truth.json"
_DECIMALS: Final = 6


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CrowdTruth(_Section):
    """A crowd at one moment.

    Attributes:
        people: Number of people in the frame.
        visible: Number of people who are not occluded.
        readable: Number of people whose expression can be read.
        shares: Share of each label among the readable people, in the order of `LABELS`; None if there are none.
    """

    people: int
    visible: int
    readable: int
    shares: dict[str, float] | None

    @model_validator(mode="before")
    @classmethod
    def _of_schema_1(cls, given: Any) -> Any:
        """Add the fields that files of schema 1 lack: in them, the people who are not occluded counted as readable."""
        if not isinstance(given, dict) or "readable" in given or "visible" not in given:
            return given
        return {
            **given,
            "readable": given["visible"],
            **({"unreadable": given["occluded"]} if "occluded" in given else {}),
        }


class CameraMoment(CrowdTruth):
    """The people in the frame of a camera at one moment, in columns.

    Attributes:
        persons: Numbers of the people, the same for the whole match.
        boxes_xyxy: Their faces from the edge of the forehead to the chin (FER2013's framing), in pixels.
        labels: Their expressions, as indices of the truth's `labels`.
        visibility: Share of each face that can be seen, 0-1; the edge of the frame does not count.
        occluded: Whether more than a tenth of the face is hidden.
        unreadable: Whether the expression cannot be read: the face is turned away or behind something that the person
            holds, or other people hide more than half of it.
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
        at_s: Seconds since the start of the footage; the moment describes the frame at this time.
        stadium: The whole crowd.
        zones: The crowd of each zone, by its name.
        cameras: The crowd of each camera, by its id.
    """

    at_s: int
    stadium: CrowdTruth
    zones: dict[str, CrowdTruth]
    cameras: dict[str, CameraMoment]


class CameraTruth(_Section):
    """A camera: its id, its zone, the video beside the truth file, and the number of people in its stand."""

    id: str
    zone: str
    video: str
    people: int


class Truth(_Section):
    """The truth file.

    Attributes:
        schema_version: Version of this layout; files of version 1, without `readable`, still load.
        seed: Seed of everything random.
        fps: Frames per second of the footage.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        duration_s: Length of the footage, in seconds.
        labels: Names of the label codes: `LABELS`; seven of them in files of version 1.
        cameras: The cameras.
        events: The script.
        seconds: One moment for each full second, starting at 0.
    """

    schema_version: Literal[1, 2] = 2
    seed: int
    fps: int
    width: int
    height: int
    duration_s: float
    labels: tuple[str, ...] = LABELS
    cameras: tuple[CameraTruth, ...]
    events: tuple[MatchEvent, ...]
    seconds: tuple[Moment, ...]


def camera_moment(seen: VisiblePeople) -> CameraMoment:
    """Return the truth about the frame of a camera."""
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
    """Return the truth about the stadium, from the truth about its cameras.

    Args:
        at_s: Time in seconds.
        cameras: The frame of each camera, by its id; no person is in two frames.
        zones: The zone of each camera, by its id.
    """
    by_zone = {
        zone: _together(cameras[camera] for camera in cameras if zones[camera] == zone)
        for zone in dict.fromkeys(zones.values())
    }
    return Moment(at_s=at_s, stadium=_together(cameras.values()), zones=by_zone, cameras=cameras)


def load_truth(folder: Path) -> Truth:
    """Read the truth file of a match's folder.

    Raises:
        DataError: The file is missing or malformed.
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


def _together(cameras: Iterable[CameraMoment]) -> CrowdTruth:
    seen = list(cameras)
    labels = [label for camera in seen for label in camera.labels]
    occluded = [hidden for camera in seen for hidden in camera.occluded]
    unreadable = [hidden for camera in seen for hidden in camera.unreadable]
    return _crowd(np.array(labels, np.int64), np.array(occluded, np.bool_), ~np.array(unreadable, np.bool_))


def _crowd(labels: NDArray[np.int64], occluded: NDArray[np.bool_], readable: NDArray[np.bool_]) -> CrowdTruth:
    counts = np.bincount(labels[readable], minlength=len(LABELS))
    counted = int(counts.sum())
    shares = dict(zip(LABELS, (counts / counted).round(_DECIMALS).tolist(), strict=True)) if counted else None
    return CrowdTruth(people=len(labels), visible=int((~occluded).sum()), readable=counted, shares=shares)
