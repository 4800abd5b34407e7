"""The baseline beside CrowdMood with Haar and with YuNet, on the same footage.

The baseline is the loop of most tutorials: the Haar cascade with `detectMultiScale(gray, 1.32, 5)`, one `predict` of
the network conv4 for each face, and a mood that is the count of the likeliest labels.
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

from app.footage import footage_cameras
from app.replay import of_stadium
from benchmarks.classify import CONV4
from benchmarks.figures import Chart, Figure, Goal, Row, number
from benchmarks.processes import replayed
from benchmarks.session import configured, frames
from benchmarks.shares import ERROR, Answer, score, truth_of, with_truth, with_zeros
from classifier.card import NETWORK_FILE
from crowdmood.core.settings import load
from crowdmood.domain.labels import FER_LABELS, LABELS
from crowdmood.domain.messages import CROP_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from app.replay import Replay
    from benchmarks.session import Session
    from benchmarks.shares import TrueShares
    from crowdmood.core.settings import Settings
    from crowdmood.domain.mood import Mood

_SAMPLE_FPS: Final = 5
_BATCH: Final = 32
_VOTE_EVERY_S: Final = 2
"""Seconds of footage between two frames whose votes the baseline counts: its network is slow."""

_DENSE: Final = "dense crowd"
_WANTED: Final = {"haar": 10, "yunet": 200}
"""Least faces/s of CrowdMood as a multiple of the baseline's."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Footage to measure on.

    Attributes:
        name: Its name in the results.
        videos: One for each camera.
        fps: Frames per second of the footage.
        min_face_px: Smallest face that CrowdMood searches, in pixels; the baseline has no such setting.
        true: The truth; None where it is unknown.
    """

    name: str
    videos: tuple[Path, ...]
    fps: float
    min_face_px: int
    true: TrueShares | None

    @classmethod
    def of_match(cls, name: str, folder: Path, min_face_px: int) -> Clip:
        """Return the clip of a simulated match."""
        videos = tuple(sorted(folder.glob("*.mp4")))
        return cls(name, videos, _property(videos[0], cv2.CAP_PROP_FPS), min_face_px, truth_of(folder))

    @classmethod
    def of_file(cls, video: Path) -> Clip:
        """Return the clip of a file, with its truth where a JSON file beside it has phases."""
        return cls(video.stem, (video,), _property(video, cv2.CAP_PROP_FPS) or _SAMPLE_FPS, 20, truth_of(video))


class Baseline:
    """The baseline: OpenCV's default cascade and the network conv4, which knows the labels of FER2013."""

    def __init__(self) -> None:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        self._network: Any = keras.saving.load_model(CONV4 / NETWORK_FILE, compile=False)
        self._cascade = cv2.CascadeClassifier(str(Path(haarcascades) / "haarcascade_frontalface_default.xml"))

    def faces(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the faces of an image: uint8 (N, 48, 48, 1), from uint8 (height, width, 3), BGR."""
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        found = self._cascade.detectMultiScale(gray, 1.32, 5)
        crops = [cv2.resize(gray[y : y + h, x : x + w], (CROP_SIZE, CROP_SIZE)) for x, y, w, h in found]
        return np.array(crops, np.uint8).reshape(-1, CROP_SIZE, CROP_SIZE, 1)

    def process(self, image: NDArray[np.uint8]) -> int:
        """Find and classify the faces of an image, one `predict` a face; return how many it had."""
        faces = self.faces(image)
        for face in faces:
            np.argmax(self._network.predict(face[None], verbose=0))
        return len(faces)

    def votes(self, faces: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the vote of each face in the order of `LABELS`: int64 (N, 8), one of a row is 1, never cheering.

        The labels are those of `process`; one call for all faces is faster.

        Args:
            faces: uint8 (N, 48, 48, 1).
        """
        likeliest = np.empty(0, np.int64)
        if len(faces):
            padded = np.concatenate([faces, np.zeros((-len(faces) % _BATCH, *faces.shape[1:]), np.uint8)])
            likeliest = self._network.predict(padded, batch_size=_BATCH, verbose=0)[: len(faces)].argmax(axis=1)
        assert likeliest.max(initial=0) < len(FER_LABELS)
        return np.eye(len(LABELS), dtype=np.int64)[likeliest]


def measure(session: Session) -> Figure:
    """Measure the baseline and CrowdMood on every clip."""
    clips = [
        Clip.of_match("match as in make demo", session.match(), 40),
        Clip.of_match(_DENSE, session.dense(), 20),
        *map(Clip.of_file, session.footage),
    ]
    baseline = Baseline()
    rows: list[Row] = []
    plotted: list[Row] = []
    for clip in clips:
        first = _baseline(baseline, clip, session)
        of_clip = [first, *(_crowdmood(clip, kind, first) for kind in session.kinds())]
        plotted.append({"footage": clip.name, **{str(row["who"]): row["faces/s"] for row in of_clip}})
        rows += of_clip
    return Figure(
        title="The baseline and CrowdMood on the same footage",
        rows=rows,
        chart=Chart("footage", [name for name in plotted[0] if name != "footage"], "faces a second", log=True),
        plotted=plotted,
        goals=_goals(rows),
        notes=[
            "The baseline is the loop of most tutorials: OpenCV's Haar cascade, one `predict` of the network conv4 "
            "for each face, and a mood that is the count of the likeliest labels. Its rates are of its first frames "
            "(a `predict` a face is slow). Its error is of the same labels, computed in one call, one frame every two "
            "seconds, counted over CrowdMood's windows. `s until mood` of the baseline is the time that it works on "
            "one frame; CrowdMood's is in [latency](#latency). The share of a label that a network does not know "
            "counts as 0.",
        ],
    )


def _baseline(baseline: Baseline, clip: Clip, session: Session) -> Row:
    done = faces = 0
    every = max(1, round(clip.fps / _SAMPLE_FPS))
    images = list(frames(clip.videos[0], session.size(40, 2), every))
    baseline.process(images[0])
    started_s = time.perf_counter()
    while (seconds := time.perf_counter() - started_s) < session.size(25, 1) and done < len(images):
        faces += baseline.process(images[done])
        done += 1
    return {
        "footage": clip.name,
        "who": "baseline",
        "frames/s": done / seconds,
        "faces/s": faces / seconds,
        "faces a frame": faces / done,
        "s until mood": seconds / done,
        "error of a share": clip.true and score(with_truth(counted(baseline, clip, load()), clip.true))[ERROR],
    }


def counted(baseline: Baseline, clip: Clip, settings: Settings) -> Iterator[tuple[float, float, Answer]]:
    """Yield start and end in seconds, and the baseline's shares, for every window of CrowdMood with a face in it."""
    length_s = int(_property(clip.videos[0], cv2.CAP_PROP_FRAME_COUNT) / clip.fps)
    sampled = np.arange(0, length_s, _VOTE_EVERY_S)
    votes = np.zeros((len(sampled), len(LABELS)), np.int64)
    for video in clip.videos:
        images = frames(video, len(sampled), round(clip.fps * _VOTE_EVERY_S))
        for row, image in zip(votes, images, strict=True):
            row += baseline.votes(baseline.faces(image)).sum(axis=0)
    for end_s in range(1, length_s + 1):
        start_s = end_s - settings.aggregator.window_s
        found = votes[(sampled >= start_s) & (sampled < end_s)].sum(axis=0)
        if found.sum():
            yield start_s, end_s, Answer(dict(zip(LABELS, (found / found.sum()).tolist(), strict=True)), {}, {}, None)


def answers(done: Replay) -> list[tuple[float, float, Answer, Mood]]:
    """Return start and end in seconds, the shares and the mood of every mood of the stadium with shares."""
    return [
        (
            mood.window_start_ms / 1000,
            mood.as_of_ms / 1000,
            Answer(with_zeros(mood.shares), mood.low or {}, mood.high or {}, mood.readable),
            mood,
        )
        for mood in done.moods
        if of_stadium(mood) and mood.shares
    ]


def _crowdmood(clip: Clip, kind: str, baseline: Row) -> Row:
    settings = configured(kind, clip.min_face_px, cameras=footage_cameras(clip.videos), ingest={"speed": "max"})
    done, frames_per_s = replayed(settings)
    row: Row = {
        "footage": clip.name,
        "who": f"CrowdMood, {kind}",
        "frames/s": frames_per_s,
        "faces/s": frames_per_s * done.faces / done.frames,
        "faces a frame": done.faces / done.frames,
    }
    row["times the baseline's faces/s"] = number(row, "faces/s") / max(number(baseline, "faces/s"), 0.01)
    if clip.true:
        found = answers(done)
        counts = [
            (start_s, end_s, Answer(with_zeros(mood.raw), {}, {}, None))
            for start_s, end_s, _, mood in found
            if mood.raw
        ]
        row[ERROR] = score(with_truth(((start_s, end_s, one) for start_s, end_s, one, _ in found), clip.true))[ERROR]
        row["error of its own counts"] = score(with_truth(counts, clip.true))[ERROR]
        if row[ERROR] is not None and baseline[ERROR]:
            row["of the baseline's error"] = number(row, ERROR) / number(baseline, ERROR)
    return row


def _goals(rows: Sequence[Row]) -> list[Goal]:
    """Return goals for the rates on the dense crowd, and for the errors wherever the truth is known."""
    goals = []
    for row in rows:
        kind = str(row["who"]).removeprefix("CrowdMood, ")
        if kind in _WANTED and row["footage"] == _DENSE:
            name = f"faces/s with {kind}, dense crowd, over the baseline's"
            goals.append(Goal(name, _WANTED[kind], number(row, "times the baseline's faces/s")))
        if row.get("of the baseline's error") is not None:
            name = f"error of a share with {kind}, {row['footage']}, over the baseline's"
            goals.append(Goal(name, 0.4, number(row, "of the baseline's error"), at_least=False))
    return goals


def _property(video: Path, which: int) -> float:
    reader = cv2.VideoCapture(str(video))
    value = reader.get(which)
    reader.release()
    return value
