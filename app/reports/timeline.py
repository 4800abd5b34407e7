"""What a replay came to, in the order in which a report tells it. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Self

from app.replay import LOW_FIT, Replay
from crowdmood.core.settings import STADIUM, Settings
from crowdmood.domain.mood import Mood, MoodChange


@dataclass(frozen=True, slots=True)
class Scope:
    """A crowd that has moods of its own.

    Attributes:
        zone: The named set of cameras.
        camera: The one camera; None for the whole zone.
    """

    zone: str
    camera: str | None = None

    @property
    def name(self) -> str:
        """How people call it."""
        if self.camera is not None:
            return f"camera {self.camera}"
        return "the whole stadium" if self.zone == STADIUM else f"zone {self.zone}"


WHOLE_STADIUM = Scope(STADIUM)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Event time in which a camera was in one state.

    Attributes:
        state: As moods tell it: `live`, `idle`, `ended`, …
        start_ms: Its beginning, inclusive.
        end_ms: Its end, exclusive.
    """

    state: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What one camera contributed.

    Attributes:
        camera: Its id.
        footage: Name of its file or folder, without the folders that hold it.
        frames: Frames counted.
        faces: Faces judged.
        late: Frames that came too late to be counted.
        lost: Frames lost, by reason.
        detail: What it said of its end, where there is something to say.
        stretches: Its states, oldest first, without gaps.
    """

    camera: str
    footage: str
    frames: int
    faces: int
    late: int
    lost: dict[str, int]
    detail: str
    stretches: tuple[Stretch, ...]

    def seconds(self, state: str) -> float:
        """Event time in a state, in seconds."""
        return sum(s.end_ms - s.start_ms for s in self.stretches if s.state == state) / 1000


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that a report tells.

    Attributes:
        moods: Moods of each scope, oldest first: the stadium, then zones, then cameras.
        changes: Changes of every zone, oldest first.
        coverage: What each camera contributed, by its id.
        complete: Whether all footage was read to its end.
        window_ms: Length of a window, in milliseconds.
        hop_ms: Event time between two windows' ends, in milliseconds.
        min_faces: Readable people below which nothing but the status is published.
    """

    moods: dict[Scope, list[Mood]]
    changes: list[MoodChange]
    coverage: list[Coverage]
    complete: bool
    window_ms: int
    hop_ms: int
    min_faces: int

    @classmethod
    def of(cls, result: Replay, settings: Settings) -> Self:
        """The timeline of a replay with these settings."""
        moods: dict[Scope, list[Mood]] = {WHOLE_STADIUM: []}
        for mood in result.moods:
            moods.setdefault(Scope(mood.zone, mood.camera), []).append(mood)
        hop_ms = round(settings.aggregator.hop_s * 1000)
        paths = {camera.id: Path(camera.uri.get_secret_value()) for camera in settings.cameras}
        return cls(
            moods=dict(sorted(moods.items(), key=_stadium_first)),
            changes=sorted(result.changes, key=lambda change: (change.as_of_ms, change.zone)),
            coverage=[
                Coverage(
                    camera=camera,
                    footage=paths[camera].name,
                    frames=row["frames"],
                    faces=row["faces"],
                    late=row["late"],
                    lost=dict(sorted(row["lost"].items())),
                    # Where the footage lies is nobody's business, and differs from machine to machine.
                    detail=row["detail"].replace(str(paths[camera]), paths[camera].name),
                    stretches=_stretches(camera, row["last_frame_at_ms"], moods[WHOLE_STADIUM], hop_ms),
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
        """The stadium's moods, oldest first."""
        return self.moods[WHOLE_STADIUM]

    @property
    def start_ms(self) -> int:
        """Event time at which the first hop begins, in milliseconds; 0 without any mood."""
        return self.stadium[0].as_of_ms - self.hop_ms if self.stadium else 0

    @property
    def end_ms(self) -> int:
        """End of the last window, in milliseconds; 0 without any mood."""
        return self.stadium[-1].as_of_ms if self.stadium else 0

    def changes_of(self, scope: Scope) -> list[MoodChange]:
        """Changes of a zone; a single camera has none."""
        return [change for change in self.changes if scope == Scope(change.zone)]

    def named(self, field: str) -> list[str]:
        """Every `method`, `model` or `detector` that occurs in the stadium's moods."""
        return sorted({name for mood in self.stadium if (name := getattr(mood, field)) is not None})

    def windows(self) -> dict[str, int]:
        """How many of the stadium's windows have each status."""
        return dict(sorted(Counter(mood.status for mood in self.stadium).items()))

    def people(self) -> float | None:
        """Return the median of the people seen in the stadium's windows; None when all of them withhold it."""
        return _median(mood.people for mood in self.stadium)

    def readable(self) -> float | None:
        """Return the median of the people counted in the stadium's windows; None when all of them withhold it."""
        return _median(mood.readable for mood in self.stadium)

    def low_fits(self) -> tuple[int, int]:
        """Return how many of the stadium's windows have a low fit, and how many have one at all."""
        fits = [mood.fit for mood in self.stadium if mood.fit is not None]
        return sum(fit < LOW_FIT for fit in fits), len(fits)

    def lost(self) -> dict[str, int]:
        """Frames lost by all cameras, by reason."""
        return dict(sorted(sum((Counter(camera.lost) for camera in self.coverage), Counter()).items()))


def _median(counts: Iterable[int | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return median(known) if known else None


def _stadium_first(item: tuple[Scope, list[Mood]]) -> tuple[bool, bool, str, str]:
    scope = item[0]
    return scope.camera is not None, scope.zone != STADIUM, scope.zone, scope.camera or ""


def _stretches(camera: str, last_frame_ms: int | None, moods: Sequence[Mood], hop_ms: int) -> tuple[Stretch, ...]:
    """A camera's states in the hops that the stadium's windows end, equal ones in one."""
    found: list[Stretch] = []
    for mood in moods:
        start_ms = mood.as_of_ms - hop_ms
        if found and found[-1].end_ms < start_ms:
            # No window ends where no camera saw anything.
            _extend(found, Stretch("idle", found[-1].end_ms, start_ms))
        state = mood.cameras.get(camera, "idle")
        if state == "ended" and last_frame_ms is not None and last_frame_ms >= start_ms:
            state = "live"  # It ended within this hop.
        _extend(found, Stretch(state, start_ms, mood.as_of_ms))
    return tuple(found)


def _extend(found: list[Stretch], new: Stretch) -> None:
    if found and found[-1].state == new.state:
        new = replace(new, start_ms=found.pop().start_ms)
    found.append(new)
