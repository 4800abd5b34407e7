"""How far from the truth the shares of a crowd are, by method, and how often an interval holds the true one.

    python -m benchmarks.prevalence faces.npz [--model FOLDER] [--json FILE]

The artificial-prevalence protocol (Forman 2005; Sebastiani 2020): PublicTest is split in halves, again and again. One
half says how the network confuses labels; from the other, crowds are drawn with shares drawn at random, `uniform` over
all shares or `crowd`, near those of a calm, a happy and a disappointed stand.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from aggregator.crowd import Crowd
from aggregator.estimate import Method, estimate
from aggregator.prevalence import Matrix, Vector
from classifier import DEFAULT_MODEL
from classifier.engines import load_engine
from crowdmood.confusions import Confusions
from crowdmood.settings import ClassifierSettings
from training.calibration import fit_prevalence
from training.data import PUBLIC_TEST
from training.loaders import load_faces

METHODS: Final[tuple[Method, ...]] = ("raw", "pcc", "pacc", "sld")
PEOPLE: Final = (50, 200, 1000)
Mix = Literal["uniform", "crowd"]
MIXES: Final[tuple[Mix, ...]] = ("uniform", "crowd")
_STANDS: Final = np.array(
    [
        [0.06, 0.01, 0.05, 0.16, 0.12, 0.05, 0.55],
        [0.02, 0.01, 0.02, 0.62, 0.03, 0.20, 0.10],
        [0.28, 0.04, 0.07, 0.02, 0.40, 0.05, 0.14],
    ]
)
"""Shares of a calm, a happy and a disappointed stand, in the order of `LABELS`."""

_CONCENTRATION: Final = 25.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one method reached for crowds of one kind and size.

    Attributes:
        mix: How shares were drawn.
        people: People in a crowd.
        method: The method.
        error: Mean absolute error of a share.
        ratio: The same as a multiple of counting's.
        coverage: Share of the true shares that lay in their 90 % intervals.
        width: Mean width of the intervals.
    """

    mix: Mix
    people: int
    method: Method
    error: float
    ratio: float
    coverage: float
    width: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A crowd whose shares are known.

    Attributes:
        mix: How its shares were drawn.
        true: float64 (7,), its shares.
        posteriors: float64 (N, 7).
        confusions: What the other half says of the network.
    """

    mix: Mix
    true: Vector
    posteriors: Matrix
    confusions: Confusions


def samples(
    posteriors: Matrix, labels: npt.NDArray[np.uint8], splits: int, crowds: int, seed: int = 0
) -> Iterator[Sample]:
    """Draw crowds.

    Args:
        posteriors: float64 (N, 7), of faces that the network was not trained on.
        labels: uint8 (N,), their labels.
        splits: How often the faces are halved; each half is once the one that crowds are drawn from.
        crowds: Crowds of each kind and size from each half.
        seed: Of everything that is drawn.
    """
    rng = np.random.default_rng(seed)
    for confusions, by_label in halves(posteriors, labels, splits, rng):
        for mix in MIXES:
            for people in PEOPLE:
                for number in range(crowds):
                    counts = rng.multinomial(people, _shares(mix, number, rng))
                    rows = np.concatenate([rng.choice(of, n) for of, n in zip(by_label, counts, strict=True)])
                    yield Sample(mix, counts / people, posteriors[rows], confusions)


def halves(
    posteriors: Matrix, labels: npt.NDArray[np.uint8], splits: int, rng: np.random.Generator
) -> Iterator[tuple[Confusions, list[npt.NDArray[np.intp]]]]:
    """Halve the faces, again and again; each half is once the one that tells of the network.

    Args:
        posteriors: float64 (N, 7), of faces that the network was not trained on.
        labels: uint8 (N,), their labels.
        splits: How often.
        rng: Chance.

    Yields:
        What one half says of the network, and the rows of the other half's faces by label.
    """
    for _ in range(splits):
        order = rng.permutation(len(labels))
        for known, drawn in ((order[::2], order[1::2]), (order[1::2], order[::2])):
            section = fit_prevalence(posteriors[known].astype(np.float32), labels[known], "half")
            confusions = Confusions.of_card(section.model_dump() if section else None)
            assert confusions is not None, "a half without faces of every label"
            yield confusions, [drawn[labels[drawn] == label] for label in range(posteriors.shape[1])]


def measure(posteriors: Matrix, labels: npt.NDArray[np.uint8], splits: int = 10, crowds: int = 30) -> list[Row]:
    """Judge every method; arguments as `samples`."""
    errors: dict[tuple[Mix, int, Method], list[float]] = defaultdict(list)
    inside: dict[tuple[Mix, int, Method], list[float]] = defaultdict(list)
    widths: dict[tuple[Mix, int, Method], list[float]] = defaultdict(list)
    for sample in samples(posteriors, labels, splits, crowds):
        for method in METHODS:
            found = estimate(Crowd.of(sample.posteriors), method, sample.confusions)
            key = (sample.mix, len(sample.posteriors), method)
            errors[key].append(float(np.abs(found.shares - sample.true).mean()))
            held = (found.low - 1e-9 <= sample.true) & (sample.true <= found.high + 1e-9)
            inside[key].append(float(held.mean()))
            widths[key].append(float((found.high - found.low).mean()))
    return [
        Row(
            *key,
            round(float(np.mean(errors[key])), 4),
            round(float(np.mean(errors[key]) / np.mean(errors[*key[:2], "raw"])), 3),
            round(float(np.mean(inside[key])), 3),
            round(float(np.mean(widths[key])), 3),
        )
        for key in errors
    ]


def posteriors_of(model: Path, data: Path) -> tuple[Matrix, npt.NDArray[np.uint8]]:
    """What a network says of PublicTest, as messages carry it: float64 (N, 7); and the labels, uint8 (N,)."""
    judged = load_faces(data).split(PUBLIC_TEST)
    given = load_engine(model, ClassifierSettings()).predict(judged.images)[0].astype(np.float16).astype(np.float64)
    return given / given.sum(axis=1, keepdims=True), judged.labels


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prevalence", description=__doc__)
    parser.add_argument("data", type=Path, help="faces with a PublicTest split")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model folder")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    rows = measure(*posteriors_of(options.model, options.data))
    table = Table("mix", "people", "method", "error of a share", "of counting's", "in the interval", "its width")
    for row in rows:
        table.add_row(
            row.mix, str(row.people), row.method, *(f"{v:g}" for v in (row.error, row.ratio, row.coverage, row.width))
        )
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def _shares(mix: Mix, number: int, rng: np.random.Generator) -> Vector:
    if mix == "uniform":
        return rng.dirichlet(np.ones(_STANDS.shape[1]))
    return rng.dirichlet(_STANDS[number % len(_STANDS)] * _CONCENTRATION + 0.02)


if __name__ == "__main__":
    main()
