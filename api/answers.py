"""Which answer is true now: pure, data in and data out, the time is given."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crowdmood import STADIUM
from crowdmood.logs import redact_text
from crowdmood.mood import Mood, to_rfc3339
from crowdmood.streams.moods import START, CameraTable, published_at_ms


@dataclass(frozen=True, slots=True)
class Published:
    """A mood and the wall-clock time of its publication, in milliseconds."""

    mood: Mood
    at_ms: int


class Board:
    """The newest mood of each scope and the table of cameras, as far as the state store has been read.

    Attributes:
        loaded: Whether the state store was ever read: before that no camera can be called unknown.
        position: The newest mood's position in the state store.
        cameras: What is known of each camera.
    """

    def __init__(self, configured: Iterable[str] = ()) -> None:
        """Start empty.

        Args:
            configured: Cameras that exist although the state store may not know them yet.
        """
        self.loaded = False
        self.position = START
        self.cameras: CameraTable = {}
        self._configured = frozenset(configured)
        self._newest: dict[tuple[str, str | None], Published] = {}

    def take(self, position: bytes, mood: Mood | None) -> None:
        """Remember a mood; given in the order of publication. None only moves the position on."""
        self.position = position
        if mood is not None:
            self._newest[mood.zone, mood.camera] = Published(mood, published_at_ms(position))

    def start_over(self, moods: Iterable[tuple[bytes, Mood | None]]) -> None:
        """Forget every mood and remember these instead, oldest first."""
        self.position = START
        self._newest = {}
        for position, mood in moods:
            self.take(position, mood)

    def rewound(self, newest: bytes) -> bool:
        """Whether a state store whose newest mood is at this position lost what we have read from it."""
        return _order(newest) < _order(self.position)

    def knows(self, camera: str) -> bool:
        """Whether such a camera exists, as far as we can tell."""
        known = camera in self.cameras or camera in self._configured or (STADIUM, camera) in self._newest
        return known or not self.loaded

    def current(self, camera: str | None, now_ms: float, stale_after_s: float) -> Mood | None:
        """The mood to answer now, or None when there is none yet.

        Args:
            camera: One camera; None for the whole stadium.
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
            stale_after_s: Age in seconds from which a mood is stale, unless its footage has ended.
        """
        found = self._newest.get((STADIUM, camera))
        if found is None:
            return None
        too_old = now_ms - found.at_ms > stale_after_s * 1000
        return found.mood.as_stale() if too_old and not found.mood.ended() else found.mood


def no_mood_yet(camera: str | None) -> dict[str, Any]:
    """The answer before the first mood: the one shape, nothing known, and a status that nobody acts on."""
    blank = Mood.blank(
        as_of_ms=0,
        window_start_ms=0,
        valid_until_ms=0,
        status="stale",
        zone=STADIUM,
        camera=camera,
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


def _order(position: bytes) -> tuple[int, int]:
    ms, _, sequence = position.partition(b"-")
    return int(ms), int(sequence or 0)
