"""Callbacks that follow how much of a run is done: learning rate, face size, validation, the end."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

import keras

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from training.feed import Batches
    from training.recipe import Recipe

_WARMUP: Final = 0.04
_SIZES_PX: Final = (32, 40, 48)


def cosine(done: float) -> float:
    """Return the factor of the learning rate at `done` 0 to 1: a linear rise, then half a cosine down to zero."""
    if done < _WARMUP:
        return 0.02 + 0.98 * done / _WARMUP
    return 0.5 + 0.5 * math.cos(math.pi * min((done - _WARMUP) / (1 - _WARMUP), 1.0))


def face_px(done: float, small_until: tuple[float, float]) -> int:
    """Return the side of the faces in pixels at `done` 0 to 1."""
    return _SIZES_PX[sum(done >= bound for bound in small_until)]


class Progress(keras.callbacks.Callback):
    """Sets learning rate and face size by how much of the run is done, and stops it when its time is over.

    Attributes:
        done: Share of the run that is done: 0 at the start, 1 at the end.
    """

    def __init__(
        self,
        recipe: Recipe,
        batches: Batches,
        history: list[dict[str, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Continue after `history`, whose rows hold the seconds that had passed."""
        super().__init__()
        self._recipe, self._batches, self._clock = recipe, batches, clock
        self._elapsed_before_s = history[-1]["elapsed_s"] if history else 0.0
        self._step = len(history) * len(batches)
        self._began_s = clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, earlier attempts included."""
        return self._elapsed_before_s + self._clock() - self._began_s

    @property
    def done(self) -> float:
        """Share of the run that is done, by the clock or by steps."""
        if self._recipe.minutes is not None:
            return min(self.elapsed_s / (60 * self._recipe.minutes), 1.0)
        return min(self._step / (self._recipe.epochs * len(self._batches)), 1.0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Set the size of this epoch's faces."""
        self._batches.side_px = face_px(self.done, self._recipe.small_until)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Set the learning rate of the next step."""
        if self._recipe.schedule == "cosine":
            self.model.optimizer.learning_rate = self._recipe.learning_rate * cosine(self.done)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stop the run when its time is over."""
        self._step += 1
        if self.done >= 1.0:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record time and learning rate, so that a later attempt can continue."""
        if logs is not None:
            logs["elapsed_s"] = self.elapsed_s
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class Validation(keras.callbacks.Callback):
    """Measures held-out faces after an epoch: every few epochs early in a run, every epoch near its end."""

    def __init__(
        self, progress: Progress, held_out: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.float32]]], every: int = 5
    ) -> None:
        """Measure every `every` epochs, and after each one from 60 % of the run on.

        Args:
            progress: How much of the run is done.
            held_out: Images and targets by the prefix of their figures: none for PublicTest, `crowd_` for crowds.
            every: Epochs between two measurements early in a run.
        """
        super().__init__()
        self._progress, self._held_out, self._every = progress, held_out, every

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add `val_accuracy`, with crowd faces `val_crowd_accuracy`, and their mean `val_score` to the figures."""
        if logs is None or (self._progress.done < 0.6 and epoch % self._every != 0):
            return
        accuracies = []
        for prefix, (images, targets) in self._held_out.items():
            figures = self.model.evaluate(images, targets, batch_size=256, verbose=0, return_dict=True)
            logs[f"val_{prefix}loss"] = float(figures["loss"])
            logs[f"val_{prefix}accuracy"] = float(figures[f"{prefix}accuracy"])
            accuracies.append(logs[f"val_{prefix}accuracy"])
        logs["val_score"] = sum(accuracies) / len(accuracies)
