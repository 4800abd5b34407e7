"""Simulate a match into a folder: an H.264 video for each camera, and the truth."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import av
import cv2

from crowdmood.core.errors import DataError, SettingsError
from simulator.bank import load_bank
from simulator.script import check_script, default_script, load_script
from simulator.stand import Stand
from simulator.truth import TRUTH_FILE, CameraTruth, Truth, camera_moment, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from simulator.script import MatchEvent
    from simulator.truth import CameraMoment, Moment

_MAX_CAMERAS: Final = 64
_MAX_MINUTES: Final = 240.0
_MAX_FPS: Final = 60
_SIZES_PX: Final = (160, 4096)
# Without mbtree: on processors with AVX-512 it writes a different file each time, for some widths (x264 165).
_VIDEO_OPTIONS: Final = {"preset": "veryfast", "crf": "28", "x264-params": "mbtree=0"}
_KEY_FRAME_EVERY_S: Final = 2


@dataclass(frozen=True, slots=True)
class Match:
    """The options of a simulated match.

    Attributes:
        minutes: Length of the footage, in minutes.
        cameras: Number of cameras, each with its own stand.
        people: Number of people in the whole stadium.
        fps: Frames per second.
        size: Width and height of the frames, in pixels.
        seed: Seed of everything random; the same seed gives the same frames.
        script: File of the script; None for the default half.
        faces: Folder of faces; None for the shipped bank.
    """

    minutes: float = 3.0
    cameras: int = 2
    people: int = 200
    fps: int = 10
    size: tuple[int, int] = (1280, 720)
    seed: int = 1
    script: Path | None = None
    faces: Path | None = None

    @property
    def frames(self) -> int:
        """Number of frames of each camera."""
        return round(self.minutes * 60 * self.fps)

    @property
    def camera_ids(self) -> tuple[str, ...]:
        """Ids of the cameras, which are also the names of their zones and videos."""
        return tuple(f"stand-{number + 1}" for number in range(self.cameras))


def simulate(match: Match, out: Path, on_frame: Callable[[], None] = lambda: None) -> Truth:
    """Render a match into a new folder. The folder appears when its content is complete.

    Args:
        match: The options.
        out: The folder; must not exist, or must be empty.
        on_frame: Called after each frame of each camera.

    Returns:
        The content of the truth file.

    Raises:
        SettingsError: An option is impossible (no camera, more people than seats, an odd size), or the folder exists.
        DataError: The script or the faces cannot be used, or the folder cannot be written.
    """
    _check(match)
    duration_s = match.frames / match.fps
    script = default_script(duration_s) if match.script is None else load_script(match.script)
    check_script(script, duration_s, match.camera_ids)
    stands = _stands(match, script, duration_s)
    with _new_folder(out) as folder:
        seconds = _render(match, stands, folder, on_frame)
        truth = Truth(
            seed=match.seed,
            fps=match.fps,
            width=match.size[0],
            height=match.size[1],
            duration_s=duration_s,
            cameras=tuple(
                CameraTruth(id=name, zone=name, video=f"{name}.mp4", people=len(stand.people))
                for name, stand in stands.items()
            ),
            events=script,
            seconds=seconds,
        )
        (folder / TRUTH_FILE).write_text(truth.model_dump_json() + "\n", encoding="utf-8")
    return truth


def _stands(match: Match, script: tuple[MatchEvent, ...], duration_s: float) -> dict[str, Stand]:
    bank = load_bank(match.faces)
    stands: dict[str, Stand] = {}
    first = 0
    for number, name in enumerate(match.camera_ids):
        people = match.people // match.cameras + (number < match.people % match.cameras)
        stands[name] = Stand(name, match.size, people, first, script, duration_s, bank, (match.seed, number))
        first += people
    return stands


def _render(match: Match, stands: dict[str, Stand], folder: Path, on_frame: Callable[[], None]) -> tuple[Moment, ...]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # more threads are not faster here, and take cores from other processes
    zones = {name: name for name in stands}
    seconds = []
    try:
        with ExitStack() as files:
            writers = {
                name: files.enter_context(_video_writer(folder / f"{name}.mp4", match.size, match.fps))
                for name in stands
            }
            for frame in range(match.frames):
                at_s = frame / match.fps
                seen: dict[str, CameraMoment] = {}
                for name, stand in stands.items():
                    writers[name](stand.render(frame, at_s))
                    if frame % match.fps == 0:
                        seen[name] = camera_moment(stand.visible_people(at_s))
                    on_frame()
                if seen:
                    seconds.append(moment(frame // match.fps, seen, zones))
    finally:
        cv2.setNumThreads(threads)
    return tuple(seconds)


def _check(match: Match) -> None:
    if not 1 <= match.cameras <= _MAX_CAMERAS:
        raise SettingsError(f"--cameras is {match.cameras}; give 1 to {_MAX_CAMERAS}")
    if not 0 < match.minutes <= _MAX_MINUTES:
        raise SettingsError(f"--minutes is {match.minutes:g}; give more than 0 and at most {_MAX_MINUTES:g}")
    if not 1 <= match.fps <= _MAX_FPS:
        raise SettingsError(f"--fps is {match.fps}; give 1 to {_MAX_FPS}")
    if match.people < match.cameras:
        raise SettingsError(f"--people is {match.people}; give at least one for each of {match.cameras} cameras")
    if match.seed < 0:
        raise SettingsError(f"--seed is {match.seed}; give 0 or more")
    if match.frames < 1:
        raise SettingsError(f"--minutes {match.minutes:g} at {match.fps} frames per second is not a single frame")
    width, height = match.size
    low, high = _SIZES_PX
    if width % 2 or height % 2 or not low <= min(width, height) <= max(width, height) <= high:
        raise SettingsError(f"--size is {width}x{height}; give even numbers from {low} to {high}, as in 1280x720")


@contextmanager
def _video_writer(path: Path, size: tuple[int, int], fps: int) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Open an H.264 file, and yield a function that appends a frame `(H, W, 3) uint8`, BGR."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options=_VIDEO_OPTIONS)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # the same file on every machine
        stream.gop_size = fps * _KEY_FRAME_EVERY_S

        def write(image: NDArray[np.uint8]) -> None:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))

        yield write
        container.mux(stream.encode())


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder, which is renamed to `out` at the end, or removed after a failure or an interruption."""
    target = out.absolute()
    partial = target.parent / f".{target.name}.partial-{os.getpid()}"
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise SettingsError(f"{out}: already exists; give another folder or remove it")
        partial.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); give another folder") from error
    try:
        yield partial
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror or error}); give another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
