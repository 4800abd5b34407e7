"""A crowd's mood over one closed window and a change of mood: as Python objects, as JSON, and as JSON schemas."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError, WithJsonSchema
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError
from crowdmood.domain.labels import LABELS, Label
from crowdmood.domain.messages import CameraStateName

SCHEMA: Final = 2
"""Version of the JSON objects of this module."""

TIME_SCHEMA: Final = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
    "examples": ["2026-05-01T15:00:00.000Z"],
}
"""JSON schema of a time, as `to_rfc3339` writes it."""

Status: TypeAlias = Literal["ok", "insufficient", "stale", "overridden"]
Dominant: TypeAlias = Literal[Label, "mixed"]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
WindowCameraState: TypeAlias = CameraStateName | Literal["idle"]

if TYPE_CHECKING:
    Shares: TypeAlias = dict[str, float | None]
    OverrideNote: TypeAlias = dict[str, str]
else:
    _TimeText = Annotated[str, Field(pattern=TIME_SCHEMA["pattern"]), WithJsonSchema(TIME_SCHEMA)]
    OverrideNote = TypedDict(
        "OverrideNote",
        {
            "show": Annotated[str, Field(description="What boards show: `default`, their own default, or a creative.")],
            "from": Annotated[_TimeText, Field(description="When the override starts, wall-clock time.")],
            "until": Annotated[
                _TimeText, Field(description="When it ends, wall-clock time; an operator may end it earlier.")
            ],
        },
    )

    class Shares(TypedDict):
        """Share per expression. Null: the network does not know this expression; the other shares add up to 1."""

        angry: Share | None
        disgust: Share | None
        fear: Share | None
        happy: Share | None
        sad: Share | None
        surprise: Share | None
        neutral: Share | None
        cheering: Annotated[
            Share | None, Field(description="Mouth open: singing, shouting or chanting; no other expression.")
        ]


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


Time: TypeAlias = Annotated[
    int,
    BeforeValidator(lambda given: to_ms(given) if isinstance(given, str) else given),
    PlainSerializer(to_rfc3339),
    WithJsonSchema(TIME_SCHEMA),
]
"""Milliseconds since 1970-01-01 UTC, in JSON RFC 3339 text."""

_SINCE_SCHEMA_2 = ("readable", "energy", "energy_low", "energy_high", "fit")
"""Fields that an object of schema 1 lacks: they read as None."""

_BY_LABEL = ("shares", "low", "high", "raw")
"""Fields with a value for each label: a label that an older writer did not know reads as None."""

_CONFIG = ConfigDict(
    validate_by_name=True, validate_by_alias=True, allow_inf_nan=False, json_schema_serialization_defaults_required=True
)


def _public(name: str, description: str) -> Any:
    """Return a field with another name in JSON."""
    return Field(validation_alias=name, serialization_alias=name, description=description)


class _Published:
    """Something that is published and stored as a JSON object."""

    __slots__ = ()
    WHAT: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the public JSON object: times as RFC 3339 text in UTC, keys in a fixed order."""
        made: dict[str, Any] = _ADAPTERS[type(self)].dump_python(self, by_alias=True)
        return made

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
            given = stored.parse(text)
            if given["schema"] > SCHEMA + 1:
                raise ValueError(f"schema {given['schema']} is more than one ahead of {SCHEMA}")
            unknown = dict.fromkeys(_SINCE_SCHEMA_2) if given["schema"] == 1 else {}
            by_label = {name: dict.fromkeys(LABELS) | given[name] for name in _BY_LABEL if given.get(name) is not None}
            read: Self = _ADAPTERS[cls].validate_python(unknown | given | by_label | {"schema": SCHEMA})
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise UndecodableError(f"no {cls.WHAT}: {problems}") from None
        except (UndecodableError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UndecodableError(f"no {cls.WHAT}: {error!r}") from None
        return read


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class Mood(_Published):
    """The expressions of a crowd in one window of event time. Act on it only while `status` is `ok`."""

    WHAT: ClassVar[str] = "mood"
    schema: Literal[2] = Field(default=SCHEMA, description="Version of this shape: 2.")
    as_of_ms: Time = _public("as_of", "End of the window (exclusive), event time.")
    window_start_ms: Time = _public("window_start", "Start of the window (inclusive), event time.")
    valid_until_ms: Time = _public("valid_until", "Event time after which a client must not act on the mood.")
    status: Status = Field(
        description="`ok`; `insufficient`: too few readable people at the same time, figures are withheld; `stale`: no "
        "new mood for too long, or no mood yet, figures are withheld; `overridden`: an operator decides what boards "
        "show, figures are withheld, `override` says what to show. Show your default unless it is `ok`."
    )
    zone: str = Field(description="Zone, a named set of cameras; `stadium` contains every camera.")
    camera: str | None = Field(description="Camera, for the mood of a single camera; null for the whole zone.")
    people: int | None = Field(
        description="Number of people seen in the window, readable or not. Each person counts once, however often "
        "their face is found. While a camera stands still, the number is at most 1.3 times the largest number of "
        "faces found in one frame of the window; it is proportionally higher while the camera pans or cuts. Rounded "
        "to 5, or to at most a twentieth. Null unless `ok`.",
        ge=0,
    )
    readable: int | None = Field(
        description="Number of people whose expression was readable at least once; the shares refer to these people. "
        "Rounded as `people`. Null unless `ok`, and in moods stored with schema 1.",
        ge=0,
    )
    shares: Shares | None = Field(
        description="Estimated share of readable people per expression, in steps of about four people. The other "
        "figures are derived from these shares, and all are repeated until a share is wrong by more than eight people, "
        "so that they single out no one. Null unless `ok`."
    )
    low: Shares | None = Field(description="Lower ends of the shares' 90 % intervals; null unless `ok`.")
    high: Shares | None = Field(description="Upper ends of the shares' 90 % intervals; null unless `ok`.")
    raw: Shares | None = Field(
        description="Share of readable people whose most likely expression is this one; null unless `ok`."
    )
    dominant: Dominant | None = Field(
        description="The expression with the largest share, or `mixed` if its lead may be due to chance; null unless "
        "`ok`."
    )
    valence: float | None = Field(
        description="Share of happy minus the shares of angry, disgust, fear and sad; cheering, surprise and neutral "
        "count as 0. Null unless `ok`.",
        ge=-1,
        le=1,
    )
    valence_low: float | None = Field(description="Lower end of its 90 % interval; null unless `ok`.", ge=-1, le=1)
    valence_high: float | None = Field(description="Upper end of its 90 % interval; null unless `ok`.", ge=-1, le=1)
    energy: Share | None = Field(
        description="Sum of the shares of cheering and surprise: how excited a crowd is, positively or negatively. "
        "Null unless `ok`, if the network does not know cheering, and in moods stored with schema 1."
    )
    energy_low: Share | None = Field(description="Lower end of its 90 % interval; null where `energy` is null.")
    energy_high: Share | None = Field(description="Upper end of its 90 % interval; null where `energy` is null.")
    method: str = Field(
        description="Method that estimated the shares: `gls`, `sld`, `pacc`, `pcc`, or `raw` if the network's "
        "confusions are unknown; several methods, joined by `+`, if the cameras' networks differ."
    )
    fit: Share | None = Field(
        description="How much of the correction for the network's confusions is applied. 1: a mixture of known faces "
        "explains the crowd; towards 0: no mixture does, shares approach plain counts and intervals are wider. Null "
        "for methods without a correction, unless `ok`, and in moods stored with schema 1."
    )
    model: str | None = Field(description="The network and its inference engine; null if it classified no face.")
    detector: str | None = Field(description="The detector; null if no frame arrived.")
    cameras: dict[str, WindowCameraState] = Field(description="State of each camera in this window, by camera.")
    override: OverrideNote | None = Field(
        default=None,
        description="With the status `overridden`: what to show. In the history: the override during which the mood "
        "was published, with its own status and figures. Null: none.",
    )

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

    def overridden(self, override: OverrideNote) -> Self:
        """Return the same mood as it is served during an override: its figures are withheld."""
        return replace(self, status="overridden", override=override, **_WITHHELD)

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


@dataclass(frozen=True, slots=True, kw_only=True, config=_CONFIG)
class MoodChange(_Published):
    """A change of a crowd's leading expression."""

    WHAT: ClassVar[str] = "change of mood"
    schema: Literal[2] = Field(default=SCHEMA, description="Version of this shape: 2.")
    as_of_ms: Time = _public("as_of", "End of the window that confirmed the change (exclusive), event time.")
    valid_until_ms: Time = _public("valid_until", "Event time after which a client must not act on the change.")
    sequence: int = Field(
        description="1, 2, 3, … within a run and zone; 1,000 numbers are skipped after the servers lost data.", ge=1
    )
    zone: str = Field(description="Zone, a named set of cameras; `stadium` contains every camera.")
    from_label: Label = _public("from", "Leading expression before the change.")
    to_label: Label = _public("to", "Leading expression after the change.")
    people: int = Field(description="Number of people seen, readable or not, counted as in a mood.", ge=0)
    readable: int | None = Field(
        description="Number of people whose expression was readable; null in changes stored with schema 1.", ge=0
    )
    shares: Shares = Field(
        description="Estimated share of readable people per expression, as in the mood of the same time."
    )
    low: Shares = Field(description="Lower ends of the shares' 90 % intervals.")
    high: Shares = Field(description="Upper ends of the shares' 90 % intervals.")
    override: OverrideNote | None = Field(
        default=None,
        description="The override during which it was published; streams and webhooks were not sent it. Null: none.",
    )


_ADAPTERS: Final[dict[type, TypeAdapter[Any]]] = {published: TypeAdapter(published) for published in (Mood, MoodChange)}
"""What reads and writes JSON, by class."""
