"""The training itself: compile, fit, validate, save, resume."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np

from crowdmood.domain.framing import FRAMINGS
from crowdmood.domain.labels import FER_LABELS
from training.checkpoint import Checkpoint, load_initial_weights, load_state
from training.crowd_faces import NO_LABEL, UNREADABLE
from training.data import PUBLIC_TEST, TRAINING
from training.feed import Batches, Pool
from training.heads import (
    ALL_HEADS,
    CROWD,
    ExpressionLoss,
    HeadAccuracy,
    crowd_targets,
    fer_targets,
    unreadable,
)
from training.labels import class_weights, one_hot, soft_targets, taggers_agree
from training.networks import build
from training.progress import Progress, Validation
from training.transfer import PREFIX, freeze

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.crowd_faces import CrowdFaces
    from training.crowds import CrowdCrops
    from training.data import FaceData
    from training.recipe import Recipe


_AROUND: Final = 2.0
"""Crowd faces are kept with twice their box around them, so that framings can vary without inventing pixels."""

_AROUND_PX: Final = 128
"""Side of what is kept: a face of 58 pixels in YuNet's framing, of which 48 are learned from."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Everything that a run learns from, and the held-out faces that epochs are compared on.

    Attributes:
        faces: Training and PublicTest faces of FER2013, or the user's own.
        crowd_faces: Labelled faces of real crowds, or None.
        crowds: Squares of crowd photos, or None.
        teacher: Probabilities `(N, 7) float32` of a teacher for the training faces, or None.
    """

    faces: FaceData
    crowd_faces: CrowdFaces | None = None
    crowds: CrowdCrops | None = None
    teacher: NDArray[np.float32] | None = None


def number_of_logits(recipe: Recipe) -> int:
    """Return the number of logits: those of every head with crowd faces, those of FER2013's labels without."""
    return ALL_HEADS if recipe.crowd_faces else len(FER_LABELS)


def compile_model(recipe: Recipe) -> Any:
    """Build the recipe's network, in the backend's fastest layout, with its optimizer, loss and accuracy."""
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    any_size = recipe.small_until[1] > 0
    native = keras.backend.backend() == "torch"
    model = build(recipe.architecture, native=native, outputs=number_of_logits(recipe), any_size=any_size)
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
    metrics = [HeadAccuracy()]
    if recipe.crowd_faces:
        metrics.append(HeadAccuracy((CROWD.start, CROWD.stop), name="crowd_accuracy"))
    model.compile(optimizer, ExpressionLoss(), metrics=metrics, jit_compile=False)
    return model


def fer_pool(known: FaceData, recipe: Recipe, teacher: NDArray[np.float32] | None = None) -> Pool:
    """Return the training faces of FER2013 (or the user's own) with their targets.

    Args:
        known: The faces.
        recipe: How targets are made.
        teacher: Probabilities `(N, 7)` of a teacher.
    """
    targets = soft_targets(known.labels, known.votes, recipe.ferplus_blend, recipe.label_smoothing)
    if teacher is not None:
        targets = ((1 - recipe.teacher_blend) * targets + recipe.teacher_blend * teacher).astype(np.float32)
    if recipe.class_weights:
        targets *= class_weights(known.labels)[known.labels][:, None]
    if not recipe.crowd_faces:
        return Pool(known.images, targets)
    all_heads = fer_targets(targets, known.votes, recipe.votes_weight, recipe.readable_weight)
    if recipe.agreed_weight and known.votes is not None:
        sure = taggers_agree(known.votes, known.labels)
        all_heads[sure, CROWD.start : CROWD.start + len(FER_LABELS)] = recipe.agreed_weight * targets[sure]
    return Pool(known.images, all_heads)


def crowd_pool(faces: CrowdFaces, recipe: Recipe) -> Pool:
    """Return labelled faces of real crowds with their targets; faces are cut from twice their box when drawn."""
    shares = faces.votes / np.maximum(faces.votes.sum(axis=1, keepdims=True), 1)
    rarity = np.maximum(shares.sum(axis=0), 1.0) ** -recipe.crowd_balance
    return Pool(
        faces.crops(_AROUND, _AROUND_PX),
        crowd_targets(faces.votes, recipe.crowd_weight, recipe.readable_weight),
        recipe.crowd_faces_per_epoch,
        shares @ rarity,
        FRAMINGS["yunet"].side / _AROUND,
    )


def background_pool(crowds: CrowdCrops, recipe: Recipe) -> Pool:
    """Return squares of crowd photos without a face, all unreadable.

    The cascade's false detections are in the pool three times, as the network will meet more of them in service.
    """
    false = crowds.backgrounds[len(crowds.backgrounds) - crowds.mistakes :]
    images = np.concatenate([crowds.backgrounds, false, false])
    targets = np.repeat(unreadable(recipe.readable_weight)[None], len(images), axis=0)
    return Pool(images, targets, recipe.crowd_backgrounds)


def training_pools(data: TrainingData, recipe: Recipe) -> list[Pool]:
    """Return everything that a run learns from."""
    pools = [fer_pool(data.faces.split(TRAINING), recipe, data.teacher)]
    if data.crowd_faces is not None:
        pools.append(crowd_pool(data.crowd_faces.select(data.crowd_faces.in_split("train")), recipe))
    if data.crowds is not None:
        pools.append(background_pool(data.crowds, recipe))
    return pools


def batches_of(data: TrainingData, recipe: Recipe, start_epoch: int = 0) -> Batches:
    """Return the batches of a run, beginning with an epoch."""
    return Batches(
        training_pools(data, recipe),
        recipe.batch_size,
        recipe.augmentation,
        recipe.seed,
        start_epoch,
        any_size=recipe.small_until[1] > 0,
        readable_weight=recipe.readable_weight,
    )


def held_out(data: TrainingData) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Return the faces that epochs are compared on, images `(N, 48, 48, 1)` and targets, by the prefix of figures."""
    public = data.faces.split(PUBLIC_TEST)
    labels = one_hot(public.labels)
    if data.crowd_faces is None:
        return {"": (public.images[..., None], labels)}
    crowd = data.crowd_faces.select(data.crowd_faces.in_split("validation"))
    crowd = crowd.select((crowd.labels != NO_LABEL) & (crowd.labels != UNREADABLE))
    return {
        "": (public.images[..., None], fer_targets(labels, None, 0.0, 0.0)),
        "crowd_": (crowd.crops()[..., None], crowd_targets(crowd.votes, 1.0, 0.0)),
    }


def fit(data: TrainingData, recipe: Recipe, work: Path, initial: Path | None = None) -> list[dict[str, float]]:
    """Train, or resume a run that was killed.

    Args:
        data: What to learn from, and held-out faces of the same kinds.
        recipe: What to train and how.
        work: Folder of `state.npz` (to resume) and `best.npz` (the best epoch, see `training.progress.Validation`).
        initial: Weights to begin with instead of random ones: a `best.npz`, or a model folder.

    Returns:
        One dict of losses and accuracies an epoch.
    """
    model = compile_model(recipe)
    work.mkdir(parents=True, exist_ok=True)
    state = work / "state.npz"
    history = load_state(state, model) if state.exists() else []
    if initial is not None and not history:
        load_initial_weights(initial, model)
    batches = batches_of(data, recipe, len(history))
    progress = Progress(recipe, batches, history)
    # Early stopping and the plateau schedule need a figure of every epoch.
    every = 1 if recipe.schedule == "plateau" or recipe.stop_patience > 0 else 5
    callbacks = [progress, Validation(progress, held_out(data), every)]
    if recipe.schedule == "plateau":
        callbacks.append(keras.callbacks.ReduceLROnPlateau("val_score", 0.5, recipe.plateau_patience, mode="max"))
    if recipe.stop_patience:
        callbacks.append(keras.callbacks.EarlyStopping("val_score", patience=recipe.stop_patience, mode="max"))
    callbacks.append(Checkpoint(work, history))
    if progress.done < 1 and not stopped_early(history, recipe.stop_patience):
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
    """Return whether a run ended because nothing improved: it does not continue when it is started again."""
    scores = [row.get("val_score", 0.0) for row in history]
    return bool(patience and scores) and len(scores) - 1 - int(np.argmax(scores)) >= patience
