"""The script of a match: what happens when, and what it does to the people who see it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crowdmood.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reaction:
    """How people take an event.

    Attributes:
        shares: Probability of each of `crowdmood.LABELS` among those who react; sums to one.
        hold_s: How long it lasts on average, in seconds.
        arms: Share of people who throw up their arms.
        scarf: Share of people who hold up a scarf.
        excitement: How much the stand, and with it the camera, shakes: 0 not at all, 1 wildly.
    """

    shares: tuple[float, float, float, float, float, float, float]
    hold_s: float
    arms: float = 0.0
    scarf: float = 0.0
    excitement: float = 0.0


# Shares in the order angry, disgust, fear, happy, sad, surprise, neutral.
CALM: Final = Reaction((0.05, 0.02, 0.03, 0.16, 0.08, 0.04, 0.62), hold_s=12)
"""What people look like while nothing happens."""
REACTIONS: Final = {
    "kick-off": Reaction((0.03, 0.01, 0.03, 0.40, 0.03, 0.12, 0.38), hold_s=8, arms=0.05, scarf=0.2, excitement=0.2),
    "chance": Reaction((0.10, 0.03, 0.14, 0.12, 0.04, 0.42, 0.15), hold_s=5, arms=0.12, excitement=0.4),
    "goal": Reaction((0.01, 0.00, 0.01, 0.82, 0.01, 0.11, 0.04), hold_s=14, arms=0.35, scarf=0.08, excitement=1.0),
    "conceded": Reaction((0.28, 0.09, 0.06, 0.02, 0.37, 0.05, 0.13), hold_s=14, excitement=0.1),
    "half-time": Reaction((0.03, 0.01, 0.01, 0.15, 0.06, 0.02, 0.72), hold_s=25),
}


class Event(BaseModel):
    """One line of the script.

    Attributes:
        at_s: Seconds after the start of the footage.
        event: A key of `REACTIONS`.
        cameras: Ids of the cameras whose stands see it; none means all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    event: str
    cameras: tuple[str, ...] = ()

    def concerns(self, camera: str) -> bool:
        """Whether the stand before a camera sees it."""
        return not self.cameras or camera in self.cameras


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    events: tuple[Event, ...]


def default_script(duration_s: float) -> tuple[Event, ...]:
    """The match that is played without a script: a half with its usual events, spread over the whole footage."""
    names = ("kick-off", "chance", "goal", "chance", "conceded", "half-time")
    begins = (0.04, 0.2, 0.36, 0.54, 0.66, 0.9)
    return tuple(
        Event(at_s=round(begin * duration_s, 3), event=name) for name, begin in zip(names, begins, strict=True)
    )


def load_script(path: Path) -> tuple[Event, ...]:
    """Reads a script: TOML with `[[events]]` tables, or JSON with a list `events`, of `at_s`, `event` and `cameras`.

    Raises:
        DataError: The file cannot be read, or is no such script.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            script = _File.model_validate_json(text)
        else:
            script = _File.model_validate(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{path}: {where}: {first['msg']}; give events with at_s and event") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a script ({error}); give TOML or JSON") from None
    return tuple(sorted(script.events, key=lambda event: event.at_s))


def check_script(script: tuple[Event, ...], duration_s: float, cameras: tuple[str, ...]) -> None:
    """Makes sure that a match can be played by a script.

    Raises:
        DataError: An event is unknown, lies behind the end, or is seen from a camera that does not exist.
    """
    for event in script:
        if event.event not in REACTIONS:
            raise DataError(f"script: unknown event {event.event!r} at {event.at_s:g} s; use {', '.join(REACTIONS)}")
        if event.at_s >= duration_s:
            raise DataError(
                f"script: {event.event} at {event.at_s:g} s lies behind the end at {duration_s:g} s; raise --minutes"
            )
        for camera in event.cameras:
            if camera not in cameras:
                raise DataError(
                    f"script: {event.event} at {event.at_s:g} s names the camera {camera!r}; "
                    f"there are {', '.join(cameras)}"
                )


def excitement_at(script: tuple[Event, ...], camera: str, at_s: float) -> float:
    """How much a stand shakes, 0 to 1: what is left of the events so far."""
    left = 0.0
    for event in script:
        since_s = at_s - event.at_s
        if since_s >= 0 and event.concerns(camera):
            reaction = REACTIONS[event.event]
            left = max(left, reaction.excitement * max(0.0, 1 - since_s / reaction.hold_s))
    return left
