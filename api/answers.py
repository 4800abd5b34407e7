"""Which answer is true now: pure, data in and data out, the time is given."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from crowdmood.core.logs import redact_text
from crowdmood.core.settings import STADIUM
from crowdmood.domain.mood import Mood, MoodChange, Status, to_rfc3339
from crowdmood.store.moods import CameraTable, published_at_ms


class Scope(NamedTuple):
    """Whose mood is meant.

    Attributes:
        zone: A named set of cameras.
        camera: One camera, of the zone `stadium`; None for the whole zone.
    """

    zone: str = STADIUM
    camera: str | None = None

    def holds(self, item: Mood | MoodChange) -> bool:
        """Whether a mood, or a change, is theirs; single cameras have no changes."""
        return item.zone == self.zone and self.camera == (item.camera if isinstance(item, Mood) else None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What `GET /mood` answers.

    Attributes:
        status: The mood's status.
        body: JSON, as it is sent.
        etag: Names these bytes: the same at every replica.
        fresh_until_ms: Wall-clock time in milliseconds until which nobody need ask again.
    """

    status: Status
    body: bytes
    etag: str
    fresh_until_ms: float = 0.0

    @classmethod
    def of(cls, status: Status, text: str, fresh_until_ms: float = 0.0) -> "Answer":
        """An answer with this text."""
        body = text.encode()
        return cls(status, body, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"', fresh_until_ms)


@dataclass(slots=True)
class Published:
    """A mood, the wall-clock time of its publication in milliseconds, and its answers once they were asked for."""

    mood: Mood
    at_ms: int
    answer: Answer | None = None
    stale_answer: Answer | None = None


class Board:
    """The newest mood of each scope and the table of cameras, as far as the state store has been read.

    Attributes:
        loaded: Whether the state store was ever read: before that nothing can be called unknown.
        cameras: What is known of each camera.
    """

    def __init__(self, stale_after_s: float, cameras: Iterable[str] = (), zones: Iterable[str] = ()) -> None:
        """Start empty.

        Args:
            stale_after_s: Age in seconds from which a mood is stale, unless its footage has ended.
            cameras: Cameras that exist although the state store may not know them yet.
            zones: Zones that do.
        """
        self.loaded = False
        self.cameras: CameraTable = {}
        self._stale_after_ms = stale_after_s * 1000
        self._cameras = frozenset(cameras)
        self._zones = {STADIUM, *zones}
        self._newest: dict[tuple[str, str | None], Published] = {}

    def take(self, entry: bytes, mood: Mood) -> None:
        """Remember the mood of an entry of the state store; given in the order of publication."""
        self._newest[mood.zone, mood.camera] = Published(mood, published_at_ms(entry))

    def forget(self) -> None:
        """Forget every mood: the state store has."""
        self._newest = {}

    def knows_camera(self, camera: str) -> bool:
        """Whether such a camera exists, as far as we can tell."""
        known = camera in self.cameras or camera in self._cameras or (STADIUM, camera) in self._newest
        return known or not self.loaded

    def knows_zone(self, zone: str) -> bool:
        """Whether such a zone exists, as far as we can tell."""
        return zone in self._zones or (zone, None) in self._newest or not self.loaded

    def holds(self, scope: Scope) -> bool:
        """Whether there is a mood of theirs."""
        return scope in self._newest

    def answer(self, scope: Scope, now_ms: float) -> Answer:
        """The answer that is true now.

        Args:
            scope: Whose mood.
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        """
        found = self._newest.get(scope)
        if found is None:
            return Answer.of("stale", json.dumps(no_mood_yet(scope), separators=(",", ":")))
        if now_ms - found.at_ms > self._stale_after_ms and not found.mood.ended():
            if found.stale_answer is None:
                found.stale_answer = Answer.of("stale", found.mood.as_stale().to_json())
            return found.stale_answer
        if found.answer is None:
            found.answer = Answer.of(found.mood.status, found.mood.to_json(), self._fresh_until_ms(found))
        return found.answer

    def _fresh_until_ms(self, found: Published) -> float:
        """Until when a mood may be acted on without asking again: `valid_until`, and never once it is stale.

        The event time of live cameras is the wall clock's. That of recorded footage is the footage's own, so its mood
        stays valid for as long after its publication as a live one would after its window's end.
        """
        mood = found.mood
        recorded = all(self.cameras.get(camera, {}).get("recorded") for camera in mood.cameras)
        ahead_ms = found.at_ms - mood.as_of_ms if mood.cameras and recorded else 0
        return min(mood.valid_until_ms + ahead_ms, found.at_ms + self._stale_after_ms)


def no_mood_yet(scope: Scope) -> dict[str, Any]:
    """The answer before the first mood: the one shape, nothing known, and a status that nobody acts on."""
    blank = Mood.blank(
        as_of_ms=0,
        window_start_ms=0,
        valid_until_ms=0,
        status="stale",
        zone=scope.zone,
        camera=scope.camera,
        method="",
        model=None,
        detector=None,
        cameras={},
    )
    return blank.to_dict() | dict.fromkeys(("as_of", "window_start", "valid_until", "method"))


def camera_answers(table: CameraTable) -> list[dict[str, Any]]:
    """The table of cameras as `GET /cameras` shows it, by name."""
    return [_camera_answer(camera_id, known) for camera_id, known in sorted(table.items())]


def _camera_answer(camera_id: str, known: dict[str, Any]) -> dict[str, Any]:
    # An aggregator of another version may know less. Ingest has cut credentials out: this is the last line of defence.
    return {
        "id": camera_id,
        "state": known["state"],
        "since": _time(known.get("since_ms")),
        "source": redact_text(known.get("source", "")),
        "recorded": known.get("recorded"),
        "detail": redact_text(known.get("detail", "")),
        "run_id": known.get("run_id"),
        "detector": known.get("detector"),
        "model": known.get("model"),
        "last_frame_at": _time(known.get("last_frame_at_ms")),
        "frames": known.get("frames", 0),
        "faces": known.get("faces", 0),
        "unfit": known.get("unfit", {}),
        "lost": known.get("lost", {}),
        "late": known.get("late", 0),
        "duplicates": known.get("duplicates", 0),
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else to_rfc3339(ms)
