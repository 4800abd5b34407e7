"""Loss and accuracy over the seven expressions and, with an eighth logit, over "not a face".

The eight logits are one softmax, read as `P(face) * P(expression | face)`. The loss is the cross-entropy of the two
factors, so that a face without an expression label teaches only the first, and a background nothing about expressions.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_EXPRESSIONS = 7


@keras.saving.register_keras_serializable("crowdmood")
class ExpressionLoss(keras.losses.Loss):
    """Cross-entropy of expressions given a face, plus that of "is it a face"; in nats."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns `(N,)` losses from targets `(N, 7 or 8)` and logits of the same shape."""
        expressions = y_pred[:, :_EXPRESSIONS]
        loss = -ops.sum(y_true[:, :_EXPRESSIONS] * ops.log_softmax(expressions, axis=-1), axis=-1)
        if y_pred.shape[-1] > _EXPRESSIONS:
            face = ops.logsumexp(expressions, axis=-1) - y_pred[:, _EXPRESSIONS]
            nothing = y_true[:, _EXPRESSIONS]
            loss = loss + (1 - nothing) * ops.softplus(-face) + nothing * ops.softplus(face)
        return loss


@keras.saving.register_keras_serializable("crowdmood")
class ExpressionAccuracy(keras.metrics.Mean):
    """Share of the labelled faces whose most probable expression is the target's."""

    def __init__(self, name: str = "accuracy", **options: Any) -> None:
        super().__init__(name=name, **options)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts `(N, 7 or 8)` targets and logits; rows without an expression do not count."""
        wanted, given = y_true[:, :_EXPRESSIONS], y_pred[:, :_EXPRESSIONS]
        hit = ops.cast(ops.equal(ops.argmax(wanted, axis=-1), ops.argmax(given, axis=-1)), "float32")
        super().update_state(hit, ops.cast(ops.sum(wanted, axis=-1) > 0, "float32"))
