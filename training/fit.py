"""The training run itself: compile, fit, judge, checkpoint, resume."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from training.checkpoint import Checkpoint, load_state
from training.data import PUBLIC_TEST, TRAINING
from training.feed import Batches
from training.labels import class_weights, not_a_face, one_hot, soft_targets, with_face_column
from training.losses import ExpressionAccuracy, ExpressionLoss
from training.networks import build
from training.pace import Judge, Pace
from training.transfer import PREFIX, freeze

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.crowds import CrowdCrops
    from training.data import FaceData
    from training.recipe import Recipe


def compile_model(recipe: Recipe) -> Any:
    """Builds the recipe's network, in the backend's fastest layout, with its optimizer, loss and accuracy."""
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    any_size = recipe.small_until[1] > 0
    model = build(
        recipe.architecture, native=keras.backend.backend() == "torch", outputs=recipe.outputs, any_size=any_size
    )
    if recipe.architecture.startswith(PREFIX):
        freeze(model, recipe.fine_tune_layers)
    if recipe.optimizer == "adam":
        optimizer = keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
    else:
        optimizer = keras.optimizers.SGD(
            recipe.learning_rate, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
        )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    # Compiling for XLA or TorchInductor was measured and is slower than eager kernels for these networks on CPUs.
    model.compile(optimizer, ExpressionLoss(), metrics=[ExpressionAccuracy()], jit_compile=False)
    return model


def training_pool(
    known: FaceData, recipe: Recipe, teacher: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Returns the training faces and their targets `(N, recipe.outputs) float32`."""
    targets = soft_targets(known.labels, known.votes, recipe.ferplus_blend, recipe.label_smoothing)
    if teacher is not None:
        targets = (1 - recipe.teacher_blend) * targets + recipe.teacher_blend * teacher
    if recipe.class_weights:
        targets *= class_weights(known.labels)[known.labels][:, None]
    if recipe.face_output:
        nothing = not_a_face(known.votes) if known.votes is not None else np.zeros(len(known), dtype=bool)
        targets = with_face_column(targets, nothing)
    return known.images, targets.astype(np.float32)


def extra_pool(crowds: CrowdCrops | None) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """Returns crowd crops with targets `(N, 8)` that say face or not, and nothing about expressions.

    The cascade's mistakes stand in the pool three times: they are what the network will meet.
    """
    if crowds is None:
        return None
    mistakes = crowds.backgrounds[len(crowds.backgrounds) - crowds.mistakes :]
    backgrounds = np.concatenate([crowds.backgrounds, mistakes, mistakes])
    times = max(len(backgrounds) // max(len(crowds.faces), 1), 1)
    images = np.concatenate([backgrounds, np.repeat(crowds.faces, times, axis=0)])
    targets = np.zeros((len(images), 8), dtype=np.float32)
    targets[: len(backgrounds), 7] = 1
    return images, targets


def fit(
    data: FaceData,
    recipe: Recipe,
    work: Path,
    crowds: CrowdCrops | None = None,
    teacher: NDArray[np.float32] | None = None,
    start_from: Path | None = None,
) -> list[dict[str, float]]:
    """Trains, or goes on where a killed run stopped.

    Args:
        data: Training and PublicTest faces.
        recipe: What to train and how.
        work: Folder of `state.npz` (to resume) and `best.npz` (the epoch with the best PublicTest accuracy).
        crowds: Crops for the eighth output.
        teacher: Probabilities `(N, 7)` of a teacher for the training faces.
        start_from: Weights (a `best.npz`) to begin with instead of random ones.

    Returns:
        One dict of losses and accuracies an epoch.
    """
    known, judged = data.split(TRAINING), data.split(PUBLIC_TEST)
    model = compile_model(recipe)
    work.mkdir(parents=True, exist_ok=True)
    state = work / "state.npz"
    history = load_state(state, model) if state.exists() else []
    if start_from is not None and not history:
        load_state(start_from, model)
    batches = Batches(
        training_pool(known, recipe, teacher),
        recipe.batch_size,
        recipe.augmentation,
        recipe.seed,
        len(history),
        extra_pool(crowds),
        recipe.crowd_crops,
        any_size=recipe.small_until[1] > 0,
    )
    pace = Pace(recipe, batches, history)
    wanted = one_hot(judged.labels)
    if recipe.face_output:
        wanted = with_face_column(wanted, np.zeros(len(judged), dtype=bool))
    # Early stopping and a rate that falls on plateaus must see every epoch.
    watched = recipe.schedule == "plateau" or recipe.stop_patience > 0
    callbacks = [pace, Judge(pace, judged.images[..., None], wanted, every=1 if watched else 5)]
    if recipe.schedule == "plateau":
        callbacks.append(keras.callbacks.ReduceLROnPlateau("val_accuracy", 0.5, recipe.plateau_patience, mode="max"))
    if recipe.stop_patience:
        callbacks.append(keras.callbacks.EarlyStopping("val_accuracy", patience=recipe.stop_patience, mode="max"))
    callbacks.append(Checkpoint(work, history))
    if pace.progress < 1 and not stopped_early(history, recipe.stop_patience):
        model.fit(
            batches,
            epochs=recipe.epochs if recipe.minutes is None else 1_000_000,
            initial_epoch=len(history),
            shuffle=False,
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=callbacks,
        )
    return history


def stopped_early(history: list[dict[str, float]], patience: int) -> bool:
    """Whether a run has ended because nothing got better: it is not to go on when it is started again."""
    judged = [row.get("val_accuracy", 0.0) for row in history]
    return bool(patience and judged) and len(judged) - 1 - int(np.argmax(judged)) >= patience
