"""Checkpoints that survive a kill at any moment, the same on every Keras backend, and arrays cached beside them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import keras
import numpy as np

from classifier.card import NETWORK_FILE, load_card
from crowdmood.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_HISTORY = "history"


def save_state(path: Path, model: Any, history: list[dict[str, float]], with_optimizer: bool = True) -> None:
    """Write weights, optimizer state and history to `path` (`.npz`), completely or not at all."""
    arrays = {f"weight_{i:04d}": keras.ops.convert_to_numpy(v) for i, v in enumerate(model.variables)}
    slots = _slots(model) if with_optimizer else []
    arrays |= {f"slot_{i:04d}": keras.ops.convert_to_numpy(v) for i, v in enumerate(slots)}
    arrays[_HISTORY] = np.frombuffer(json.dumps(history).encode(), dtype=np.uint8)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.replace(path)  # atomic: no incomplete file has this name


def load_state(path: Path, model: Any) -> list[dict[str, float]]:
    """Restore what `save_state` wrote into a compiled model of the same shape and return the history.

    Raises:
        ModelError: The file cannot be read, or belongs to another network or optimizer.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        optimizer.build(model.trainable_variables)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        history: list[dict[str, float]] = json.loads(arrays[_HISTORY].tobytes())
    except (BadZipFile, KeyError, OSError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: is no checkpoint ({error}); give a best.npz or a model folder") from error
    for prefix, variables in (("weight", model.variables), ("slot", _slots(model))):
        stored = sorted(name for name in arrays if name.startswith(prefix))
        if prefix == "slot" and not stored:
            continue  # weights alone, as in best.npz: the optimizer starts afresh
        if len(stored) != len(variables):
            raise ModelError(f"{path}: holds another network's state; give --fresh or another --out")
        for name, variable in zip(stored, variables, strict=True):
            if arrays[name].shape != tuple(variable.shape):
                raise ModelError(f"{path}: {name} has shape {arrays[name].shape}, not {tuple(variable.shape)}")
            variable.assign(arrays[name])
    return history


def load_initial_weights(source: Path, model: Any) -> int:
    """Set a network's weights to those of another run or of a model folder.

    Args:
        source: A `best.npz` of a network with the same outputs, or the model folder of a network with the same trunk.
        model: The network, in either layout.

    Returns:
        The number of logits that the source has; the weights of the others are unchanged.

    Raises:
        ModelError: The weights cannot be read, or belong to another architecture.
    """
    if not source.is_dir():
        load_state(source, model)
        return int(model.output.shape[-1])
    calibration = load_card(source).calibration
    served = keras.saving.load_model(source / NETWORK_FILE, compile=False)
    *trunk, kernel, bias = model.weights
    found = served.weights
    if [tuple(one.shape) for one in found[: len(trunk)]] != [tuple(one.shape) for one in trunk]:
        raise ModelError(f"{source}: has another architecture; set architecture to that of its card")
    for own, other in zip(trunk, found, strict=False):
        own.assign(keras.ops.convert_to_numpy(other))
    names = {layer.name for layer in served.layers}
    head = served.get_layer("logits" if "logits" in names else "expression_logits")
    # Networks of seven outputs have their temperature in their last layer.
    scale = calibration.temperature if head.name == "expression_logits" and calibration else 1.0
    width = min(kernel.shape[-1], head.kernel.shape[-1])
    for own, other in ((kernel, head.kernel), (bias, head.bias)):
        values = keras.ops.convert_to_numpy(own).copy()
        values[..., :width] = keras.ops.convert_to_numpy(other)[..., :width] * scale
        own.assign(values)
    return int(width)


def _slots(model: Any) -> list[Any]:
    optimizer = getattr(model, "optimizer", None)
    return [] if optimizer is None else list(optimizer.variables)


class Checkpoint(keras.callbacks.Callback):
    """Saves the whole state after every epoch, and the weights of the best epoch beside it."""

    def __init__(self, folder: Path, history: list[dict[str, float]], monitor: str = "val_score") -> None:
        """Continue `history` (one dict an epoch) in `folder`; the best epoch has the highest `monitor`."""
        super().__init__()
        self._folder, self._history, self._monitor = folder, history, monitor

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Record the epoch and save."""
        row = {key: float(value) for key, value in (logs or {}).items()} | {"epoch": float(epoch)}
        best = max((past.get(self._monitor, 0.0) for past in self._history), default=0.0)
        self._history.append(row)
        save_state(self._folder / "state.npz", self.model, self._history)
        if row.get(self._monitor, -1.0) >= best:
            save_state(self._folder / "best.npz", self.model, self._history, with_optimizer=False)


def cached(
    folder: Path, name: str, inputs: Sequence[str], compute: Callable[[], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return an array from the cache beside the checkpoints; compute and store it first if it is not there.

    Args:
        folder: Folder of the cache; the file is `NAME-HASH.npy`.
        name: What the array is.
        inputs: Hashes or names of everything that it depends on.
        compute: Returns the array, `(N, ...) float32`.
    """
    path = folder / f"{name}-{hashlib.sha256(repr(list(inputs)).encode()).hexdigest()[:12]}.npy"
    if not path.exists():
        computed = compute()
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, computed, allow_pickle=False)
        partial.replace(path)  # atomic: no incomplete file has this name
    stored: NDArray[np.float32] = np.load(path, allow_pickle=False)
    return stored
