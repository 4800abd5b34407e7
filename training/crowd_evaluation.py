"""Figures of a network on labelled faces of real crowds, from probabilities and votes. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from aggregator.crowd import Crowd
from aggregator.estimate import estimate
from classifier.card import CrowdFigures, CrowdMetrics
from crowdmood.core.settings import AggregatorSettings
from crowdmood.domain.labels import LABELS
from training.crowd_faces import UNREADABLE, VOTE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from crowdmood.domain.confusions import Confusions
    from training.crowd_faces import CrowdFaces

SIZES_PX: Final = {"20-32": (20, 32), "32-48": (32, 48), "48-96": (48, 96), "96+": (96, 1_000_000)}
"""By name: the shorter side of a box in pixels, from the first number to below the second."""

_READABLE_FROM: Final = 0.5
_CROWDS: Final = 1000
_CROWDS_OF_A_SIZE: Final = 250
"""Fewer than of all faces, as every size takes as long; errors of a share change by 0.003 at most (measured)."""
_FACES_A_CROWD: Final = 200
_NEGATIVE: Final = tuple(LABELS.index(label) for label in ("angry", "disgust", "fear", "sad"))
_EXAMPLES: Final = 10
_ROUNDING: Final = 1e-9


def measure(
    probabilities: NDArray[np.float32],
    readable: NDArray[np.float32] | None,
    faces: CrowdFaces,
    confusions: Confusions | None,
    seed: int = 0,
) -> CrowdMetrics:
    """Measure a network on faces of crowds, all of them and by size.

    Args:
        probabilities: `(N, K)`, the expressions of each face; K of 7 or 8.
        readable: `(N,)`, the probability that an expression can be seen; None: all count as readable.
        faces: The same N faces with their votes.
        confusions: From the card of the network: crowds are estimated with them as the aggregator does.
        seed: Seed of the crowds.
    """
    known = np.ones(len(faces), np.float32) if readable is None else readable
    by_size = {}
    for name, (least, beyond) in SIZES_PX.items():
        rows = np.flatnonzero((faces.px >= least) & (faces.px < beyond))
        drawn = crowds(faces.select(rows), _CROWDS_OF_A_SIZE, seed)
        by_size[name] = _figures(probabilities[rows], known[rows], faces.select(rows), confusions, drawn)
    overall = _figures(probabilities, known, faces, confusions, crowds(faces, _CROWDS, seed))
    return CrowdMetrics(**overall.model_dump(), by_size=by_size)


def _figures(
    probabilities: NDArray[np.float32],
    readable: NDArray[np.float32],
    faces: CrowdFaces,
    confusions: Confusions | None,
    drawn: Iterator[NDArray[np.int64]],
) -> CrowdFigures:
    labels = faces.labels
    labelled = (labels >= 0) & (labels < UNREADABLE)
    right = probabilities.argmax(axis=1) == labels
    rejected = readable < _READABLE_FROM
    return CrowdFigures(
        faces=len(faces),
        accuracy_readable=_rate(right[labelled]),
        recall={label: _rate(right[labels == code]) for code, label in enumerate(LABELS)},
        unreadable_recall=_rate(rejected[labels == UNREADABLE]),
        readable_lost=_rate(rejected[faces.readable]),
        **_share_errors(probabilities, readable, faces, confusions, drawn),
    )


def _rate(hits: NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if len(hits) else None


def _share_errors(
    probabilities: NDArray[np.float32],
    readable: NDArray[np.float32],
    faces: CrowdFaces,
    confusions: Confusions | None,
    drawn: Iterator[NDArray[np.int64]],
) -> dict[str, float | None]:
    """Return the errors of estimated shares over crowds.

    A label that the network does not have gets a share of 0 and no interval. Crowds without a face that is readable, to
    the annotators or to the network, are left out.
    """
    method = AggregatorSettings().method
    posteriors = probabilities.astype(np.float64)
    labels, classes = faces.labels, probabilities.shape[1]
    _, scenes = np.unique(faces.photos, return_inverse=True)
    errors, negative, covered = [], [], []
    for members in drawn:
        true = labels[members]
        true = true[(true >= 0) & (true < UNREADABLE)]
        counted = members[readable[members] >= _READABLE_FROM]
        if not len(true) or not len(counted):
            continue
        truth = np.bincount(true, minlength=len(LABELS)) / len(true)
        _, scene = np.unique(scenes[counted], return_inverse=True)
        crowd = Crowd.of(posteriors[counted], scene, readable[counted].astype(np.float64))
        found = estimate(crowd, method, confusions)
        error = np.pad(found.shares, (0, len(LABELS) - classes)) - truth
        inside = (found.low - _ROUNDING <= truth[:classes]) & (truth[:classes] <= found.high + _ROUNDING)
        errors.append(np.abs(error).mean())
        negative.append(abs(error[list(_NEGATIVE)].sum()))
        covered.append(inside.mean())
    values = {"share_error_200": errors, "negative_error_200": negative, "coverage_90": covered}
    return {name: float(np.mean(value)) if value else None for name, value in values.items()}


def crowds(faces: CrowdFaces, count: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield crowds of 200 faces: whole photos in random order until they hold enough faces.

    Faces that were mined for rare labels are left out. Where fewer than 200 others exist, the photos are used again in
    another order.

    Args:
        faces: The faces to draw from.
        count: Number of crowds.
        seed: Seed of the order.

    Yields:
        `(200,) int64`, indices into `faces`; nothing when there are no random faces.
    """
    rows = np.flatnonzero(np.array(faces.how) == "random")
    if not len(rows):
        return
    photos, photo = np.unique(np.array(faces.photos)[rows], return_inverse=True)
    rounds = math.ceil(_FACES_A_CROWD / len(rows))
    rng = np.random.default_rng(seed)
    for _ in range(count):
        # Each round gives every photo a random place and sorts the faces by it.
        places = rng.random((rounds, len(photos)))[:, photo]
        yield rows[places.argsort(axis=1, kind="stable")].ravel()[:_FACES_A_CROWD]


def examples(
    probabilities: NDArray[np.float32], readable: NDArray[np.float32] | None, faces: CrowdFaces
) -> dict[str, list[dict[str, Any]]]:
    """Return the worst mistakes by file name, under a heading for each kind: wrong labels first, then readability.

    Args:
        probabilities: `(N, K)`, the expressions of each face.
        readable: `(N,)`, the probability that an expression can be seen; None: the network has no such output.
        faces: The same N faces with their votes.
    """
    labels, predicted = faces.labels, probabilities.argmax(axis=1)
    kinds: dict[str, Any] = {
        label: ((labels == code) & (predicted != code), probabilities.max(axis=1)) for code, label in enumerate(LABELS)
    }
    if readable is not None:
        taken = readable >= _READABLE_FROM
        kinds["unreadable, taken for readable"] = (labels == UNREADABLE) & taken, readable
        kinds["readable, taken for unreadable"] = faces.readable & ~taken, 1 - readable
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, (wrong, sure) in kinds.items():
        rows = np.flatnonzero(wrong)
        rows = rows[np.argsort(-sure[rows], kind="stable")][:_EXAMPLES]
        found[kind] = [_example(int(row), probabilities, readable, faces) for row in rows]
    return found


def _example(
    row: int, probabilities: NDArray[np.float32], readable: NDArray[np.float32] | None, faces: CrowdFaces
) -> dict[str, Any]:
    likeliest = np.argsort(-probabilities[row], kind="stable")[:3]
    votes = zip(VOTE_COLUMNS, faces.votes[row].tolist(), strict=True)
    shown = {
        "file": faces.files[row],
        "px": int(faces.px[row]),
        "votes": ", ".join(f"{count} {name}" for name, count in votes if count),
        "probabilities": ", ".join(f"{LABELS[code]} {probabilities[row, code]:.2f}" for code in likeliest),
    }
    return shown if readable is None else shown | {"readable": float(readable[row])}
