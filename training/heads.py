"""The heads of a network that learns from several kinds of labels on one trunk, and how their targets are laid out.

All heads are columns of one dense layer `logits`:

| head | columns | what it learns |
|---|---|---|
| `fer` | 7 | the label of a FER2013 face; the only head of a network that knows FER2013 alone |
| `votes` | 8 | the FER+ votes on a FER2013 face, over FER+'s eight expressions |
| `crowd` | 8 | the annotators' votes on a face of a real crowd, over `LABELS`; this head is served |
| `readable` | 1 | whether an expression can be seen at all |

Label habits differ, so each set of labels has a head of its own. Targets have the same columns, but two for
`readable`: yes and no. A row of zeros in a head's columns teaches it nothing, and a row that sums to less than one
teaches it less: weights are part of the targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from crowdmood.domain.labels import FER_LABELS, LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Targets = NDArray[np.float32]

FERPLUS_EXPRESSIONS: Final = 8
"""The first columns of FER+ votes: expressions; the others are `unknown` and `not-a-face`."""

FER: Final = slice(0, len(FER_LABELS))
VOTES: Final = slice(FER.stop, FER.stop + FERPLUS_EXPRESSIONS)
CROWD: Final = slice(VOTES.stop, VOTES.stop + len(LABELS))
READABLE: Final = CROWD.stop
"""Column of the logit, and of the target `yes`; the target `no` follows it."""

ALL_HEADS: Final = READABLE + 1
"""Number of logits of a network with every head."""

TARGETS: Final = READABLE + 2


def fer_targets(
    labels: Targets, votes: NDArray[np.uint8] | None, votes_weight: float, readable_weight: float
) -> Targets:
    """Lay out what FER2013 faces teach all heads.

    Args:
        labels: `(N, 7) float32`, targets of the head `fer`.
        votes: `(N, 10) uint8` FER+ votes, or None.
        votes_weight: Weight of the head `votes`.
        readable_weight: Weight of the head `readable`.

    Returns:
        `(N, TARGETS) float32`. A face that most FER+ taggers call "not a face" teaches `readable` alone.
    """
    targets = np.zeros((len(labels), TARGETS), dtype=np.float32)
    targets[:, FER] = labels
    targets[:, READABLE] = readable_weight
    if votes is not None:
        expressions = votes[:, :FERPLUS_EXPRESSIONS]
        targets[:, VOTES] = votes_weight * expressions / np.maximum(expressions.sum(axis=1, keepdims=True), 1)
        no_face = votes[:, -1].astype(np.int64) * 2 >= np.maximum(votes.sum(axis=1), 1)
        targets[no_face] = unreadable(readable_weight)
    return targets


def crowd_targets(votes: NDArray[np.uint8], crowd_weight: float, readable_weight: float) -> Targets:
    """Lay out what labelled faces of real crowds teach.

    Args:
        votes: `(N, 9) uint8`: annotators by label, in the order of `LABELS`, then those who found it unreadable.
        crowd_weight: Weight of the head `crowd`; a face that half of its annotators could not read weighs half.
        readable_weight: Weight of the head `readable`.

    Returns:
        `(N, TARGETS) float32`.
    """
    shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)
    targets = np.zeros((len(votes), TARGETS), dtype=np.float32)
    targets[:, CROWD] = crowd_weight * shares[:, :-1]
    targets[:, READABLE] = readable_weight * (1 - shares[:, -1])
    targets[:, READABLE + 1] = readable_weight * shares[:, -1]
    return targets


def unreadable(readable_weight: float) -> Targets:
    """Return what an image without a readable face teaches: `(TARGETS,) float32`."""
    targets = np.zeros(TARGETS, dtype=np.float32)
    targets[READABLE + 1] = readable_weight
    return targets
