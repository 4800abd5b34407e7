"""Chooses the response of `GET /mood` at a given time. Pure: data in, data out."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from crowdmood.core.logs import redact, redact_text
from crowdmood.core.settings import STADIUM
from crowdmood.domain.mood import Mood, MoodChange, Status, to_rfc3339
from crowdmood.domain.override import Override, Overrides
from crowdmood.store.moods import CameraTable, published_at_ms

_OVERRIDE_FRESH_MS = 3000
"""Time for which a client may act on an override without another request: it may be cleared at any time."""


class Scope(NamedTuple):
    """The stadium, a zone or a camera.

    Attributes:
        zone: A named set of cameras.
        camera: One camera, of the zone `stadium`; None for the whole zone.
    """

    zone: str = STADIUM
    camera: str | None = None

    def holds(self, item: Mood | MoodChange) -> bool:
        """Return whether a mood or a change belongs to this scope; single cameras have no changes."""
        return item.zone == self.zone and self.camera == (item.camera if isinstance(item, Mood) else None)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of `GET /mood`.

    Attributes:
        status: The mood's status.
        body: The JSON to send.
        etag: A hash of the body, the same at every replica.
        fresh_until_ms: Wall-clock time in milliseconds until which a client can act on it without another request.
    """

    status: Status
    body: bytes
    etag: str
    fresh_until_ms: float = 0.0

    @classmethod
    def of(cls, status: Status, text: str, fresh_until_ms: float = 0.0) -> "Answer":
        """Return an answer with this text."""
        body = text.encode()
        return cls(status, body, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"', fresh_until_ms)


@dataclass(slots=True)
class Published:
    """A mood, the wall-clock time of its publication in milliseconds, and its cached answers."""

    mood: Mood
    at_ms: int
    answer: Answer | None = None
    stale_answer: Answer | None = None
    overridden: tuple[Override, Answer] | None = None


class Board:
    """The newest mood of each scope and the table of cameras, as last read from the state store.

    Attributes:
        loaded: Whether the state store was ever read; before that, every camera and zone counts as known.
        cameras: State and counters of each camera.
        overrides: The overrides.
    """

    def __init__(self, stale_after_s: float, cameras: Iterable[str] = (), zones: Iterable[str] = ()) -> None:
        """Start empty.

        Args:
            stale_after_s: Age in seconds from which a mood is stale, unless its footage has ended.
            cameras: Cameras of the settings, which exist even if the state store does not contain them yet.
            zones: Zones of the settings.
        """
        self.loaded = False
        self.cameras: CameraTable = {}
        self.overrides = Overrides()
        self._stale_after_ms = stale_after_s * 1000
        self._cameras = frozenset(cameras)
        self._zones = {STADIUM, *zones}
        self._newest: dict[tuple[str, str | None], Published] = {}

    def take(self, entry: bytes, mood: Mood) -> None:
        """Keep the mood of an entry of the state store; call in the order of publication."""
        # The mark concerns the history; whether an override applies now, `overrides` says.
        unmarked = mood if mood.override is None else replace(mood, override=None)
        self._newest[mood.zone, mood.camera] = Published(unmarked, published_at_ms(entry))

    def forget(self) -> None:
        """Drop every mood, after the state store lost them."""
        self._newest = {}

    def knows_camera(self, camera: str) -> bool:
        """Return whether a camera exists; True for any camera before the state store was read."""
        known = camera in self.cameras or camera in self._cameras or (STADIUM, camera) in self._newest
        return known or not self.loaded

    def knows_zone(self, zone: str) -> bool:
        """Return whether a zone exists; True for any zone before the state store was read."""
        return zone in self._zones or (zone, None) in self._newest or not self.loaded

    def holds(self, scope: Scope) -> bool:
        """Return whether the scope has a mood."""
        return scope in self._newest

    def answer(self, scope: Scope, now_ms: float) -> Answer:
        """Return the current answer for a scope.

        Args:
            scope: The stadium, a zone or a camera.
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        """
        found = self._newest.get(scope)
        override = self.overrides.of(*scope, now_ms)
        if override is not None:
            until_ms = min(override.until_ms, now_ms + _OVERRIDE_FRESH_MS)
            return replace(_overridden(scope, found, override), fresh_until_ms=until_ms)
        if found is None:
            return Answer.of("stale", json.dumps(no_mood_yet(scope), separators=(",", ":")))
        if now_ms - found.at_ms > self._stale_after_ms and not found.mood.ended():
            if found.stale_answer is None:
                found.stale_answer = Answer.of("stale", found.mood.as_stale().to_json())
            return found.stale_answer
        if found.answer is None:
            found.answer = Answer.of(found.mood.status, found.mood.to_json(), self._fresh_until_ms(found))
        starts_ms = self.overrides.next_start_ms(*scope, now_ms)
        if starts_ms < found.answer.fresh_until_ms:
            return replace(found.answer, fresh_until_ms=starts_ms)
        return found.answer

    def _fresh_until_ms(self, found: Published) -> float:
        """Return the time until which a client may act on a mood: `valid_until`, or when it becomes stale if earlier.

        Event time of live cameras is wall-clock time. Recorded footage has event times of its own, so its mood stays
        valid for as long after its publication as a live mood after the end of its window.
        """
        mood = found.mood
        recorded = all(self.cameras.get(camera, {}).get("recorded") for camera in mood.cameras)
        ahead_ms = found.at_ms - mood.as_of_ms if mood.cameras and recorded else 0
        return min(mood.valid_until_ms + ahead_ms, found.at_ms + self._stale_after_ms)


def _overridden(scope: Scope, found: Published | None, override: Override) -> Answer:
    if found is None:
        blank = no_mood_yet(scope) | {"status": "overridden", "override": override.note()}
        return Answer.of("overridden", json.dumps(blank, separators=(",", ":"), ensure_ascii=False))
    if found.overridden is None or found.overridden[0] != override:
        text = found.mood.overridden(override.note()).to_json()
        found.overridden = override, Answer.of("overridden", text)
    return found.overridden[1]


def no_mood_yet(scope: Scope) -> dict[str, Any]:
    """Return the answer before the first mood: the usual shape, with status `stale` and null for every figure."""
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


def camera_answers(table: CameraTable, *, sources: bool) -> list[dict[str, Any]]:
    """Return the table of cameras as `GET /cameras` shows it, sorted by name.

    Args:
        table: State and counters of each camera.
        sources: Whether the client may know where frames come from.
    """
    return [_camera_answer(camera_id, known, sources) for camera_id, known in sorted(table.items())]


def _camera_answer(camera_id: str, known: dict[str, Any], sources: bool) -> dict[str, Any]:
    # An aggregator of another version may write fewer fields. Ingest removes credentials; this is a second safeguard.
    return {
        "id": camera_id,
        "state": known["state"],
        "since": _time(known.get("since_ms")),
        "source": redact(known.get("source", "")) if sources else None,
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
