"""What happened: events, and how they follow from moods, changes and the table of cameras. Pure, the time is given."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from crowdmood.core.logs import redact_text
from crowdmood.domain.mood import Mood, MoodChange, to_rfc3339
from crowdmood.store.moods import CameraTable, published_at_ms

NO_MOOD = 0
"""In `Watch.told`: so long ago that the next mood is never too soon."""


class EventType(StrEnum):
    """What an endpoint can be told of."""

    MOOD_CHANGED = "mood.changed"
    MOOD_UPDATED = "mood.updated"
    MOOD_UNAVAILABLE = "mood.unavailable"
    CAMERA_DOWN = "camera.down"
    CAMERA_UP = "camera.up"

    @property
    def of_mood(self) -> bool:
        """Whether it tells of a crowd rather than of a camera."""
        return self.value.startswith("mood.")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        id: The same for the same event, however often it is found: made of its position in the state store.
        type: What happened.
        at_ms: Wall-clock time at which it became known, in milliseconds since 1970-01-01 UTC.
        data: What is told of it, by the event's JSON schema.
        zone: The zone it is about; None for a camera's event.
        camera: The camera it is about; None for a whole zone.
        expires_at_ms: Wall-clock time after which nobody should act on it; None when it does not perish.
        confidence: At least this share of the crowd shows the leading label: the lower end of its 90 % interval, 0
            where no label leads; None where nothing is claimed that one could be sure of.
        test: Whether it did not happen: an endpoint's owner tries it out.
    """

    id: str
    type: EventType
    at_ms: int
    data: dict[str, Any]
    zone: str | None
    camera: str | None
    expires_at_ms: int | None = None
    confidence: float | None = None
    test: bool = False

    @property
    def subject(self) -> tuple[str | None, str | None]:
        """The crowd or camera it is about."""
        return self.zone, self.camera

    def to_dict(self) -> dict[str, Any]:
        """As the state store keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**{**fields, "type": EventType(fields["type"])})

    def payload(self) -> dict[str, Any]:
        """The body that the specification recommends: `type`, `timestamp`, `data`; a test says that it is one."""
        told = {"type": self.type.value, "timestamp": to_rfc3339(self.at_ms), "data": self.data}
        return told | ({"test": True} if self.test else {})


@dataclass(slots=True)
class Crowd:
    """What was last seen of one crowd.

    Attributes:
        position: Where its newest mood is in the state store.
        available: Whether the newest thing that endpoints were told was a mood to act on.
    """

    position: str
    available: bool


@dataclass(slots=True)
class Watch:
    """How far the state store was watched, and what was seen: what is needed to go on after a death.

    Attributes:
        moods: Position of the newest mood seen.
        changes: Position of the newest change seen.
        crowds: What was last seen of each crowd, by `zone/camera`.
        cameras: Whether each camera was up when last seen.
        told: When each endpoint was last sent a mood.updated of each crowd, by `endpoint/zone/camera`, in
            milliseconds since 1970-01-01 UTC; `NO_MOOD` when it was told since that there is none.
        newest: The moods that crowds' positions mean. They are not written with the rest, every second: whoever goes on
            reads them again.
    """

    moods: str
    changes: str
    crowds: dict[str, Crowd] = field(default_factory=dict)
    cameras: dict[str, bool] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    newest: dict[str, Mood] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As the state store keeps it."""
        return {
            "moods": self.moods,
            "changes": self.changes,
            "crowds": {key: asdict(crowd) for key, crowd in self.crowds.items()},
            "cameras": dict(self.cameras),
            "told": dict(self.told),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**{**fields, "crowds": {key: Crowd(**crowd) for key, crowd in fields["crowds"].items()}})

    def changed(self, position: bytes, change: MoodChange, *, recorded: bool) -> Event:
        """The event of a change.

        Args:
            position: Where it is in the state store.
            change: The change.
            recorded: Whether its cameras are recorded footage, whose event time is not the wall clock's.
        """
        at_ms = published_at_ms(position)
        return Event(
            id=f"changed-{position.decode()}",
            type=EventType.MOOD_CHANGED,
            at_ms=at_ms,
            data=change.to_dict(),
            zone=change.zone,
            camera=None,
            expires_at_ms=_expiry(at_ms, change.as_of_ms, change.valid_until_ms, recorded=recorded),
            confidence=change.low.get(change.to_label) or 0.0,
        )

    def updated(self, position: bytes, mood: Mood, *, recorded: bool) -> Event | None:
        """The event of a new mood; None when there is nothing new to tell: it was unavailable before as well.

        Args:
            position: Where it is in the state store.
            mood: The mood.
            recorded: As `changed` has it.
        """
        key = f"{mood.zone}/{mood.camera or ''}"
        before = self.crowds.get(key)
        available = mood.status == "ok"
        self.crowds[key], self.newest[key] = Crowd(position.decode(), available), mood
        if not available:
            return _unavailable(position, published_at_ms(position), mood) if before and before.available else None
        at_ms = published_at_ms(position)
        assert mood.low is not None  # a mood with status ok has every number
        return Event(
            id=f"updated-{position.decode()}",
            type=EventType.MOOD_UPDATED,
            at_ms=at_ms,
            data=mood.to_dict(),
            zone=mood.zone,
            camera=mood.camera,
            expires_at_ms=_expiry(at_ms, mood.as_of_ms, mood.valid_until_ms, recorded=recorded),
            confidence=mood.low.get(mood.dominant or "") or 0.0,
        )

    def grown_stale(self, now_ms: int, stale_after_s: float) -> Iterable[Event]:
        """Events of crowds whose newest mood has grown too old since we last looked.

        Args:
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
            stale_after_s: Age in seconds from which a mood is stale, unless its footage has ended.
        """
        for key, crowd in self.crowds.items():
            position, mood = crowd.position.encode(), self.newest.get(key)
            too_old = now_ms - published_at_ms(position) > stale_after_s * 1000
            if crowd.available and too_old and mood is not None and not mood.ended():
                crowd.available = False
                yield _unavailable(position, now_ms, mood.as_stale())

    def cameras_seen(self, table: CameraTable, now_ms: int) -> Iterable[Event]:
        """Events of cameras that went down or came back since we last looked.

        A camera is down when it cannot be reached or its picture stands still. One that opens says nothing yet, and
        footage that has ended is no fault. A camera that we never saw up is told of when it is down.

        Args:
            table: What is known of each camera.
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        """
        for camera, known in table.items():
            state = known["state"]
            if state == "opening" or (up := state in ("live", "ended")) == self.cameras.get(camera, True):
                continue
            self.cameras[camera] = up
            since_ms = known.get("since_ms")
            yield Event(
                id=f"{'up' if up else 'down'}-{camera}-{now_ms if since_ms is None else since_ms}",
                type=EventType.CAMERA_UP if up else EventType.CAMERA_DOWN,
                at_ms=now_ms,
                data={
                    "camera": camera,
                    "state": state,
                    "since": None if since_ms is None else to_rfc3339(since_ms),
                    "detail": redact_text(known.get("detail", "")),
                },
                zone=None,
                camera=camera,
            )


def _unavailable(position: bytes, at_ms: int, mood: Mood) -> Event:
    return Event(
        id=f"unavailable-{position.decode()}",
        type=EventType.MOOD_UNAVAILABLE,
        at_ms=at_ms,
        data=mood.to_dict(),
        zone=mood.zone,
        camera=mood.camera,
    )


def _expiry(at_ms: int, as_of_ms: int, valid_until_ms: int, *, recorded: bool) -> int:
    """Wall-clock time until which it may be acted on: footage's validity counts from its publication."""
    return at_ms + valid_until_ms - as_of_ms if recorded else valid_until_ms
