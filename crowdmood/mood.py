"""The answer: one crowd's mood over one closed window, a change of it, and how both are written as JSON."""

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self, TypeAlias

from crowdmood.errors import UndecodableError
from crowdmood.messages import CameraStateName

Status: TypeAlias = Literal["ok", "insufficient", "stale"]
Shares: TypeAlias = dict[str, float]
WindowCameraState: TypeAlias = CameraStateName | Literal["idle"]


_PUBLIC_NAMES = {"from_label": "from", "to_label": "to"}
"""Of fields whose public names are words of the language."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is told to the world, and kept, as a JSON object."""

    WHAT: ClassVar[str]
    SCHEMA_VERSION: ClassVar[int]

    def to_dict(self) -> dict[str, Any]:
        """The public JSON object: times as RFC 3339 text in UTC, keys in a fixed order."""
        told = asdict(self)
        times = {name.removesuffix("_ms"): to_rfc3339(told.pop(name)) for name in list(told) if name.endswith("_ms")}
        return {"schema": self.SCHEMA_VERSION, **times, **{_PUBLIC_NAMES.get(name, name): told[name] for name in told}}

    def to_json(self) -> str:
        """The public JSON object as one line, the same bytes for the same answer."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote; fields that a newer writer added are ignored.

        Raises:
            UndecodableError: It is none.
        """
        try:
            given: dict[str, Any] = json.loads(text)
            return cls(**{field.name: _read(given, field.name) for field in fields(cls)})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UndecodableError(f"no {cls.WHAT}: {error!r}") from None


def _read(given: dict[str, Any], name: str) -> Any:
    if name.endswith("_ms"):
        return to_ms(given[name.removesuffix("_ms")])
    return given[_PUBLIC_NAMES.get(name, name)]


@dataclass(frozen=True, slots=True)
class Mood(_Answer):
    """What a crowd shows in the window [window_start_ms, as_of_ms).

    Attributes:
        as_of_ms: End of the window (exclusive), event time in milliseconds.
        window_start_ms: Start of the window (inclusive), event time in milliseconds.
        valid_until_ms: Event time after which nobody should act on it, in milliseconds.
        status: `ok`, `insufficient` (too few people: nothing else is told) or `stale`.
        zone: The named set of cameras this is about.
        camera: The one camera this is about; None for the whole zone.
        people: How many people it rests on; None unless `ok`.
        shares: Estimated share of people per label, adding up to 1 but for rounding; None unless `ok`.
        low: Lower end of each share's 90 % interval; None unless `ok`.
        high: Upper end of each share's 90 % interval; None unless `ok`.
        raw: Share of people whose likeliest label is this one; None unless `ok`.
        dominant: The label with the largest share, or `mixed` when its lead may be chance; None unless `ok`.
        valence: Balance of positive and negative expressions in [-1, 1]; None unless `ok`.
        valence_low: Lower end of valence's 90 % interval; None unless `ok`.
        valence_high: Upper end of valence's 90 % interval; None unless `ok`.
        method: How shares were estimated.
        model: Which network judged, and what ran it; None when it saw no face.
        detector: Which detector looked; None when no frame arrived.
        cameras: State of each camera in this window, by camera.
    """

    WHAT: ClassVar[str] = "mood"
    SCHEMA_VERSION: ClassVar[int] = 1
    as_of_ms: int
    window_start_ms: int
    valid_until_ms: int
    status: Status
    zone: str
    camera: str | None
    people: int | None
    shares: Shares | None
    low: Shares | None
    high: Shares | None
    raw: Shares | None
    dominant: str | None
    valence: float | None
    valence_low: float | None
    valence_high: float | None
    method: str
    model: str | None
    detector: str | None
    cameras: dict[str, str]

    @classmethod
    def blank(cls, *, status: Status = "insufficient", **known: Any) -> Self:
        """A mood that tells nothing that could be acted on.

        Args:
            status: Why.
            **known: Every field but those that are withheld.
        """
        return cls(status=status, **known, **_WITHHELD)

    def as_stale(self) -> Self:
        """The same mood when too old to act on: everything that could be acted on is withheld."""
        return replace(self, status="stale", **_WITHHELD)

    def ended(self) -> bool:
        """Whether all its footage has ended: nothing newer will come, and nothing is late."""
        return bool(self.cameras) and all(state == "ended" for state in self.cameras.values())


_WITHHELD: dict[str, Any] = dict.fromkeys(
    (
        "people",
        "shares",
        "low",
        "high",
        "raw",
        "dominant",
        "valence",
        "valence_low",
        "valence_high",
    )
)
"""The fields of a mood that could be acted on."""


@dataclass(frozen=True, slots=True)
class MoodChange(_Answer):
    """What a crowd shows has changed: from one leading label to another.

    Attributes:
        sequence: 1, 2, 3, … within a run and zone, without gaps.
        zone: The named set of cameras this is about.
        as_of_ms: End of the window that settled it (exclusive), event time in milliseconds.
        valid_until_ms: Event time after which nobody should act on it, in milliseconds.
        from_label: What the crowd showed before.
        to_label: What it shows now.
        people: How many people that rests on.
        shares: Estimated share of people per label, by what each of them showed last.
        low: Lower end of each share's 90 % interval.
        high: Upper end of each share's 90 % interval.
    """

    WHAT: ClassVar[str] = "change of mood"
    SCHEMA_VERSION: ClassVar[int] = 1
    sequence: int
    zone: str
    as_of_ms: int
    valid_until_ms: int
    from_label: str
    to_label: str
    people: int
    shares: Shares
    low: Shares
    high: Shares


def to_rfc3339(ms: int) -> str:
    """Milliseconds since 1970-01-01 UTC as `2026-05-01T15:00:00.000Z`."""
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def to_ms(text: str) -> int:
    """RFC 3339 text as milliseconds since 1970-01-01 UTC.

    Raises:
        ValueError: Not a time, or one without a time zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: write e.g. 2026-05-01T15:00:00Z")
    return round(at.timestamp() * 1000)
