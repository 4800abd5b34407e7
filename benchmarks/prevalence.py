"""The error of a share by method, and how often an interval holds the true share.

    python -m benchmarks.prevalence fer2013.npz crowd_faces [--model FOLDER] [--splits 5] [--json FILE]

The photographs of the split `validation` are halved several times. The network's confusions are fitted on one half,
with faces of one half of PublicTest where labels are rare; crowds are drawn from the other halves
(`benchmarks/drawn_crowds.py`). QuaPy's estimators are fitted on the same faces and get the same crowds. A network
without cheering is fitted on PublicTest alone: real crowds are new to it.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from quapy.method import aggregative
from sklearn.dummy import DummyClassifier

from aggregator.estimate import Method, estimate
from aggregator.prevalence import Matrix, Vector
from benchmarks.drawn_crowds import Answers, Drawn, of_crowd_faces, of_fer
from benchmarks.figures import table
from classifier import DEFAULT_MODEL
from classifier.card import Prevalence
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.labels import LABELS
from training.confusions import fit_crowd_prevalence, fit_prevalence

_KINDS: Final[dict[str, tuple[type[Any], dict[str, Any]]]] = {
    "CC": (aggregative.CC, {}),
    "PCC": (aggregative.PCC, {}),
    "ACC": (aggregative.ACC, {"val_split": None}),
    "PACC": (aggregative.PACC, {"val_split": None}),
    "EMQ": (aggregative.EMQ, {}),
    "DMy": (aggregative.DMy, {"val_split": None}),
    "KDEyML": (aggregative.KDEyML, {"val_split": None}),
}
"""QuaPy's estimators: the class and its options."""

_OF_LABELS: Final = ("CC", "ACC")
"""Those that take the likeliest labels instead of probabilities."""

METHODS: Final[tuple[Method, ...]] = ("raw", "pcc", "pacc", "sld", "gls")
_NEGATIVE: Final = tuple(LABELS.index(label) for label in ("angry", "disgust", "fear", "sad"))
_RARE_FACES: Final = 100
"""Faces of PublicTest that QuaPy's estimators get of each label that is rare in crowds: as many as ours."""

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one method for crowds of one kind.

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


class References:
    """QuaPy's estimators, fitted on labelled results of a network.

    Args:
        probabilities: float64 (N, K), of faces with a label.
        labels: int (N,), at least one face of each label.
    """

    def __init__(self, probabilities: Matrix, labels: npt.NDArray[np.integer[Any]]) -> None:
        # QuaPy requires a fitted classifier, and uses only its classes when it gets probabilities.
        classifier = DummyClassifier().fit(probabilities, labels)
        self._fitted = {}
        for name, (kind, options) in _KINDS.items():
            method = kind(classifier, fit_classifier=False, **options)
            method.aggregation_fit(probabilities.argmax(axis=1) if name in _OF_LABELS else probabilities, labels)
            if name == "EMQ":
                # Otherwise set by `fit`, which would also train the classifier.
                method.train_prevalence = np.bincount(labels) / len(labels)
            self._fitted[name] = method

    def shares(self, probabilities: Matrix) -> dict[str, Vector]:
        """Return the shares of a crowd by each estimator: float64 (K,), from probabilities (N, K)."""
        hard = probabilities.argmax(axis=1)
        return {
            f"QuaPy {name}": np.asarray(method.aggregate(hard if name in _OF_LABELS else probabilities), np.float64)
            for name, method in self._fitted.items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A crowd, and the confusions and estimators that were fitted on other faces."""

    drawn: Drawn
    confusions: Confusions
    references: References


def samples(answers: Answers, splits: int, crowds: int, seed: int = 0) -> Iterator[Sample]:
    """Draw crowds from faces that the confusions were not fitted on.

    Args:
        answers: The network's results.
        splits: How often the photographs are halved; crowds are drawn from each half once.
        crowds: Crowds of each kind from each half.
        seed: Seed of the random numbers.
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
    parser.add_argument("--splits", type=int, default=5, help="number of times the photographs are halved")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    rows = measure(Answers.of(options.model, options.data, options.crowd_faces), options.splits)
    print(table([asdict(row) for row in rows]))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
