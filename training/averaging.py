"""One network from several that began as the same one: the mean of their weights (model soup, Wortsman et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np

from training.checkpoint import load_state, save_state
from training.fit import batches_of, compile_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.feed import Batches
    from training.fit import Learned
    from training.recipe import Recipe

_STATISTICS_BATCHES: Final = 100


def average(sources: Sequence[Path], learned: Learned, recipe: Recipe, out: Path) -> None:
    """Writes the mean of networks; what each layer sees is measured anew, for it is not the mean of what they saw.

    Args:
        sources: Their weights; a file that is named twice weighs twice.
        learned: What they learned from, which is shown augmented as the recipe says.
        recipe: Their architecture, and how faces are shown.
        out: Weights to write, with the history of the first.

    Raises:
        ModelError: A file holds another network's weights.
    """
    model = compile_model(recipe)
    histories, sums = [], [np.zeros(variable.shape, dtype=np.float64) for variable in model.variables]
    for source in sources:
        histories.append(load_state(source, model))
        for total, variable in zip(sums, model.variables, strict=True):
            total += keras.ops.convert_to_numpy(variable)
    for total, variable in zip(sums, model.variables, strict=True):
        variable.assign((total / len(sources)).astype(np.float32))
    _measure_statistics(model, batches_of(learned, recipe))
    save_state(out, model, histories[0], with_optimizer=False)


def _measure_statistics(model: Any, batches: Batches) -> None:
    """Sets the statistics of every batch normalisation to the plain average over some batches."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for number in range(min(_STATISTICS_BATCHES, len(batches))):
        for norm in norms:
            norm.momentum = number / (number + 1)
        model(batches[number][0], training=True)
