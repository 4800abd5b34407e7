"""The hobby loop beside CrowdMood with Haar and with YuNet, on the same footage.

The loop is what most tutorials and the earlier programs do: `detectMultiScale(gray, 1.32, 5)`, one `predict` for each
face, the likeliest label, and a mood that is the count of labels.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from cv2.data import haarcascades

from benchmarks.classify import CONV4
from benchmarks.pipeline import replayed
from benchmarks.results import Chart, Figure, Goal, Row, number
from benchmarks.session import configured, pictures
from benchmarks.truth import error, truth_of
from classifier.card import NETWORK_FILE
from crowdmood import LABELS
from crowdmood.footage import footage_cameras
from crowdmood.messages import CROP_SIZE
from crowdmood.replay import of_stadium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from benchmarks.session import Session
    from benchmarks.truth import Shares, TrueShares

_WINDOW_S: Final = 10
_SAMPLE_FPS: Final = 5
_BATCH: Final = 32
_VOTE_EVERY_S: Final = 2
"""Seconds of footage between two frames that the loop's votes are counted of: its network is slow."""

_DENSE: Final = "dense crowd"
_WANTED: Final = {"haar": 10, "yunet": 200}
"""Least faces/s of CrowdMood as a multiple of the loop's."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Footage that everybody is measured on.

    Attributes:
        name: What it is called.
        videos: One for each camera.
        fps: Frames per second of the footage.
        min_face_px: Smallest face that CrowdMood searches; the hobby loop has no such choice.
        true: The truth; None where there is none.
    """

    name: str
    videos: tuple[Path, ...]
    fps: float
    min_face_px: int
    true: TrueShares | None

    @property
    def every(self) -> int:
        """One of how many frames is looked at."""
        return max(1, round(self.fps / _SAMPLE_FPS))

    @classmethod
    def of_match(cls, name: str, folder: Path, min_face_px: int) -> Clip:
        """A simulated match."""
        videos = tuple(sorted(folder.glob("*.mp4")))
        return cls(name, videos, _fps(videos[0]), min_face_px, truth_of(folder))

    @classmethod
    def of_file(cls, video: Path) -> Clip:
        """A clip of somebody's."""
        return cls(video.stem, (video,), _fps(video), 20, truth_of(video))


class HobbyLoop:
    """The loop, with the earlier programs' network."""

    def __init__(self) -> None:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        self._network: Any = keras.saving.load_model(CONV4 / NETWORK_FILE, compile=False)
        self._cascade = cv2.CascadeClassifier(str(Path(haarcascades) / "haarcascade_frontalface_default.xml"))

    def faces(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The faces of a frame: uint8 (N, 48, 48, 1)."""
        gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        found = self._cascade.detectMultiScale(gray, 1.32, 5)
        crops = [cv2.resize(gray[y : y + h, x : x + w], (CROP_SIZE, CROP_SIZE)) for x, y, w, h in found]
        return np.array(crops, np.uint8).reshape(-1, CROP_SIZE, CROP_SIZE, 1)

    def look(self, picture: NDArray[np.uint8]) -> int:
        """Do with a frame what the loop does; returns how many faces it had."""
        faces = self.faces(picture)
        for face in faces:
            np.argmax(self._network.predict(face[None], verbose=0))
        return len(faces)

    def votes(self, picture: NDArray[np.uint8]) -> NDArray[np.int64]:
        """How many faces of a frame show each label, (7,): the loop's votes, faster because of one call for all."""
        faces = self.faces(picture)
        if not len(faces):
            return np.zeros(len(LABELS), np.int64)
        padded = np.concatenate([faces, np.zeros((-len(faces) % _BATCH, *faces.shape[1:]), np.uint8)])
        likeliest = self._network.predict(padded, batch_size=_BATCH, verbose=0)[: len(faces)].argmax(axis=1)
        return np.bincount(likeliest, minlength=len(LABELS))


def measure(session: Session) -> Figure:
    """Measure everybody on every clip."""
    clips = [
        Clip.of_match("match as in make demo", session.match(), 40),
        Clip.of_match(_DENSE, session.dense(), 20),
        *map(Clip.of_file, session.footage),
    ]
    loop = HobbyLoop()
    rows: list[Row] = []
    for clip in clips:
        rows.append(_hobby(loop, clip, session))
        rows += [_crowdmood(clip, kind, rows[-1]) for kind in session.kinds()]
    return Figure(
        title="The hobby loop and CrowdMood on the same footage",
        rows=rows,
        chart=Chart(
            x=[clip.name for clip in clips],
            series={
                who: [number(row, "faces/s") for row in rows if row["who"] == who]
                for who in dict.fromkeys(str(row["who"]) for row in rows)
            },
            x_label="",
            y_label="faces a second",
            log=True,
        ),
        goals=_goals(rows),
        notes=(
            "The loop's rates are of its first frames (a `predict` a face is slow); its error is of the same faces, "
            "judged in one call, one frame every two seconds, counted over the same windows of 10 s. `s until mood` of "
            "the loop is the time that it works on one frame; CrowdMood's is in [latency](#latency).",
        ),
    )


def _hobby(loop: HobbyLoop, clip: Clip, session: Session) -> Row:
    frames = faces = 0
    shown = list(pictures(clip.videos[0], session.size(40, 2), clip.every))
    loop.look(shown[0])
    started_s = time.perf_counter()
    while (seconds := time.perf_counter() - started_s) < session.size(25, 1) and frames < len(shown):
        faces += loop.look(shown[frames])
        frames += 1
    wrong = error(_counted(loop, clip), clip.true) if clip.true else None
    return {
        "footage": clip.name,
        "who": "hobby loop",
        "frames/s": frames / seconds,
        "faces/s": faces / seconds,
        "faces a frame": faces / frames,
        "s until mood": seconds / frames,
        "error of a share": wrong,
    }


def _counted(loop: HobbyLoop, clip: Clip) -> Iterator[tuple[float, float, Shares]]:
    """The loop's shares for every window that CrowdMood has a mood of."""
    length_s = int(_frames(clip.videos[0]) / clip.fps)
    by_second = np.zeros((length_s, len(LABELS)), np.int64)
    for video in clip.videos:
        seconds = range(0, length_s, _VOTE_EVERY_S)
        shown = pictures(video, len(seconds), round(clip.fps * _VOTE_EVERY_S))
        for second, picture in zip(seconds, shown, strict=True):
            by_second[second] += loop.votes(picture)
    for end_s in range(1, length_s + 1):
        votes = np.sum(by_second[max(0, end_s - _WINDOW_S) : end_s], axis=0)
        if votes.sum():
            yield end_s - _WINDOW_S, end_s, dict(zip(LABELS, (votes / votes.sum()).tolist(), strict=True))


def _crowdmood(clip: Clip, kind: str, hobby: Row) -> Row:
    settings = configured(kind, clip.min_face_px, cameras=footage_cameras(clip.videos), ingest={"speed": "max"})
    done, frames_per_s = replayed(settings)
    told = [
        (mood.window_start_ms / 1000, mood.as_of_ms / 1000, mood.shares, mood.raw)
        for mood in done.moods
        if of_stadium(mood) and mood.shares and mood.raw
    ]
    wrong = error(((start_s, end_s, shares) for start_s, end_s, shares, _ in told), clip.true) if clip.true else None
    counted = error(((start_s, end_s, raw) for start_s, end_s, _, raw in told), clip.true) if clip.true else None
    rate = frames_per_s * done.faces / done.frames
    base = hobby["error of a share"]
    return {
        "footage": clip.name,
        "who": f"CrowdMood, {kind}",
        "frames/s": frames_per_s,
        "faces/s": rate,
        "faces a frame": done.faces / done.frames,
        "error of a share": wrong,
        "error of its own counts": counted,
        "times the loop's faces/s": rate / max(number(hobby, "faces/s"), 0.01),
        "of the loop's error": wrong / float(base) if wrong is not None and base else None,
    }


def _goals(rows: list[Row]) -> list[Goal]:
    """Of the dense crowd the rates; the errors wherever the truth is known."""
    goals = []
    for row in rows:
        kind = str(row["who"]).removeprefix("CrowdMood, ")
        if kind in _WANTED and row["footage"] == _DENSE:
            name = f"faces/s with {kind}, dense crowd, over the hobby loop's"
            goals.append(Goal(name, _WANTED[kind], number(row, "times the loop's faces/s")))
        if row.get("of the loop's error") is not None:
            name = f"error of a share with {kind}, {row['footage']}, over the hobby loop's"
            goals.append(Goal(name, 0.4, number(row, "of the loop's error"), at_least=False))
    return goals


def _fps(video: Path) -> float:
    return cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FPS) or _SAMPLE_FPS


def _frames(video: Path) -> int:
    return int(cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT))
