"""The weighted mean of several networks that began as the same one (model soup, Wortsman et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np

from training.checkpoint import load_initial_weights, save_state
from training.fit import batches_of, compile_model
from training.heads import HEADS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.feed import Batches
    from training.fit import TrainingData
    from training.recipe import InitialNetwork, Recipe

_STATISTICS_BATCHES: Final = 100


def average(data: TrainingData, recipe: Recipe, out: Path) -> set[str]:
    """Write the weighted mean of the networks that a recipe starts from.

    The statistics of batch normalisation are measured again: those of the mean network are not the mean of theirs. One
    network alone is written as it is.

    Args:
        data: What they were trained on; it is shown augmented, as the recipe says.
        recipe: Their architecture, their weights, and the augmentation.
        out: Checkpoint to write.

    Returns:
        Heads (`training.heads.HEADS`) that none of the networks has; their weights are random.

    Raises:
        ModelError: A network cannot be read, or has another architecture.
    """
    model = compile_model(recipe)
    initial = [keras.ops.convert_to_numpy(weight).astype(np.float64) for weight in model.weights]
    sums = [np.zeros_like(array) for array in initial]
    totals = [np.zeros(array.shape[-1:]) for array in initial]
    for network in recipe.start_from:
        logits = load_initial_weights(network.path, model)
        shares = _weights_of_logits(network, logits, model.output.shape[-1])
        for number, weight in enumerate(model.weights):
            # The kernel and the bias of the logits come last; every other weight is shared by all heads.
            share = shares if number >= len(sums) - 2 else np.full(totals[number].shape, network.weight)
            sums[number] += share * keras.ops.convert_to_numpy(weight)
            totals[number] += share
    for weight, total, share, before in zip(model.weights, sums, totals, initial, strict=True):
        mean = np.where(share > 0, total / np.where(share > 0, share, 1.0), before)
        weight.assign(mean.astype(np.float32))
    if len(recipe.start_from) > 1:
        _measure_statistics(model, batches_of(data, recipe))
    save_state(out, model, [], with_optimizer=False)
    known = np.flatnonzero(totals[-1] > 0)
    return {head for head, columns in HEADS.items() if columns.stop <= len(totals[-1]) and columns.start not in known}


def _weights_of_logits(network: InitialNetwork, known: int, logits: int) -> NDArray[np.float64]:
    """Return the weight of a network for each logit; 0 for those that it does not have."""
    shares = np.full(logits, network.weight)
    for head, weight in network.heads.items():
        shares[HEADS[head]] = weight
    shares[known:] = 0
    return shares


def _measure_statistics(model: Any, batches: Batches) -> None:
    """Set the statistics of every batch normalisation to the plain average over some batches."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for number in range(min(_STATISTICS_BATCHES, len(batches))):
        for norm in norms:
            norm.momentum = number / (number + 1)
        model(batches[number][0], training=True)
