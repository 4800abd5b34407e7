"""The script of a match: its events, and how people react to them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crowdmood.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

# Arm, hands, scarf, flag, profile, back of the head.
_EXCITED: Final = (0.36, 0.06, 0.16, 0.08, 0.20, 0.14)
_DISMAYED: Final = (0.05, 0.50, 0.0, 0.0, 0.25, 0.20)


@dataclass(frozen=True, slots=True)
class Reaction:
    """How people react to an event.

    Attributes:
        shares: Probability of each of `LABELS` among those who react; sums to one.
        hold_s: Mean duration, in seconds.
        arms: Share of people who raise their arms; 1.6 times as large among those who cheer.
        scarf: Share of people who hold up a scarf.
        excitement: How much the stand, and with it the camera, shakes at first, 0-1; it decreases until the reaction
            and the ones after it end.
        hidden: Share of people who hide their face or turn it away at any time. Other people hide more faces.
        ways: Probability of each member of `Hiding` except `NONE` among the hidden; sums to one.
        then: The next reaction; None for calm.
    """

    shares: tuple[float, float, float, float, float, float, float, float]
    hold_s: float
    arms: float = 0.0
    scarf: float = 0.0
    excitement: float = 0.0
    hidden: float = 0.02
    ways: tuple[float, float, float, float, float, float] = (0.05, 0.05, 0.0, 0.0, 0.55, 0.35)
    then: Reaction | None = None

    @property
    def lasts_s(self) -> float:
        """Mean duration of the reaction and the ones after it, in seconds."""
        return self.hold_s + (self.then.lasts_s if self.then else 0.0)


# Shares in the order angry, disgust, fear, happy, sad, surprise, neutral, cheering.
CALM: Final = Reaction((0.05, 0.02, 0.03, 0.16, 0.08, 0.04, 0.60, 0.02), hold_s=12)
"""The state between the events."""
_GLAD: Final = Reaction(
    (0.01, 0.00, 0.01, 0.70, 0.01, 0.05, 0.08, 0.14), hold_s=10, arms=0.08, hidden=0.09, ways=_EXCITED
)
REACTIONS: Final = {
    "kick-off": Reaction(
        (0.03, 0.01, 0.02, 0.28, 0.03, 0.08, 0.31, 0.24),
        hold_s=8,
        arms=0.05,
        scarf=0.2,
        excitement=0.2,
        hidden=0.06,
        ways=_EXCITED,
    ),
    "chance": Reaction(
        (0.10, 0.03, 0.13, 0.10, 0.04, 0.40, 0.13, 0.07),
        hold_s=5,
        arms=0.12,
        excitement=0.4,
        hidden=0.06,
        ways=_EXCITED,
    ),
    "goal": Reaction(
        (0.01, 0.00, 0.01, 0.24, 0.01, 0.06, 0.03, 0.64),
        hold_s=11,
        arms=0.25,
        scarf=0.06,
        excitement=1.0,
        hidden=0.16,
        ways=_EXCITED,
        then=_GLAD,
    ),
    "conceded": Reaction(
        (0.28, 0.09, 0.06, 0.02, 0.37, 0.05, 0.13, 0.00), hold_s=14, excitement=0.1, hidden=0.05, ways=_DISMAYED
    ),
    "singing": Reaction(
        (0.02, 0.01, 0.01, 0.15, 0.02, 0.02, 0.19, 0.58),
        hold_s=10,
        arms=0.12,
        scarf=0.12,
        excitement=0.3,
        hidden=0.13,
        ways=_EXCITED,
    ),
    "half-time": Reaction((0.03, 0.01, 0.01, 0.15, 0.06, 0.02, 0.71, 0.01), hold_s=25, hidden=0.05),
}


class MatchEvent(BaseModel):
    """An event of the script.

    Attributes:
        at_s: Seconds after the start of the footage.
        event: A key of `REACTIONS`.
        cameras: Ids of the cameras whose stands see it; empty for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    event: str
    cameras: tuple[str, ...] = ()

    def concerns(self, camera: str) -> bool:
        """Return whether the stand of a camera sees it."""
        return not self.cameras or camera in self.cameras


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    events: tuple[MatchEvent, ...]


def default_script(duration_s: float) -> tuple[MatchEvent, ...]:
    """Return the default script: a half with one goal for each side, spread over the whole footage."""
    names = ("kick-off", "chance", "goal", "chance", "conceded", "singing", "half-time")
    begins = (0.04, 0.18, 0.32, 0.54, 0.66, 0.81, 0.92)
    return tuple(
        MatchEvent(at_s=round(begin * duration_s, 3), event=name) for name, begin in zip(names, begins, strict=True)
    )


def load_script(path: Path) -> tuple[MatchEvent, ...]:
    """Read a script: TOML with tables `[[events]]`, or JSON with a list `events`, of `at_s`, `event` and `cameras`.

    Raises:
        DataError: The file cannot be read, or is not a script.
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


def check_script(script: tuple[MatchEvent, ...], duration_s: float, cameras: tuple[str, ...]) -> None:
    """Check that a script fits a match.

    Raises:
        DataError: An event is unknown, is after the end, or names a camera that does not exist.
    """
    for event in script:
        if event.event not in REACTIONS:
            raise DataError(f"script: unknown event {event.event!r} at {event.at_s:g} s; use {', '.join(REACTIONS)}")
        if event.at_s >= duration_s:
            raise DataError(
                f"script: {event.event} at {event.at_s:g} s is after the end at {duration_s:g} s; raise --minutes"
            )
        for camera in event.cameras:
            if camera not in cameras:
                raise DataError(
                    f"script: {event.event} at {event.at_s:g} s names the camera {camera!r}; "
                    f"there are {', '.join(cameras)}"
                )


def excitement_at(script: tuple[MatchEvent, ...], camera: str, at_s: float) -> float:
    """Return how much a stand shakes because of the events so far, 0-1."""
    left = 0.0
    for event in script:
        since_s = at_s - event.at_s
        if since_s >= 0 and event.concerns(camera):
            reaction = REACTIONS[event.event]
            left = max(left, reaction.excitement * max(0.0, 1 - since_s / reaction.lasts_s))
    return left
