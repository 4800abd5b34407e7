"""How far the shares of a crowd are from the truth, by method, and how often an interval holds the true share.

    python -m benchmarks.prevalence fer2013.npz crowd_faces [--model FOLDER] [--splits 5] [--json FILE]

The photographs of the split `validation` are halved, again and again. One half says how the network confuses labels,
with faces of one half of PublicTest where labels are rare; from the other halves, crowds are drawn
(`benchmarks/drawn_crowds.py`). QuaPy's estimators are fitted on the same faces and see the same crowds. A network
without cheering is fitted on PublicTest alone, so that real crowds are new to it.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from aggregator.estimate import Method, estimate
from aggregator.prevalence import Vector
from benchmarks.drawn_crowds import Answers, Drawn, of_crowd_faces, of_fer
from benchmarks.references import References
from classifier import DEFAULT_MODEL
from classifier.card import Prevalence
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.labels import LABELS
from training.confusions import fit_crowd_prevalence, fit_prevalence

METHODS: Final[tuple[Method, ...]] = ("raw", "pcc", "pacc", "sld", "gls")
_NEGATIVE: Final = tuple(LABELS.index(label) for label in ("angry", "disgust", "fear", "sad"))
_RARE_FACES: Final = 100
"""Faces of PublicTest that QuaPy's estimators get of each label that is rare in crowds: as many as ours."""

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Row:
    """What one method reached for crowds of one kind.

    Attributes:
        kind: How the crowds were drawn.
        crowds: Number of crowds.
        method: The method.
        error: Mean absolute error of a share.
        negative: Mean absolute error of angry, disgust, fear and sad together.
        coverage: Share of the true shares that lay in their 90 % intervals; None for QuaPy's methods.
        width: Mean width of the intervals; None for QuaPy's methods.
        fit: Mean `fit`; None for methods without.
    """

    kind: str
    crowds: int
    method: str
    error: float
    negative: float
    coverage: float | None = None
    width: float | None = None
    fit: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A crowd and what is known of the network without it."""

    drawn: Drawn
    confusions: Confusions
    references: References


def samples(answers: Answers, splits: int, crowds: int, seed: int = 0) -> Iterator[Sample]:
    """Draw crowds from faces that the confusions were not fitted on.

    Args:
        answers: What the network says.
        splits: How often the photographs are halved; each half is once the one that crowds are drawn from.
        crowds: Crowds of each kind from each half.
        seed: Seed of everything that is drawn.
    """
    rng = np.random.default_rng(seed)
    photos = np.unique(answers.photos)
    for _ in range(splits):
        in_first = np.isin(answers.photos, rng.permutation(photos)[::2])
        order = rng.permutation(len(answers.fer_labels))
        for fitted, fer_fitted, fer_held in ((in_first, order[::2], order[1::2]), (~in_first, order[1::2], order[::2])):
            section, references = _fitted(answers, fitted, fer_fitted, rng)
            confusions = Confusions.of_card(section.model_dump())
            assert confusions is not None
            for drawn in (*of_crowd_faces(answers, ~fitted, crowds, rng), *of_fer(answers, fer_held, crowds, rng)):
                yield Sample(drawn, confusions, references)


def _fitted(
    answers: Answers, fitted: npt.NDArray[np.bool_], fer_fitted: npt.NDArray[np.intp], rng: np.random.Generator
) -> tuple[Prevalence, References]:
    fer, fer_labels = answers.fer[fer_fitted], answers.fer_labels[fer_fitted]
    labels = answers.probabilities.shape[1]
    if labels < len(LABELS):
        section = fit_prevalence(fer, fer_labels, "PublicTest")
        assert section is not None, "PublicTest lacks a label"
        return section, References(fer, fer_labels)
    crowd = fit_crowd_prevalence(
        answers.probabilities[fitted],
        answers.votes[fitted],
        answers.photos[fitted],
        "photographs",
        (fer, fer_labels),
        answers.readable[fitted],
    )
    assert crowd is not None, "no face is readable"
    rows = np.flatnonzero(fitted & (answers.labels >= 0) & (answers.labels < labels))
    counts = np.bincount(answers.labels[rows], minlength=labels)
    rare = [
        rng.choice(of, min(len(of), _RARE_FACES - count), replace=False)
        for label, count in enumerate(counts)
        if count < _RARE_FACES and len(of := np.flatnonzero(fer_labels == label))
    ]
    extra = np.concatenate(rare) if rare else np.empty(0, np.intp)
    known = np.concatenate([answers.probabilities[rows], fer[extra]])
    return crowd, References(known, np.concatenate([answers.labels[rows], fer_labels[extra]]))


def measure(answers: Answers, splits: int = 5, crowds: int = 6) -> list[Row]:
    """Measure every method; arguments as `samples`."""
    errors: dict[tuple[str, str], list[Vector]] = defaultdict(list)
    figures: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    for sample in samples(answers, splits, crowds):
        drawn = sample.drawn
        for method in METHODS:
            found = estimate(drawn.crowd, method, sample.confusions)
            held = (found.low - _ROUNDING <= drawn.true) & (drawn.true <= found.high + _ROUNDING)
            errors[drawn.kind, method].append(found.shares - drawn.true)
            fit = np.nan if found.fit is None else found.fit
            figures[drawn.kind, method].append((float(held.mean()), float((found.high - found.low).mean()), fit))
        for name, shares in sample.references.shares(drawn.crowd.posteriors).items():
            errors[drawn.kind, name].append(shares - drawn.true)
    return [
        Row(
            kind,
            len(by_crowd),
            method,
            round(float(np.abs(by_crowd).mean()), 4),
            round(float(np.abs(np.stack(by_crowd)[:, _NEGATIVE].sum(axis=1)).mean()), 4),
            *_rounded(figures.get((kind, method))),
        )
        for (kind, method), by_crowd in errors.items()
    ]


def _rounded(figures: list[tuple[float, float, float]] | None) -> tuple[float | None, ...]:
    if figures is None:
        return ()
    return tuple(None if np.isnan(value) else round(float(value), 3) for value in np.mean(figures, axis=0))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prevalence", description=__doc__)
    parser.add_argument("data", type=Path, help="faces with a PublicTest split")
    parser.add_argument("crowd_faces", type=Path, help="folder of labelled faces of real crowds")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="model folder")
    parser.add_argument("--splits", type=int, default=5, help="how often the photographs are halved")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    rows = measure(Answers.of(options.model, options.data, options.crowd_faces), options.splits)
    table = Table(
        "crowds", "number", "method", "error of a share", "of negative", "in the interval", "its width", "fit"
    )
    for row in rows:
        table.add_row(
            *(
                "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
                for value in asdict(row).values()
            )
        )
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
