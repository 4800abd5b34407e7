"""Checkpoints that survive a kill at any moment, the same on every Keras backend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from classifier.card import NETWORK_FILE, load_card
from crowdmood.core.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_HISTORY = "history"


def save_state(path: Path, model: Any, history: list[dict[str, float]], with_optimizer: bool = True) -> None:
    """Writes weights, optimizer state and history to `path` (`.npz`), whole or not at all."""
    arrays = {f"weight_{i:04d}": keras.ops.convert_to_numpy(v) for i, v in enumerate(model.variables)}
    slots = _slots(model) if with_optimizer else []
    arrays |= {f"slot_{i:04d}": keras.ops.convert_to_numpy(v) for i, v in enumerate(slots)}
    arrays[_HISTORY] = np.frombuffer(json.dumps(history).encode(), dtype=np.uint8)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.replace(path)  # at once: never half a file under this name


def load_state(path: Path, model: Any) -> list[dict[str, float]]:
    """Restores what `save_state` wrote into a compiled model of the same shape and returns the history.

    Raises:
        ModelError: The checkpoint belongs to another network or optimizer.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        optimizer.build(model.trainable_variables)
    with np.load(path, allow_pickle=False) as archive:
        history: list[dict[str, float]] = json.loads(archive[_HISTORY].tobytes())
        for prefix, variables in (("weight", model.variables), ("slot", _slots(model))):
            stored = sorted(name for name in archive.files if name.startswith(prefix))
            if prefix == "slot" and not stored:
                continue  # weights alone, as in best.npz: the optimizer starts fresh
            if len(stored) != len(variables):
                raise ModelError(f"{path}: holds another network's state; give --fresh or another --out")
            for name, variable in zip(stored, variables, strict=True):
                if archive[name].shape != tuple(variable.shape):
                    raise ModelError(f"{path}: {name} has shape {archive[name].shape}, not {tuple(variable.shape)}")
                variable.assign(archive[name])
    return history


def begin_from(source: Path, model: Any) -> None:
    """Set a network's weights to those of a run or of a model folder; columns of `logits` that are new stay random.

    Args:
        source: A `best.npz` of a network with the same outputs, or the model folder of a network with the same trunk.
        model: The network, in either layout.

    Raises:
        ModelError: The weights belong to another architecture.
    """
    if not source.is_dir():
        load_state(source, model)
        return
    temperature = load_card(source).calibration
    served = keras.saving.load_model(source / NETWORK_FILE, compile=False)
    *trunk, kernel, bias = model.weights
    found = served.weights
    if [tuple(one.shape) for one in found[: len(trunk)]] != [tuple(one.shape) for one in trunk]:
        raise ModelError(f"{source}: holds another architecture's network; name it with --architecture")
    for own, other in zip(trunk, found, strict=False):
        own.assign(keras.ops.convert_to_numpy(other))
    names = {layer.name for layer in served.layers}
    head = served.get_layer("logits" if "logits" in names else "expression_logits")
    # Networks of seven outputs have their temperature in their last layer.
    scale = temperature.temperature if head.name == "expression_logits" and temperature else 1.0
    for own, other in ((kernel, head.kernel), (bias, head.bias)):
        values, known = keras.ops.convert_to_numpy(own).copy(), keras.ops.convert_to_numpy(other) * scale
        width = min(values.shape[-1], known.shape[-1])
        values[..., :width] = known[..., :width]
        own.assign(values)


def _slots(model: Any) -> list[Any]:
    optimizer = getattr(model, "optimizer", None)
    return [] if optimizer is None else list(optimizer.variables)


class Checkpoint(keras.callbacks.Callback):
    """Saves the whole state after every epoch, and the weights of the best epoch beside it."""

    def __init__(self, folder: Path, history: list[dict[str, float]], monitor: str = "val_score") -> None:
        """Continues `history` (one dict an epoch) in `folder`; the best epoch has the highest `monitor`."""
        super().__init__()
        self._folder, self._history, self._monitor = folder, history, monitor

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Records the epoch and saves."""
        row = {key: float(value) for key, value in (logs or {}).items()} | {"epoch": float(epoch)}
        best = max((past.get(self._monitor, 0.0) for past in self._history), default=0.0)
        self._history.append(row)
        save_state(self._folder / "state.npz", self.model, self._history)
        if row.get(self._monitor, -1.0) >= best:
            save_state(self._folder / "best.npz", self.model, self._history, with_optimizer=False)
