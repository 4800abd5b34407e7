"""The result of a replay in the order of a report. Pure: no files, no clock."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Self

from app.replay import Replay
from crowdmood.core.settings import STADIUM, Settings
from crowdmood.domain.mood import Mood, MoodChange


@dataclass(frozen=True, slots=True)
class Scope:
    """The stadium, a zone or a camera: what a mood describes.

    Attributes:
        zone: Name of the zone; `stadium` holds every camera.
        camera: Id of the camera; None for the whole zone.
    """

    zone: str
    camera: str | None = None

    @property
    def name(self) -> str:
        """Name of the scope for people."""
        if self.camera is not None:
            return f"camera {self.camera}"
        return "the whole stadium" if self.zone == STADIUM else f"zone {self.zone}"


WHOLE_STADIUM = Scope(STADIUM)


@dataclass(frozen=True, slots=True)
class StatePeriod:
    """A period of event time in which a camera was in one state.

    Attributes:
        state: State as published in moods: `live`, `idle`, `ended`, …
        start_ms: Start in milliseconds, inclusive.
        end_ms: End in milliseconds, exclusive.
    """

    state: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class CameraSummary:
    """The frames and states of one camera.

    Attributes:
        camera: Id of the camera.
        footage: Name of its file or folder, without the parent folders.
        frames: Frames counted.
        faces: Faces classified.
        late: Frames that arrived too late to be counted.
        lost: Frames lost, by reason.
        detail: How its footage ended; empty if it ended normally.
        periods: Its states, oldest first, without gaps.
    """

    camera: str
    footage: str
    frames: int
    faces: int
    late: int
    lost: dict[str, int]
    detail: str
    periods: tuple[StatePeriod, ...]

    def seconds(self, state: str) -> float:
        """Return the event time in a state, in seconds."""
        return sum(s.end_ms - s.start_ms for s in self.periods if s.state == state) / 1000


@dataclass(frozen=True, slots=True)
class Timeline:
    """Content of a report.

    Attributes:
        moods: Moods of each scope, oldest first: the stadium, then zones, then cameras.
        changes: Changes of every zone, oldest first.
        cameras: Frames and states of each camera, sorted by id.
        complete: Whether all footage was read to its end.
        window_ms: Length of a window, in milliseconds.
        hop_ms: Event time between the ends of two windows, in milliseconds.
        min_faces: Number of readable people below which only the status is published.
    """

    moods: dict[Scope, list[Mood]]
    changes: list[MoodChange]
    cameras: list[CameraSummary]
    complete: bool
    window_ms: int
    hop_ms: int
    min_faces: int

    @classmethod
    def of(cls, result: Replay, settings: Settings) -> Self:
        """Return the timeline of a replay with these settings."""
        moods: dict[Scope, list[Mood]] = {WHOLE_STADIUM: []}
        for mood in result.moods:
            moods.setdefault(Scope(mood.zone, mood.camera), []).append(mood)
        hop_ms = round(settings.aggregator.hop_s * 1000)
        paths = {camera.id: Path(camera.uri.get_secret_value()) for camera in settings.cameras}
        return cls(
            moods=dict(sorted(moods.items(), key=_stadium_first)),
            changes=sorted(result.changes, key=lambda change: (change.as_of_ms, change.zone)),
            cameras=[
                CameraSummary(
                    camera=camera,
                    footage=paths[camera].name,
                    frames=row["frames"],
                    faces=row["faces"],
                    late=row["late"],
                    lost=dict(sorted(row["lost"].items())),
                    # Paths are removed: they are private, and they differ between machines.
                    detail=row["detail"].replace(str(paths[camera]), paths[camera].name),
                    periods=_periods(camera, row["last_frame_at_ms"], moods[WHOLE_STADIUM], hop_ms),
                )
                for camera, row in sorted(result.cameras.items())
            ],
            complete=not (result.incomplete or result.interrupted),
            window_ms=round(settings.aggregator.window_s * 1000),
            hop_ms=hop_ms,
            min_faces=settings.aggregator.min_faces,
        )

    @property
    def stadium(self) -> list[Mood]:
        """Moods of the stadium, oldest first."""
        return self.moods[WHOLE_STADIUM]

    @property
    def start_ms(self) -> int:
        """Start of the first hop, in milliseconds of event time; 0 without moods."""
        return self.stadium[0].as_of_ms - self.hop_ms if self.stadium else 0

    @property
    def end_ms(self) -> int:
        """End of the last window, in milliseconds of event time; 0 without moods."""
        return self.stadium[-1].as_of_ms if self.stadium else 0

    def changes_of(self, scope: Scope) -> list[MoodChange]:
        """Return the changes of a zone. A single camera has none."""
        return [change for change in self.changes if scope == Scope(change.zone)]

    def distinct(self, field: str) -> list[str]:
        """Return the sorted values of `method`, `model` or `detector` in the stadium's moods."""
        return sorted({name for mood in self.stadium if (name := getattr(mood, field)) is not None})

    def windows(self) -> dict[str, int]:
        """Return the number of the stadium's windows by status."""
        return dict(sorted(Counter(mood.status for mood in self.stadium).items()))

    def people(self) -> float | None:
        """Return the median of the people seen in the stadium's windows, or None if all of them withhold it."""
        return _median(mood.people for mood in self.stadium)

    def readable(self) -> float | None:
        """Return the median of the readable people in the stadium's windows, or None if all of them withhold it."""
        return _median(mood.readable for mood in self.stadium)

    def lost(self) -> dict[str, int]:
        """Return the frames lost by all cameras, by reason."""
        return dict(sorted(sum((Counter(camera.lost) for camera in self.cameras), Counter()).items()))


def _median(counts: Iterable[int | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return median(known) if known else None


def _stadium_first(item: tuple[Scope, list[Mood]]) -> tuple[bool, bool, str, str]:
    scope = item[0]
    return scope.camera is not None, scope.zone != STADIUM, scope.zone, scope.camera or ""


def _periods(camera: str, last_frame_ms: int | None, moods: Sequence[Mood], hop_ms: int) -> tuple[StatePeriod, ...]:
    """Return a camera's states, hop by hop of the stadium's windows. Equal states that follow each other are joined."""
    found: list[StatePeriod] = []
    for mood in moods:
        start_ms = mood.as_of_ms - hop_ms
        if found and found[-1].end_ms < start_ms:
            # While no camera has frames, no window ends.
            _extend(found, StatePeriod("idle", found[-1].end_ms, start_ms))
        state = mood.cameras.get(camera, "idle")
        if state == "ended" and last_frame_ms is not None and last_frame_ms >= start_ms:
            state = "live"  # it ended within this hop
        _extend(found, StatePeriod(state, start_ms, mood.as_of_ms))
    return tuple(found)


def _extend(found: list[StatePeriod], new: StatePeriod) -> None:
    if found and found[-1].state == new.state:
        new = replace(new, start_ms=found.pop().start_ms)
    found.append(new)
