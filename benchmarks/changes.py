"""Delay and correctness of published changes, for crowds of PublicTest faces with a known script.

    python -m benchmarks.changes faces.npz [--model FOLDER] [--crowds 100]

Crowds of 60 people follow the script of the terrace clips: 20 s calm, 20 s after a goal, 20 s after a goal of the other
side. The confusions are those of the model's card.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.changes import Changes
from aggregator.moods import Finding, Moods
from aggregator.prevalence import Matrix
from aggregator.windows import ClosedWindow
from benchmarks.drawn_crowds import public_test
from classifier import DEFAULT_MODEL
from classifier.card import load_card
from crowdmood.core.settings import AggregatorSettings
from crowdmood.domain.messages import Emotions, FrameRef
from crowdmood.domain.mood import MoodChange

SCRIPT: Final = np.array([[4, 0, 3, 9, 7, 3, 34], [1, 0, 1, 37, 0, 15, 6], [18, 3, 3, 0, 24, 3, 9]])
"""Number of people with each of `FER_LABELS` in each phase, as in the terrace clips."""

PHASE_S: Final = 20
TRUE: Final = (("neutral", "happy"), ("happy", "sad"))
IN_TIME_S: Final = 8

_CAMERA: Final = "stand"
_SIDE_PX: Final = 80
_SEATS_A_ROW: Final = 10


@dataclass(frozen=True, slots=True)
class Published:
    """The changes of one crowd.

    Attributes:
        changes: From what to what, in order.
        after_s: Seconds from each true change to the published one.
    """

    changes: tuple[tuple[str, str], ...]
    after_s: tuple[float, ...]

    def two_in_time(self) -> bool:
        """Return whether there were two changes, each in time."""
        return len(self.changes) == len(TRUE) and all(0 < after <= IN_TIME_S for after in self.after_s)


def publish(
    posteriors: Matrix, labels: npt.NDArray[np.uint8], confusions: bytes, crowds: int, seed: int = 0
) -> Iterator[Published]:
    """Yield the changes of crowds.

    Args:
        posteriors: float64 (N, K), of faces that the network was not trained on.
        labels: uint8 (N,), their labels.
        confusions: The network's confusions, as in messages.
        crowds: Number of crowds.
        seed: Seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    by_label = [np.flatnonzero(labels == label) for label in range(SCRIPT.shape[1])]
    for _ in range(crowds):
        phases = [_people(counts, by_label, rng) for counts in SCRIPT]
        changes = _changes([posteriors[rows] for rows in phases], confusions)
        yield Published(
            tuple((change.from_label, change.to_label) for change in changes),
            tuple(change.as_of_ms / 1000 - PHASE_S * number for number, change in enumerate(changes[: len(TRUE)], 1)),
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.changes", description=__doc__)
    parser.add_argument("data", type=Path, help="faces with a PublicTest split")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model folder")
    parser.add_argument("--crowds", type=int, default=100, help="number of crowds")
    options = parser.parse_args()
    confusions = load_card(options.model).confusions()
    found = list(publish(*public_test(options.model, options.data), confusions, options.crowds))
    print(f"two changes, each within {IN_TIME_S} s: {np.mean([each.two_in_time() for each in found]):.0%}")
    for number, (before, after) in enumerate(TRUE):
        times = [each.after_s[number] for each in found if len(each.after_s) > number] or [math.nan]
        right = np.mean([each.changes[number : number + 1] == ((before, after),) for each in found])
        print(f"from {before} to {after}: {right:.0%}; seconds: median {np.median(times):g}, most {max(times):g}")


def _people(
    counts: npt.NDArray[np.int64], by_label: list[npt.NDArray[np.intp]], rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Return rows of different faces, in random seats."""
    drawn = [rng.choice(of, n, replace=False) for of, n in zip(by_label, counts, strict=True)]
    return rng.permutation(np.concatenate(drawn))


def _changes(phases: list[Matrix], confusions: bytes) -> list[MoodChange]:
    settings = AggregatorSettings()
    length, hop = round(settings.window_s), round(settings.hop_s)
    frames = [_frame(second, phases[second // PHASE_S], confusions) for second in range(PHASE_S * len(phases))]
    moods, machine = Moods(settings), Changes(settings)
    found: list[Finding] = []
    for end in range(hop, len(frames) + 1, hop):
        seen = {_CAMERA: frames[max(0, end - length) : end]}
        found += moods.of(ClosedWindow((end - length) * 1000, end * 1000, seen, {_CAMERA: "live"}))
    return machine.take(found)


def _frame(second: int, posteriors: Matrix, confusions: bytes) -> Emotions:
    number = np.arange(len(posteriors))
    corners = np.stack([number % _SEATS_A_ROW, number // _SEATS_A_ROW], axis=1) * 2 * _SIDE_PX
    return Emotions(
        FrameRef(_CAMERA, "script", second, second * 1000, 1920, 1080, True),
        np.concatenate([corners, corners + _SIDE_PX], axis=1).astype(np.int32),
        posteriors.astype(np.float16),
        np.ones(len(posteriors), np.float16),
        np.ones(len(posteriors), np.float16),
        "network",
        "none",
        confusions,
    )


if __name__ == "__main__":
    main()
