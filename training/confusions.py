"""Fit a network's confusions on held-out faces, for the estimation of shares; the card holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from classifier.card import Prevalence
from crowdmood.domain.confusions import features
from training import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

_LEAST_FACES: Final = 2
_ENOUGH: Final = 100.0
"""Fewest crowd faces of a label for using them alone; below, other faces of the label supplement them."""

_POOLED_FACES: Final = 4.0
"""Faces assumed for each label, with the mean probabilities of all faces that probably show it."""

_POOLED_SPREAD: Final = 10.0
"""Faces assumed for each label, with the average covariance of all labels."""

_ASSUMED_PRIOR: Final = 0.5
"""Faces assumed for each label when its share is estimated: a label that was not seen may still exist."""

_READABLE_FROM: Final = 0.5
_DIGITS: Final = 8


def fit_prevalence(probabilities: NDArray[np.floating], labels: NDArray[np.uint8], fitted_on: str) -> Prevalence | None:
    """Fit the confusions of a network without crowd data, on single faces with one label each.

    Args:
        probabilities: `(N, K)`, calibrated.
        labels: `(N,) uint8`.
        fitted_on: What the faces are.

    Returns:
        None when there are not at least two faces of every label.
    """
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    if counts.min() < _LEAST_FACES:
        return None
    rows = features(probabilities)
    by_label = [rows[labels == label] for label in range(classes)]
    hard = metrics.confusion_matrix(probabilities.argmax(axis=1), labels, classes)
    return Prevalence(
        fitted_on=fitted_on,
        faces=len(labels),
        priors=_rounded_row(counts / len(labels)),
        label_faces=_rounded_row(counts),
        soft_confusion=_rounded(np.stack([faces.mean(axis=0) for faces in by_label])),
        soft_covariance=tuple(_rounded(np.cov(faces, rowvar=False)) for faces in by_label),
        confusion=_counts(hard),
    )


def fit_crowd_prevalence(
    probabilities: NDArray[np.floating],
    votes: NDArray[np.integer],
    photos: NDArray[np.str_],
    fitted_on: str,
    rare: tuple[NDArray[np.floating], NDArray[np.uint8]] | None = None,
    readable: NDArray[np.floating] | None = None,
) -> Prevalence | None:
    """Fit the confusions of a network on labelled faces of real crowds, and how much they differ between photographs.

    A face counts for each label by its share of the votes. The rows are pooled over all sizes: rows by size, measured,
    change the error of a share by 2 %.

    Args:
        probabilities: `(N, K)`, calibrated, of faces drawn at random: shares among them stand for those of crowds.
        votes: `(N, 9)`, annotators who chose each label of `LABELS` and `unreadable`; unreadable faces are left out.
        photos: `(N,)`, the photograph that each face comes from.
        fitted_on: What the faces are.
        rare: Probabilities `(M, K)` and labels `(M,)` of other faces. They supplement labels that have
            fewer than 100 faces in crowds.
        readable: `(N,)`, the network's probability that an expression can be seen. Faces below 0.5 are left
            out, as they do not vote; None: all vote.

    Returns:
        None when no face is readable.
    """
    classes = probabilities.shape[1]
    chosen = votes[:, :classes].sum(axis=1)
    used = 2 * chosen > votes.sum(axis=1)
    if readable is not None:
        used &= readable >= _READABLE_FROM
    if not used.any():
        return None
    rows = features(probabilities[used])
    shares = votes[used, :classes] / chosen[used, None]
    scenes = np.unique(photos[used], return_inverse=True)[1]
    found = shares.sum(axis=0)
    all_rows, all_shares = rows, shares
    if rare is not None:
        others = np.eye(classes)[rare[1]]
        others *= np.clip((_ENOUGH - found) / np.maximum(others.sum(axis=0), 1.0), 0.0, 1.0)
        all_rows, all_shares = np.concatenate([rows, features(rare[0])]), np.concatenate([shares, others])
    counts = all_shares.sum(axis=0) + _POOLED_FACES
    probable = _mean(rows[:, :classes] + 1e-9, rows)
    means = (all_shares.T @ all_rows + _POOLED_FACES * probable) / counts[:, None]
    hard = np.zeros((classes, classes), np.int64)
    np.add.at(hard, (shares.argmax(axis=1), rows[:, :classes].argmax(axis=1)), 1)
    return Prevalence(
        fitted_on=fitted_on,
        faces=len(rows),
        priors=_rounded_row((found + _ASSUMED_PRIOR) / (found.sum() + classes * _ASSUMED_PRIOR)),
        label_faces=_rounded_row(counts),
        label_scenes=_rounded_row(_equal_scenes(shares, scenes, counts)),
        soft_confusion=_rounded(means),
        soft_covariance=tuple(_rounded(part) for part in _spreads(all_rows, all_shares, means)),
        scene_covariance=_rounded(_between(rows - shares @ means, scenes)),
        confusion=_counts(hard),
    )


def _mean(weights: Matrix, rows: Matrix) -> Matrix:
    """Return the mean (K, F) of rows (N, F) by weights (N, K)."""
    mean: Matrix = weights.T @ rows / weights.sum(axis=0)[:, None]
    return mean


def _spreads(rows: Matrix, shares: Matrix, means: Matrix) -> Matrix:
    """Return the covariance (K, F, F) of each label's rows about its mean, shrunk slightly to that of all labels."""
    sums = np.stack(
        [(rows - mean).T @ ((rows - mean) * share[:, None]) for mean, share in zip(means, shares.T, strict=True)]
    )
    counts = shares.sum(axis=0)
    pooled = sums.sum(axis=0) / counts.sum()
    spreads: Matrix = (sums + _POOLED_SPREAD * pooled) / (counts + _POOLED_SPREAD)[:, None, None]
    return spreads


def _between(deviations: Matrix, scenes: NDArray[np.intp]) -> Matrix:
    """Return the covariance (F, F) of the deviations that the faces of a scene share (random effects).

    It is the mean product of the deviations of two different faces of one scene, in which the deviations of single
    faces cancel. Every pair counts equally, so large photos count most: they resemble a stand most.
    """
    sizes = np.bincount(scenes)
    pairs = float((sizes * (sizes - 1)).sum())
    if not pairs:
        return np.zeros((deviations.shape[1],) * 2)
    sums = np.zeros((len(sizes), deviations.shape[1]))
    np.add.at(sums, scenes, deviations)
    values, vectors = np.linalg.eigh((sums.T @ sums - deviations.T @ deviations) / pairs)
    possible: Matrix = (vectors * values.clip(0)) @ vectors.T
    return possible


def _equal_scenes(shares: Matrix, scenes: NDArray[np.intp], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the number of equally large scenes that each label's faces amount to; other sources are one scene."""
    by_scene = np.zeros((int(scenes.max()) + 1, shares.shape[1]))
    np.add.at(by_scene, scenes, shares)
    rest = counts - by_scene.sum(axis=0)
    number: NDArray[np.float64] = counts**2 / (np.square(by_scene).sum(axis=0) + rest**2)
    return number


def _counts(matrix: NDArray[np.integer]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(cell) for cell in row) for row in matrix)


def _rounded(matrix: Matrix) -> tuple[tuple[float, ...], ...]:
    return tuple(_rounded_row(row) for row in matrix)


def _rounded_row(row: NDArray[np.floating] | NDArray[np.integer]) -> tuple[float, ...]:
    return tuple(round(float(cell), _DIGITS) for cell in row)
