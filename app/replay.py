"""Runs recorded footage through the whole pipeline and tells what came out."""

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
"""A mood of a lower fit is pointed out to operators."""


@dataclass(slots=True)
class Progress:
    """How far a replay is.

    Attributes:
        accounted: Frames counted or lost so far.
        expected: Frames that the footage has; 0 while nobody knows.
        faces: Faces judged so far.
        mood: The stadium's newest mood.
    """

    accounted: int = 0
    expected: int = 0
    faces: int = 0
    mood: Mood | None = None


@dataclass(slots=True)
class Replay:
    """What a replay came to.

    Attributes:
        frames: Frames counted.
        lost: Frames lost, by reason.
        faces: Faces judged.
        seconds: Wall-clock seconds from the first frame's count to the end.
        moods: Every mood, oldest first: of each window the stadium's, then zones' and cameras'.
        changes: Every change of a mood, oldest first.
        cameras: What became of each camera's frames.
        incomplete: Whether some footage broke off before its end.
        interrupted: Whether the replay was stopped before the footage's end.
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
    """Run the settings' cameras, all recorded, to their end, or until `stop` is set.

    A replay that is stopped early keeps what it has: frames that were read are finished, and their moods returned.

    Args:
        settings: Cameras and everything else; embedded servers start where no address is set.
        stop: Set to stop early.
        moods_file: Gets every mood as a JSON line; appears at the end of the replay.
        on_progress: Told a few times a second how far it is.
        on_ready: Called at the end with the result while the API goes on serving until `stop` is set; None serves
            no API at all.

    Raises:
        CrowdMoodError: The footage cannot be read, a stage cannot work, or it was stopped before the first mood.
    """
    with contextlib.ExitStack() as stack:
        if settings.bus_url is None or settings.state_url is None:
            # What an earlier replay left must not mix with this one.
            fresh = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crowdmood-")))
            settings = settings.model_copy(update={"data_dir": fresh})
        settings = settings.model_copy(update={"run_id": f"replay-{uuid.uuid4().hex[:12]}"})
        settings, keeper = stack.enter_context(servers_for(settings))
        store = MoodStore(required_url(settings.state_url, "state"), settings.bus.key_prefix, stop)
        stack.callback(store.close)
        out = stack.enter_context(_complete_file(moods_file)) if moods_file else None
        supervisor = stack.enter_context(supervised(settings, serve=on_ready is not None, keeper=keeper))
        watch = _Watch(settings, store, out)
        while not watch.look():
            supervisor.check()
            on_progress(watch.progress)
            if stop.wait(_POLL_S):
                watch.result.interrupted = True
                break
        on_progress(watch.progress)
        while not (watch.result.interrupted or supervisor.finished("ingest")):
            # It ends with an error when footage broke in the middle.
            supervisor.check()
            time.sleep(_POLL_S / 10)
        watch.result.incomplete = supervisor.incomplete()
        supervisor.stop([stage for stage in STAGES if stage != "api"])
        if watch.result.interrupted:
            watch.look()  # for the moods of the frames that the stages finished while they stopped
            if not watch.result.moods:
                raise CrowdMoodError("stopped before the first mood: nothing to keep")
        elif on_ready is not None:
            on_ready(watch.result)
            while not stop.wait(_POLL_S):
                supervisor.check()
        return watch.result


class _Watch:
    """Follows a run in the state store until all its footage is accounted for."""

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

    def look(self) -> bool:
        """Read what is new; True when the run is complete."""
        # Moods and changes come with the table that completes them: read before it, the last ones could be missed.
        table = {name: row for name, row in self._store.cameras().items() if self._ours(name, row)}
        self._moods_until, moods = self._ours_since(self._store.since, self._moods_until)
        self._changes_until, changes = self._ours_since(self._store.changes_since, self._changes_until)
        self._take(moods)
        self.result.changes += changes
        self._count(table)
        return table.keys() == self._cameras and all(_complete(row) for row in table.values())

    def _ours(self, name: str, row: dict[str, object]) -> bool:
        return name in self._cameras and row["run_id"] == self._run_id

    def _ours_since(
        self, since: Callable[[bytes], tuple[bytes, list[tuple[str, T]]]], position: bytes
    ) -> tuple[bytes, list[T]]:
        """What this run published after a position, and the position after that."""
        found: list[T] = []
        while True:
            position, entries = since(position)
            if not entries:
                return position, found
            found += [item for run_id, item in entries if run_id == self._run_id]

    def _take(self, moods: Iterable[Mood]) -> None:
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
    """A text file that appears under its name only when everything was written.

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
    """Whether it is the whole stadium's, rather than a zone's or a camera's."""
    return mood.zone == STADIUM and mood.camera is None


def minutes(moods: Iterable[Mood]) -> Iterator[tuple[int, int, Shares]]:
    """Yield the stadium's mood of each minute of event time.

    Yields:
        The minute, the number of its moods that have shares, and the means of those shares: empty without any, None
        for a label that one of the moods does not know.
    """
    by_minute: dict[int, list[Shares]] = {}
    for mood in filter(of_stadium, moods):
        # A window that ends on the minute belongs to the minute that it closes.
        shares = by_minute.setdefault((mood.as_of_ms - 1) // 60_000, [])
        if mood.shares is not None:
            shares.append(mood.shares)
    for minute, shares in sorted(by_minute.items()):
        means = {label: _mean([one[label] for one in shares]) for label in LABELS} if shares else {}
        yield minute, len(shares), means


def most_shown(shares: Shares) -> str | None:
    """Return the label with the largest share; None when no share is known."""
    known = {label: share for label, share in shares.items() if share is not None}
    return max(known, key=lambda label: known[label], default=None)


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if len(known) == len(shares) else None
