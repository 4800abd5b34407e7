"""Events, made from moods, changes and the table of cameras. Pure, the time is given."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError
from crowdmood.core.logs import redact_text
from crowdmood.domain.mood import Mood, MoodChange, to_rfc3339
from crowdmood.domain.override import Overrides
from crowdmood.store.moods import CameraTable, published_at_ms
from crowdmood.store.positions import entry_id

NO_MOOD = 0
"""In `Watch.told`: the endpoint's last event was mood.unavailable, so the next mood needs no minimum interval."""


class EventType(StrEnum):
    """The types of events that an endpoint can receive."""

    MOOD_CHANGED = "mood.changed"
    MOOD_UPDATED = "mood.updated"
    MOOD_UNAVAILABLE = "mood.unavailable"
    CAMERA_DOWN = "camera.down"
    CAMERA_UP = "camera.up"

    @property
    def of_mood(self) -> bool:
        """Whether it is about a crowd, not about a camera."""
        return self.value.startswith("mood.")


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        id: Made from its position in the state store, so that the same event always has the same id.
        type: Its type.
        at_ms: Wall-clock time at which it became known, in milliseconds since 1970-01-01 UTC.
        data: Its figures, as the event's JSON schema describes them.
        zone: The zone it is about; None for a camera's event.
        camera: The camera it is about; None for a whole zone.
        expires_at_ms: Wall-clock time after which receivers should not act on it; None when it does not expire.
        confidence: Lower end of the 90 % interval of the leading label's share, 0 where no label leads; None for
            events without shares.
        test: Whether it is a test that the endpoint's owner requested, and did not happen.
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

    @property
    def overridden(self) -> bool:
        """Whether it reports an override: every endpoint that selects moods receives it."""
        return self.data.get("status") == "overridden"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as the state store keeps them."""
        return asdict(self)

    def payload(self) -> dict[str, Any]:
        """Return the body that the specification recommends: `type`, `timestamp`, `data`; `test` in a test."""
        body = {"type": self.type.value, "timestamp": to_rfc3339(self.at_ms), "data": self.data}
        return body | ({"test": True} if self.test else {})


@dataclass(slots=True)
class Crowd:
    """The last known state of one crowd.

    Attributes:
        position: Position of its newest mood in the state store.
        available: Whether a mood that is not available must be reported: the newest event of the crowd was a mood to
            act on, or an override has ended.
    """

    position: str
    available: bool


@dataclass(slots=True)
class Watch:
    """How far the state store was read, and the state that a successor needs.

    Attributes:
        moods: Position of the newest mood read.
        changes: Position of the newest change read.
        crowds: The last known state of each crowd, by `zone/camera`.
        cameras: Whether each camera was up when its state was last read.
        told: When each endpoint was last sent a mood.updated of each crowd, by `endpoint/zone/camera`, in
            milliseconds since 1970-01-01 UTC; `NO_MOOD` when it was sent a mood.unavailable since.
        overridden: What crowds' overrides make boards show, as last reported, by `zone/camera`.
        newest: The moods at the crowds' positions. They are not written with the rest every second: a successor reads
            them again.
    """

    moods: str
    changes: str
    crowds: dict[str, Crowd] = field(default_factory=dict)
    cameras: dict[str, bool] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    overridden: dict[str, dict[str, str]] = field(default_factory=dict)
    newest: dict[str, Mood] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as the state store keeps them."""
        return {
            "moods": self.moods,
            "changes": self.changes,
            "crowds": {key: asdict(crowd) for key, crowd in self.crowds.items()},
            "cameras": dict(self.cameras),
            "told": dict(self.told),
            "overridden": dict(self.overridden),
        }

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_dict` gave, as the state store keeps it.

        Raises:
            UndecodableError: The text is damaged.
        """
        watch = stored.from_json(cls, text)
        try:
            for position in (watch.moods, watch.changes, *(crowd.position for crowd in watch.crowds.values())):
                entry_id(position)
        except ValueError as error:
            raise UndecodableError(str(error)) from None
        return watch

    def changed(self, position: bytes, change: MoodChange, *, recorded: bool) -> Event:
        """Return the event of a change.

        Args:
            position: Its position in the state store.
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

    def overrides_seen(self, overrides: Overrides, now_ms: int) -> Iterable[Event]:
        """Yield the events of crowds whose override has begun, or shows something else, since the last call.

        After its end, the next mood is an event in any case.

        Args:
            overrides: The overrides.
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        """
        for key, crowd in self.crowds.items():
            zone, _, camera = key.partition("/")
            found = overrides.of(zone, camera or None, now_ms)
            note = None if found is None else found.note()
            before = self.overridden.get(key)
            if note == before:
                continue
            if note is None:
                del self.overridden[key]
                crowd.available = True
                continue
            self.overridden[key] = note
            crowd.available = False
            if (mood := self.newest.get(key)) is not None:
                yield _unavailable(f"overridden-{now_ms}-{zone}-{camera}", now_ms, mood.overridden(note))

    def updated(self, position: bytes, mood: Mood, *, recorded: bool, overridden: bool = False) -> Event | None:
        """Return the event of a new mood; None for an unavailable mood that follows another or comes first.

        None as well during an override, whose beginning was an event.

        Args:
            position: Its position in the state store.
            mood: The mood.
            recorded: See `changed`.
            overridden: Whether an override applies to its crowd, or did when it was published.
        """
        key = f"{mood.zone}/{mood.camera or ''}"
        before = self.crowds.get(key)
        self.newest[key] = mood
        if overridden:
            self.crowds[key] = Crowd(position.decode(), before is not None and before.available)
            return None
        available = mood.status == "ok"
        self.crowds[key] = Crowd(position.decode(), available)
        if not available:
            id_ = f"unavailable-{position.decode()}"
            return _unavailable(id_, published_at_ms(position), mood) if before and before.available else None
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
        """Yield the events of crowds whose newest mood has become stale since the last call.

        Args:
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
            stale_after_s: Age in seconds from which a mood is stale, unless its footage has ended.
        """
        for key, crowd in self.crowds.items():
            position, mood = crowd.position.encode(), self.newest.get(key)
            too_old = now_ms - published_at_ms(position) > stale_after_s * 1000
            if crowd.available and too_old and mood is not None and not mood.ended():
                crowd.available = False
                yield _unavailable(f"unavailable-{crowd.position}", now_ms, replace(mood.as_stale(), override=None))

    def cameras_seen(self, table: CameraTable, now_ms: int) -> Iterable[Event]:
        """Yield the events of cameras that went down or up since the last call.

        A camera is down when it is unreachable or its image is frozen. A camera that is opening is neither up nor
        down, and footage that has ended is up. A camera that was never up counts as up before: its first state `down`
        is an event.

        Args:
            table: The state of each camera.
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


def _unavailable(id_: str, at_ms: int, mood: Mood) -> Event:
    return Event(
        id=id_,
        type=EventType.MOOD_UNAVAILABLE,
        at_ms=at_ms,
        data=mood.to_dict(),
        zone=mood.zone,
        camera=mood.camera,
    )


def _expiry(at_ms: int, as_of_ms: int, valid_until_ms: int, *, recorded: bool) -> int:
    """Return the wall-clock time until which it may be acted on; for footage, counted from its publication."""
    return at_ms + valid_until_ms - as_of_ms if recorded else valid_until_ms
