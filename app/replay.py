"""Run recorded footage through the whole pipeline and return its moods."""

import contextlib
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO, TypeVar

from app.stages import STAGES
from app.supervisor import servers_for, supervised
from crowdmood.core.errors import CrowdMoodError, SettingsError
from crowdmood.core.settings import STADIUM, Settings, required_url
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange, Shares
from crowdmood.store.moods import CameraTable, MoodStore

T = TypeVar("T")

_POLL_S = 0.2

LOW_FIT: Final = 0.5
"""A fit below this value is reported to operators."""

LOW_FIT_NOTE: Final = (
    "This crowd is unlike the crowds that the network was calibrated on: "
    "its shares are corrected less, and their intervals are wider."
)


@dataclass(slots=True)
class Progress:
    """Progress of a replay.

    Attributes:
        accounted: Frames counted or lost so far.
        expected: Frames of the footage; 0 while the number is not known.
        faces: Faces classified so far.
        mood: Newest mood of the stadium; None before the first one.
    """

    accounted: int = 0
    expected: int = 0
    faces: int = 0
    mood: Mood | None = None


@dataclass(slots=True)
class Replay:
    """Result of a replay.

    Attributes:
        frames: Frames counted.
        lost: Frames lost, by reason.
        faces: Faces classified.
        seconds: Wall-clock seconds from the first counted frame to the end.
        moods: All moods, oldest first. For each window: the stadium's, then those of zones, then those of cameras.
        changes: All changes, oldest first.
        cameras: Counters of each camera's frames.
        incomplete: Whether some footage breaks off before its end.
        interrupted: Whether the replay was stopped before the end of the footage.
    """

    frames: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    faces: int = 0
    seconds: float = 0.0
    moods: list[Mood] = field(default_factory=list)
    changes: list[MoodChange] = field(default_factory=list)
    cameras: CameraTable = field(default_factory=dict)
    incomplete: bool = False
    interrupted: bool = False


def replay(
    settings: Settings,
    stop: threading.Event,
    *,
    moods_file: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_ready: Callable[[Replay], None] | None = None,
) -> Replay:
    """Replay the footage of the settings' cameras to its end, or until `stop` is set.

    When it is stopped early, the frames that were read are still processed, and their moods are returned.

    Args:
        settings: All settings; every camera must be recorded. Embedded servers start in place of servers without a URL.
        stop: Set to stop early.
        moods_file: File for all moods, one JSON object per line. It appears under its name at the end of the replay.
        on_progress: Called a few times per second.
        on_ready: Called with the result at the end of the footage; the API then serves until `stop` is set. None: no
            API is started.

    Raises:
        CrowdMoodError: The footage cannot be read, a stage cannot work, or it was stopped before the first mood.
    """
    with contextlib.ExitStack() as stack:
        if settings.bus_url is None or settings.state_url is None:
            # Moods of earlier replays must not mix with those of this one.
            fresh = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crowdmood-")))
            settings = settings.model_copy(update={"data_dir": fresh})
        settings = settings.model_copy(update={"run_id": f"replay-{uuid.uuid4().hex[:12]}"})
        settings, keeper = stack.enter_context(servers_for(settings))
        store = MoodStore(required_url(settings.state_url, "state"), settings.bus.key_prefix, stop)
        stack.callback(store.close)
        out = stack.enter_context(_complete_file(moods_file)) if moods_file else None
        supervisor = stack.enter_context(supervised(settings, serve=on_ready is not None, keeper=keeper))
        follower = _Follower(settings, store, out)
        while not follower.poll():
            supervisor.check()
            on_progress(follower.progress)
            if stop.wait(_POLL_S):
                follower.result.interrupted = True
                break
        on_progress(follower.progress)
        while not (follower.result.interrupted or supervisor.finished("ingest")):
            # Ingest ends with an error when footage breaks off.
            supervisor.check()
            time.sleep(_POLL_S / 10)
        follower.result.incomplete = supervisor.incomplete()
        supervisor.stop([stage for stage in STAGES if stage != "api"])
        if follower.result.interrupted:
            follower.poll()  # moods of frames that the stages processed while they stopped
            if not follower.result.moods:
                raise CrowdMoodError("stopped before the first mood: there is no result")
        elif on_ready is not None:
            on_ready(follower.result)
            while not stop.wait(_POLL_S):
                supervisor.check()
        return follower.result


class _Follower:
    """Reader of a run's moods and changes in the state store, until all frames of its footage are accounted for."""

    def __init__(self, settings: Settings, store: MoodStore, out: TextIO | None) -> None:
        self.progress = Progress()
        self.result = Replay()
        self._cameras = {camera.id for camera in settings.cameras}
        self._run_id = settings.run_id
        self._store = store
        self._out = out
        self._moods_until = store.newest_position()
        self._changes_until = store.newest_change_position()
        self._started: float | None = None

    def poll(self) -> bool:
        """Read what is new, and return whether the run is complete."""
        # The table is read first: the aggregator writes the last moods and changes together with the complete table.
        table = {name: row for name, row in self._store.cameras().items() if self._ours(name, row)}
        self._moods_until, moods = self._ours_since(self._store.since, self._moods_until)
        self._changes_until, changes = self._ours_since(self._store.changes_since, self._changes_until)
        self._add_moods(moods)
        self.result.changes += changes
        self._count(table)
        return table.keys() == self._cameras and all(_complete(row) for row in table.values())

    def _ours(self, name: str, row: dict[str, object]) -> bool:
        return name in self._cameras and row["run_id"] == self._run_id

    def _ours_since(
        self, since: Callable[[bytes], tuple[bytes, list[tuple[str, T]]]], position: bytes
    ) -> tuple[bytes, list[T]]:
        """Return the next position, and what this run published since `position`."""
        found: list[T] = []
        while True:
            position, entries = since(position)
            if not entries:
                return position, found
            found += [item for run_id, item in entries if run_id == self._run_id]

    def _add_moods(self, moods: Iterable[Mood]) -> None:
        for mood in moods:
            if self._out is not None:
                self._out.write(mood.to_json() + "\n")
            self.result.moods.append(mood)
            if of_stadium(mood):
                self.progress.mood = mood

    def _count(self, table: CameraTable) -> None:
        self.result.cameras = table
        lost: dict[str, int] = {}
        for row in table.values():
            for reason, count in row["lost"].items():
                lost[reason] = lost.get(reason, 0) + count
        self.result.frames = sum(row["frames"] for row in table.values())
        self.result.faces = self.progress.faces = sum(row["faces"] for row in table.values())
        self.result.lost = lost
        self.progress.accounted = sum(_accounted(row) for row in table.values())
        self.progress.expected = sum(row["frame_count"] for row in table.values())
        if self._started is None and self.result.frames:
            self._started = time.monotonic()
        self.result.seconds = time.monotonic() - (self._started or time.monotonic())


def _accounted(row: dict[str, object]) -> int:
    lost = row["lost"]
    assert isinstance(lost, dict) and isinstance(row["frames"], int) and isinstance(row["late"], int)
    return row["frames"] + row["late"] + int(sum(lost.values()))


def _complete(row: dict[str, object]) -> bool:
    return row["state"] == "ended" and _accounted(row) == row["frame_count"]


@contextlib.contextmanager
def _complete_file(path: Path) -> Iterator[TextIO]:
    """Open a text file that appears under its name only when everything is written.

    Raises:
        SettingsError: It cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as out:
            yield out
        part.replace(path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def of_stadium(mood: Mood) -> bool:
    """Return whether a mood is the whole stadium's, not that of a zone or a camera."""
    return mood.zone == STADIUM and mood.camera is None


def minutes(moods: Iterable[Mood]) -> Iterator[tuple[int, int, Shares]]:
    """Yield the mean mood of the stadium for each minute of event time.

    Yields:
        The minute (from 0), the number of its moods that have shares, and their mean shares. The shares are empty if no
        mood has any, and None for a label that the network of one of the moods does not know.
    """
    by_minute: dict[int, list[Shares]] = {}
    for mood in filter(of_stadium, moods):
        # A window that ends on the minute belongs to the minute that it closes.
        shares = by_minute.setdefault((mood.as_of_ms - 1) // 60_000, [])
        if mood.shares is not None:
            shares.append(mood.shares)
    for minute, shares in sorted(by_minute.items()):
        means: Shares = {label: _mean([one[label] for one in shares]) for label in LABELS} if shares else {}
        yield minute, len(shares), means


def low_fits(moods: Iterable[Mood]) -> tuple[int, int]:
    """Return how many of the stadium's moods have a fit below `LOW_FIT`, and how many have a fit."""
    fits = [mood.fit for mood in moods if of_stadium(mood) and mood.fit is not None]
    return sum(fit < LOW_FIT for fit in fits), len(fits)


def leading_label(shares: Shares) -> str | None:
    """Return the label with the largest share, or None when no share is known."""
    known = {label: share for label, share in shares.items() if share is not None}
    return max(known, key=lambda label: known[label], default=None)


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if len(known) == len(shares) else None
