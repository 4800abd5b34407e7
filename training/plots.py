"""Plots of data and of results, as PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np

from crowdmood.domain.labels import FER_LABELS, LABELS

mpl.use("Agg")  # no display on servers

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_SMALL: Final = (5.2, 4.0)
_WIDE: Final = (8.0, 4.0)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def class_balance(counts: Mapping[str, Mapping[str, int]], path: Path) -> None:
    """Draw how many faces each split holds of each of FER2013's labels, as a share of the split."""
    figure = Figure(_WIDE)
    axes: Any = figure.subplots()
    width = 0.8 / max(len(counts), 1)
    places = np.arange(len(FER_LABELS))
    for number, (split, of_label) in enumerate(counts.items()):
        values = np.array([of_label[label] for label in FER_LABELS])
        bars = axes.bar(places + number * width, values / max(values.sum(), 1), width, label=split)
        axes.bar_label(bars, [str(value) for value in values], fontsize=7)
    axes.set_xticks(places + width * (len(counts) - 1) / 2, FER_LABELS)
    axes.set_ylabel("share of the split (count above)")
    axes.legend()
    _save(figure, path)


def confusion(matrix: NDArray[np.int64], path: Path) -> None:
    """Draw a confusion matrix `(K, K)` of counts, in the order of `LABELS`, as shares of each true label."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure = Figure(_SMALL)
    axes: Any = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    labels = LABELS[: len(matrix)]
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for row, column in np.ndindex(*shares.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", color=colour, fontsize=7)
    _save(figure, path)


def reliability(rows: NDArray[np.float64], error: float, path: Path) -> None:
    """Draw accuracy against confidence: rows `(bins, 3)` of confidence, accuracy, count."""
    filled = rows[rows[:, 2] > 0]
    figure = Figure(_SMALL)
    axes: Any = figure.subplots()
    axes.plot([0, 1], [0, 1], linestyle=":", color="gray", label="calibrated")
    axes.plot(filled[:, 0], filled[:, 1], marker="o", label=f"network, expected error {error:.3f}")
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    axes.legend()
    _save(figure, path)


def learning_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw loss and accuracy of every epoch, on the training faces and on PublicTest."""
    figure = Figure(_WIDE)
    left, right = figure.subplots(1, 2)
    for axes, name in ((left, "loss"), (right, "accuracy")):
        for key, label in ((name, "training"), (f"val_{name}", "PublicTest")):
            points = [(row["epoch"] + 1, row[key]) for row in history if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.legend()
    _save(figure, path)


def accuracy_against(points: Mapping[float, float], label: str, path: Path) -> None:
    """Draw accuracy against one strength of a degradation."""
    figure = Figure(_SMALL)
    axes: Any = figure.subplots()
    axes.plot(list(points), list(points.values()), marker="o")
    axes.set_xlabel(label)
    axes.set_ylabel("accuracy")
    axes.set_ylim(bottom=0)
    _save(figure, path)
