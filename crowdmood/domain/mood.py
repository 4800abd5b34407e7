"""A crowd's mood over one closed window, a change of mood, and both as JSON."""

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self, TypeAlias

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import CameraStateName

Status: TypeAlias = Literal["ok", "insufficient", "stale"]
Shares: TypeAlias = dict[str, float | None]
"""By label, in the order of `LABELS`; None for a label that the network does not know."""
WindowCameraState: TypeAlias = CameraStateName | Literal["idle"]


_PUBLIC_NAMES = {"from_label": "from", "to_label": "to"}
"""Public names that are keywords of Python."""

_SINCE_SCHEMA_2 = frozenset({"readable", "energy", "energy_low", "energy_high", "fit"})
"""Fields that an object of schema 1 lacks: they read as None."""

_BY_LABEL = frozenset({"shares", "low", "high", "raw"})
"""Fields with a value for each label: a label that an older writer did not know reads as None."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """Something that is published and stored as a JSON object."""

    WHAT: ClassVar[str]
    SCHEMA_VERSION: ClassVar[int] = 2

    def to_dict(self) -> dict[str, Any]:
        """Return the public JSON object: times as RFC 3339 text in UTC, keys in a fixed order."""
        given = asdict(self)
        times = {name.removesuffix("_ms"): to_rfc3339(given.pop(name)) for name in list(given) if name.endswith("_ms")}
        public = {_PUBLIC_NAMES.get(name, name): value for name, value in given.items()}
        return {"schema": self.SCHEMA_VERSION, **times, **public}

    def to_json(self) -> str:
        """Return the public JSON object as one line; equal objects give equal bytes."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` of this or an earlier schema wrote; ignore fields that a newer writer added.

        Raises:
            UndecodableError: The text is not such an object.
        """
        try:
            given: dict[str, Any] = json.loads(text)
            return cls(**{field.name: _read(given, field.name) for field in fields(cls)})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UndecodableError(f"no {cls.WHAT}: {error!r}") from None


def _read(given: dict[str, Any], name: str) -> Any:
    if name.endswith("_ms"):
        return to_ms(given[name.removesuffix("_ms")])
    if name in _SINCE_SCHEMA_2 and given["schema"] == 1:
        return given.get(name)
    value = given[_PUBLIC_NAMES.get(name, name)]
    if name in _BY_LABEL and value is not None:
        return {label: value.get(label) for label in LABELS}
    return value


@dataclass(frozen=True, slots=True)
class Mood(_Answer):
    """What a crowd shows in the window [window_start_ms, as_of_ms).

    Attributes:
        as_of_ms: End of the window (exclusive), event time in milliseconds.
        window_start_ms: Start of the window (inclusive), event time in milliseconds.
        valid_until_ms: Event time after which the mood must not be acted on, in milliseconds.
        status: `ok`, `insufficient` (too few readable people in any one frame, added over cameras: the figures are
            withheld) or `stale`.
        zone: The named set of cameras this is about.
        camera: The one camera this is about; None for the whole zone.
        people: Number of people seen in the window, readable or not, each counted once however often they are found.
            While the camera stands still there are at most 1.3 times as many as the most found in one frame
            of the window; in proportion more while it pans or cuts. None unless `ok`.
        readable: Number of people counted: their expression was readable in at least one observation; None unless `ok`.
        shares: Estimated share of the readable people per label, adding up to 1 but for rounding; None unless `ok`.
            The share of a label that the network does not know is None.
        low: Lower end of each share's 90 % interval; None unless `ok`.
        high: Upper end of each share's 90 % interval; None unless `ok`.
        raw: Share of readable people whose likeliest label is this one; None unless `ok`.
        dominant: The label with the largest share, or `mixed` when its lead may be chance; None unless `ok`.
        valence: Share of happy less angry, disgust, fear and sad, in [-1, 1]; None unless `ok`.
        valence_low: Lower end of valence's 90 % interval; None unless `ok`.
        valence_high: Upper end of valence's 90 % interval; None unless `ok`.
        energy: Share of cheering and surprise together, in [0, 1]; None unless `ok`, and when the network does not know
            cheering.
        energy_low: Lower end of energy's 90 % interval; None where `energy` is.
        energy_high: Upper end of energy's 90 % interval; None where `energy` is.
        method: How shares were estimated.
        fit: How much of the correction for the network's confusions is applied, in [0, 1]; None for methods without
            one, and unless `ok`. 1: a mixture of known faces explains the crowd; towards 0: none does, and shares
            are shrunk towards counting.
        model: The network and the engine that ran it; None when it saw no face.
        detector: The detector; None when no frame arrived.
        cameras: State of each camera in this window, by camera.
    """

    WHAT: ClassVar[str] = "mood"
    as_of_ms: int
    window_start_ms: int
    valid_until_ms: int
    status: Status
    zone: str
    camera: str | None
    people: int | None
    readable: int | None
    shares: Shares | None
    low: Shares | None
    high: Shares | None
    raw: Shares | None
    dominant: str | None
    valence: float | None
    valence_low: float | None
    valence_high: float | None
    energy: float | None
    energy_low: float | None
    energy_high: float | None
    method: str
    fit: float | None
    model: str | None
    detector: str | None
    cameras: dict[str, str]

    @classmethod
    def blank(cls, *, status: Status = "insufficient", **known: Any) -> Self:
        """Return a mood whose figures are withheld.

        Args:
            status: The reason.
            **known: Every field but those that are withheld.
        """
        return cls(status=status, **known, **_WITHHELD)

    def as_stale(self) -> Self:
        """Return the same mood as too old to act on: its figures are withheld."""
        return replace(self, status="stale", **_WITHHELD)

    def ended(self) -> bool:
        """Return whether the footage of every camera has ended, so that no newer mood will follow."""
        return bool(self.cameras) and all(state == "ended" for state in self.cameras.values())


_WITHHELD: dict[str, Any] = dict.fromkeys(
    (
        "people",
        "readable",
        "shares",
        "low",
        "high",
        "raw",
        "dominant",
        "valence",
        "valence_low",
        "valence_high",
        "energy",
        "energy_low",
        "energy_high",
        "fit",
    )
)
"""The figures of a mood."""


@dataclass(frozen=True, slots=True)
class MoodChange(_Answer):
    """A change of what a crowd shows: from one leading label to another.

    Attributes:
        sequence: 1, 2, 3, … within a run and zone, without gaps.
        zone: The named set of cameras this is about.
        as_of_ms: End of the window that settled it (exclusive), event time in milliseconds.
        valid_until_ms: Event time after which the change must not be acted on, in milliseconds.
        from_label: What the crowd showed before.
        to_label: What it shows now.
        people: Number of people seen, readable or not, counted as in `Mood`.
        readable: Number of people counted; None for a change that was stored with schema 1.
        shares: Estimated share of the readable people per label, by what each of them showed last; None for a label
            that the network does not know.
        low: Lower end of each share's 90 % interval.
        high: Upper end of each share's 90 % interval.
    """

    WHAT: ClassVar[str] = "change of mood"
    sequence: int
    zone: str
    as_of_ms: int
    valid_until_ms: int
    from_label: str
    to_label: str
    people: int
    readable: int | None
    shares: Shares
    low: Shares
    high: Shares


def to_rfc3339(ms: int) -> str:
    """Return milliseconds since 1970-01-01 UTC as `2026-05-01T15:00:00.000Z`."""
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def to_ms(text: str) -> int:
    """Return RFC 3339 text as milliseconds since 1970-01-01 UTC.

    Raises:
        ValueError: Not a time, or one without a time zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: write e.g. 2026-05-01T15:00:00Z")
    return round(at.timestamp() * 1000)
