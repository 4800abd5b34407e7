"""Runs recorded footage through the whole pipeline and tells what came out."""

import contextlib
import re
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from crowdmood import LABELS
from crowdmood.errors import CrowdMoodError, SettingsError
from crowdmood.mood import Mood
from crowdmood.settings import CameraSettings, Settings
from crowdmood.streams.moods import CameraTable, MoodStore
from crowdmood.supervisor import PIPELINE, servers_for, supervised
from crowdmood.worker import required_url

_POLL_S = 0.2


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
        moods: The stadium's moods, oldest first.
        incomplete: Whether some footage broke off before its end.
    """

    frames: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    faces: int = 0
    seconds: float = 0.0
    moods: list[Mood] = field(default_factory=list)
    incomplete: bool = False


def footage_cameras(footage: Sequence[Path]) -> tuple[CameraSettings, ...]:
    """A camera for each piece of footage, named after its file; equal names are numbered.

    Raises:
        SettingsError: A file does not exist, or there is none.
    """
    if not footage:
        raise SettingsError("no footage given: name video files or folders of images")
    cameras: list[CameraSettings] = []
    for path in footage:
        if not path.exists():
            raise SettingsError(f"{path}: no such file or folder")
        base = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_")[:56] or "footage"
        taken = {camera.id for camera in cameras}
        names = (base if number == 1 else f"{base}-{number}" for number in range(1, len(footage) + 2))
        cameras.append(
            CameraSettings.model_validate({"id": next(n for n in names if n not in taken), "uri": str(path)})
        )
    return tuple(cameras)


def replay(
    settings: Settings,
    stop: threading.Event,
    *,
    moods_file: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_ready: Callable[[Replay], None] | None = None,
) -> Replay:
    """Run the settings' cameras, all recorded, to their end.

    Args:
        settings: Cameras and everything else; embedded servers start where no address is set.
        stop: Set to give up early.
        moods_file: Gets every mood as a JSON line; appears when the replay is complete.
        on_progress: Told a few times a second how far it is.
        on_ready: Called at the end with the result while the API goes on serving until `stop` is set; None serves
            no API at all.

    Raises:
        CrowdMoodError: The footage cannot be read, a stage cannot work, or it was stopped early.
    """
    with contextlib.ExitStack() as stack:
        if settings.bus_url is None or settings.state_url is None:
            # What an earlier replay left must not mix with this one.
            fresh = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crowdmood-")))
            settings = settings.model_copy(update={"data_dir": fresh})
        settings = settings.model_copy(update={"run_id": f"replay-{uuid.uuid4().hex[:12]}"})
        settings = stack.enter_context(servers_for(settings))
        store = MoodStore(required_url(settings.state_url, "state"), settings.bus.key_prefix, stop)
        stack.callback(store.close)
        out = stack.enter_context(_complete_file(moods_file)) if moods_file else None
        supervisor = stack.enter_context(supervised(settings, serve=on_ready is not None))
        watch = _Watch(settings, store, out)
        while not watch.look():
            supervisor.check()
            on_progress(watch.progress)
            if stop.wait(_POLL_S):
                raise CrowdMoodError("stopped before the footage's end")
        on_progress(watch.progress)
        while not supervisor.finished("ingest"):
            # It ends with an error when footage broke in the middle.
            supervisor.check()
            time.sleep(_POLL_S / 10)
        watch.result.incomplete = supervisor.incomplete()
        supervisor.stop([stage for stage in PIPELINE if stage != "api"])
        if on_ready is not None:
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
        self._position = store.newest_position()
        self._started: float | None = None

    def look(self) -> bool:
        """Read what is new; True when the run is complete."""
        # Moods come with the table that completes them: read the other way round, the last ones could be missed.
        table = {name: row for name, row in self._store.cameras().items() if self._ours(name, row)}
        self._read_moods()
        self._count(table)
        return table.keys() == self._cameras and all(_complete(row) for row in table.values())

    def _ours(self, name: str, row: dict[str, object]) -> bool:
        return name in self._cameras and row["run_id"] == self._run_id

    def _read_moods(self) -> None:
        while True:
            self._position, entries = self._store.since(self._position)
            if not entries:
                return
            for run_id, mood in entries:
                if run_id != self._run_id:
                    continue
                if self._out is not None:
                    self._out.write(mood.to_json() + "\n")
                if mood.camera is None:
                    self.result.moods.append(mood)
                    self.progress.mood = mood

    def _count(self, table: CameraTable) -> None:
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


def minutes(moods: Sequence[Mood]) -> Iterator[tuple[int, int, dict[str, float]]]:
    """The mood of each minute of event time: (minute, moods in it that have shares, their mean shares)."""
    by_minute: dict[int, list[dict[str, float]]] = {}
    for mood in moods:
        # A window that ends on the minute belongs to the minute that it closes.
        shares = by_minute.setdefault((mood.as_of_ms - 1) // 60_000, [])
        if mood.shares is not None:
            shares.append(mood.shares)
    for minute, shares in sorted(by_minute.items()):
        means = {label: sum(s[label] for s in shares) / len(shares) for label in LABELS} if shares else {}
        yield minute, len(shares), means
