"""Loss and accuracy of a network with one head or several (see `training.heads`)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from training.heads import CROWD, FER, READABLE, VOTES


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
        **options: Of every metric.
    """

    def __init__(self, head: tuple[int, int] = (FER.start, FER.stop), name: str = "accuracy", **options: Any) -> None:
        super().__init__(name=name, **options)
        self._head = slice(*head)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count targets and logits; rows that teach the head nothing do not count."""
        wanted, given = y_true[:, self._head], y_pred[:, self._head]
        hit = ops.cast(ops.equal(ops.argmax(wanted, axis=-1), ops.argmax(given, axis=-1)), "float32")
        super().update_state(hit, ops.cast(ops.sum(wanted, axis=-1) > 0, "float32"))
