"""The answer: one crowd's mood over one closed window, and how it is written as JSON."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeAlias

from crowdmood.errors import UndecodableError
from crowdmood.messages import CameraStateName

MOOD_SCHEMA_VERSION = 1

STADIUM = "stadium"
"""The zone that holds every camera."""

Status: TypeAlias = Literal["ok", "insufficient", "stale"]
Shares: TypeAlias = dict[str, float]
WindowCameraState: TypeAlias = CameraStateName | Literal["idle"]


@dataclass(frozen=True, slots=True)
class Mood:
    """What a crowd shows in the window [window_start_ms, as_of_ms).

    Attributes:
        as_of_ms: End of the window (exclusive), event time in milliseconds.
        window_start_ms: Start of the window (inclusive), event time in milliseconds.
        valid_until_ms: Event time after which nobody should act on it, in milliseconds.
        status: `ok`, `insufficient` (too few people: nothing else is told) or `stale`.
        zone: The named set of cameras this is about.
        camera: The one camera this is about; None for the whole zone.
        people: How many people it rests on; None unless `ok`.
        shares: Share of people per label, adding up to 1; None unless `ok`.
        raw: Share of people whose likeliest label is this one; None unless `ok`.
        dominant: The label with the largest share, or `mixed` when two are equal; None unless `ok`.
        valence: Balance of positive and negative expressions in [-1, 1]; None unless `ok`.
        method: How shares were estimated.
        model: Which network judged, and what ran it; None when it saw no face.
        detector: Which detector looked; None when no frame arrived.
        cameras: State of each camera in this window, by camera.
    """

    as_of_ms: int
    window_start_ms: int
    valid_until_ms: int
    status: Status
    zone: str
    camera: str | None
    people: int | None
    shares: Shares | None
    raw: Shares | None
    dominant: str | None
    valence: float | None
    method: str
    model: str | None
    detector: str | None
    cameras: dict[str, str]

    def as_stale(self) -> Self:
        """The same mood when too old to act on: everything that could be acted on is withheld."""
        return replace(self, status="stale", people=None, shares=None, raw=None, dominant=None, valence=None)

    def ended(self) -> bool:
        """Whether all its footage has ended: nothing newer will come, and nothing is late."""
        return bool(self.cameras) and all(state == "ended" for state in self.cameras.values())

    def to_dict(self) -> dict[str, Any]:
        """The public JSON object: times as RFC 3339 text in UTC, keys in a fixed order."""
        fields = asdict(self)
        times = {
            name.removesuffix("_ms"): to_rfc3339(fields.pop(name))
            for name in ("as_of_ms", "window_start_ms", "valid_until_ms")
        }
        return {"schema": MOOD_SCHEMA_VERSION, **times, **fields}

    def to_json(self) -> str:
        """The public JSON object as one line, the same bytes for the same mood."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote; fields that a newer writer added are ignored.

        Raises:
            UndecodableError: It is no mood.
        """
        try:
            given: dict[str, Any] = json.loads(text)
            times: dict[str, Any] = {
                f"{name}_ms": to_ms(given[name]) for name in ("as_of", "window_start", "valid_until")
            }
            return cls(**times, **{name: given[name] for name in cls.__slots__ if name not in times})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UndecodableError(f"no mood: {error!r}") from None


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
