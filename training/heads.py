"""The heads of a network that learns from several kinds of labels: their columns, targets, loss and accuracy.

All heads are columns of one dense layer `logits`:

| head | columns | what it learns |
|---|---|---|
| `fer` | 7 | the label of a FER2013 face; the only head of a network that is trained on FER2013 alone |
| `votes` | 8 | the FER+ votes on a FER2013 face, over FER+'s eight expressions |
| `crowd` | 8 | the annotators' votes on a face of a real crowd, over `LABELS`; this head is served |
| `readable` | 1 | whether an expression can be seen at all |

Annotators label differently in each data set, so each set has a head of its own. Targets have the same columns, except
that `readable` has two: yes and no. Weights are part of the targets: zeros in the columns of a head do not train it,
and a row that sums to less than one trains it less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np
from keras import ops

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

HEADS: Final = {"fer": FER, "votes": VOTES, "crowd": CROWD, "readable": slice(READABLE, READABLE + 1)}
"""Columns of the logits by head."""

ALL_HEADS: Final = READABLE + 1
"""Number of logits of a network with every head."""

TARGETS: Final = READABLE + 2


def fer_targets(
    labels: Targets, votes: NDArray[np.uint8] | None, votes_weight: float, readable_weight: float
) -> Targets:
    """Return the targets of FER2013 faces for all heads.

    Args:
        labels: `(N, 7) float32`, targets of the head `fer`.
        votes: `(N, 10) uint8` FER+ votes, or None.
        votes_weight: Weight of the head `votes`.
        readable_weight: Weight of the head `readable`.

    Returns:
        `(N, TARGETS) float32`. A face that most FER+ taggers call "not a face" trains `readable` alone.
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
    """Return the targets of labelled faces of real crowds for all heads.

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
    """Return the target of an image without a readable face: `(TARGETS,) float32`."""
    targets = np.zeros(TARGETS, dtype=np.float32)
    targets[READABLE + 1] = readable_weight
    return targets


@keras.saving.register_keras_serializable("crowdmood")
class ExpressionLoss(keras.losses.Loss):
    """Cross-entropy of every head, in nats; weights are part of the targets."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return losses `(N,)` of targets `(N, 7)` and logits `(N, 7)`, or of `TARGETS` and `ALL_HEADS` columns."""
        loss = _cross_entropy(y_true, y_pred, FER)
        if y_pred.shape[-1] > FER.stop:
            loss += _cross_entropy(y_true, y_pred, VOTES) + _cross_entropy(y_true, y_pred, CROWD)
            logit = y_pred[:, READABLE]
            loss += y_true[:, READABLE] * ops.softplus(-logit) + y_true[:, READABLE + 1] * ops.softplus(logit)
        return loss


def _cross_entropy(y_true: Any, y_pred: Any, head: slice) -> Any:
    return -ops.sum(y_true[:, head] * ops.log_softmax(y_pred[:, head], axis=-1), axis=-1)


@keras.saving.register_keras_serializable("crowdmood")
class HeadAccuracy(keras.metrics.Mean):
    """Share of the labelled faces whose most probable label is the target's, in one head.

    Args:
        head: The head's columns, as (start, stop).
        name: Name of the figure.
        **options: Options of every metric.
    """

    def __init__(self, head: tuple[int, int] = (FER.start, FER.stop), name: str = "accuracy", **options: Any) -> None:
        super().__init__(name=name, **options)
        self._head = slice(*head)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count targets and logits; rows without a target in this head do not count."""
        wanted, given = y_true[:, self._head], y_pred[:, self._head]
        hit = ops.cast(ops.equal(ops.argmax(wanted, axis=-1), ops.argmax(given, axis=-1)), "float32")
        super().update_state(hit, ops.cast(ops.sum(wanted, axis=-1) > 0, "float32"))
