"""The training run itself: compile, fit, compare epochs, checkpoint, resume."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np

from crowdmood.domain.framing import FRAMINGS
from crowdmood.domain.labels import FER_LABELS
from training.checkpoint import Checkpoint, begin_from, load_state
from training.crowd_faces import NO_LABEL, UNREADABLE
from training.data import PUBLIC_TEST, TRAINING
from training.feed import Batches, Pool
from training.heads import CROWD, crowd_targets, fer_targets, unreadable
from training.labels import agreed, class_weights, one_hot, soft_targets
from training.losses import ExpressionLoss, HeadAccuracy
from training.networks import build
from training.pace import Judge, Pace
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
class Learned:
    """What a run learns from and is compared by.

    Attributes:
        faces: Training and PublicTest faces of FER2013, or the user's own.
        crowd_faces: Labelled faces of real crowds; None: there are none.
        crowds: Squares of crowd photographs; None: there are none.
        teacher: Probabilities `(N, 7) float32` of a teacher for the training faces; None: no teacher.
    """

    faces: FaceData
    crowd_faces: CrowdFaces | None = None
    crowds: CrowdCrops | None = None
    teacher: NDArray[np.float32] | None = None


def compile_model(recipe: Recipe) -> Any:
    """Build the recipe's network, in the backend's fastest layout, with its optimizer, loss and accuracy."""
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
    metrics = [HeadAccuracy()]
    if recipe.crowd_faces:
        metrics.append(HeadAccuracy((CROWD.start, CROWD.stop), name="crowd_accuracy"))
    model.compile(optimizer, ExpressionLoss(), metrics=metrics, jit_compile=False)
    return model


def fer_pool(known: FaceData, recipe: Recipe, teacher: NDArray[np.float32] | None = None) -> Pool:
    """Return the training faces of FER2013 (or the user's own) and what they teach.

    Args:
        known: The faces.
        recipe: How they are taught.
        teacher: Probabilities `(N, 7)` of a teacher.
    """
    targets = soft_targets(known.labels, known.votes, recipe.ferplus_blend, recipe.label_smoothing)
    if teacher is not None:
        targets = ((1 - recipe.teacher_blend) * targets + recipe.teacher_blend * teacher).astype(np.float32)
    if recipe.class_weights:
        targets *= class_weights(known.labels)[known.labels][:, None]
    if not recipe.crowd_faces:
        return Pool(known.images, targets)
    laid_out = fer_targets(targets, known.votes, recipe.votes_weight, recipe.readable_weight)
    if recipe.agreed_weight and known.votes is not None:
        sure = agreed(known.votes, known.labels)
        laid_out[sure, CROWD.start : CROWD.start + len(FER_LABELS)] = recipe.agreed_weight * targets[sure]
    return Pool(known.images, laid_out)


def crowd_pool(faces: CrowdFaces, recipe: Recipe) -> Pool:
    """Return labelled faces of real crowds, cut when they are drawn from twice their box, and what they teach."""
    shares = faces.votes / np.maximum(faces.votes.sum(axis=1, keepdims=True), 1)
    rarity = np.maximum(shares.sum(axis=0), 1.0) ** -recipe.crowd_balance
    return Pool(
        faces.crops(_AROUND, _AROUND_PX),
        crowd_targets(faces.votes, recipe.crowd_weight, recipe.readable_weight),
        recipe.crowd_faces,
        shares @ rarity,
        FRAMINGS["yunet"].side / _AROUND,
    )


def background_pool(crowds: CrowdCrops, recipe: Recipe) -> Pool:
    """Return squares of crowd photographs without a face, all unreadable.

    The cascade's mistakes stand in the pool three times: they are what the network will meet.
    """
    mistakes = crowds.backgrounds[len(crowds.backgrounds) - crowds.mistakes :]
    images = np.concatenate([crowds.backgrounds, mistakes, mistakes])
    targets = np.repeat(unreadable(recipe.readable_weight)[None], len(images), axis=0)
    return Pool(images, targets, recipe.crowd_backgrounds)


def training_pools(learned: Learned, recipe: Recipe) -> list[Pool]:
    """Return everything that a run learns from."""
    pools = [fer_pool(learned.faces.split(TRAINING), recipe, learned.teacher)]
    if recipe.crowd_faces and learned.crowd_faces is not None:
        pools.append(crowd_pool(learned.crowd_faces.select(learned.crowd_faces.in_split("train")), recipe))
    if recipe.crowd_backgrounds and learned.crowds is not None:
        pools.append(background_pool(learned.crowds, recipe))
    return pools


def batches_of(learned: Learned, recipe: Recipe, start_epoch: int = 0) -> Batches:
    """Return the batches of a run from an epoch on."""
    return Batches(
        training_pools(learned, recipe),
        recipe.batch_size,
        recipe.augmentation,
        recipe.seed,
        start_epoch,
        any_size=recipe.small_until[1] > 0,
        readable_weight=recipe.readable_weight,
    )


def held_out(learned: Learned, recipe: Recipe) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Return what epochs are compared by: images `(N, 48, 48, 1)` and targets, by the prefix of their figures."""
    public = learned.faces.split(PUBLIC_TEST)
    labels = one_hot(public.labels)
    if not recipe.crowd_faces or learned.crowd_faces is None:
        return {"": (public.images[..., None], labels)}
    crowd = learned.crowd_faces.select(learned.crowd_faces.in_split("validation"))
    crowd = crowd.select((crowd.labels != NO_LABEL) & (crowd.labels != UNREADABLE))
    of_crowd = crowd_targets(crowd.votes, 1.0, 0.0)
    return {
        "": (public.images[..., None], fer_targets(labels, None, 0.0, 0.0)),
        "crowd_": (crowd.crops()[..., None], of_crowd),
    }


def fit(learned: Learned, recipe: Recipe, work: Path, start_from: Path | None = None) -> list[dict[str, float]]:
    """Train, or go on where a killed run stopped.

    Args:
        learned: What to learn from, and held-out faces of the same kinds.
        recipe: What to train and how.
        work: Folder of `state.npz` (to resume) and `best.npz` (the best epoch, see `training.pace.Judge`).
        start_from: Weights to begin with instead of random ones: a `best.npz`, or a model folder.

    Returns:
        One dict of losses and accuracies an epoch.
    """
    model = compile_model(recipe)
    work.mkdir(parents=True, exist_ok=True)
    state = work / "state.npz"
    history = load_state(state, model) if state.exists() else []
    if start_from is not None and not history:
        begin_from(start_from, model)
    batches = batches_of(learned, recipe, len(history))
    pace = Pace(recipe, batches, history)
    # Early stopping and a rate that falls on plateaus must see every epoch.
    watched = recipe.schedule == "plateau" or recipe.stop_patience > 0
    callbacks = [pace, Judge(pace, held_out(learned, recipe), every=1 if watched else 5)]
    if recipe.schedule == "plateau":
        callbacks.append(keras.callbacks.ReduceLROnPlateau("val_score", 0.5, recipe.plateau_patience, mode="max"))
    if recipe.stop_patience:
        callbacks.append(keras.callbacks.EarlyStopping("val_score", patience=recipe.stop_patience, mode="max"))
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
    judged = [row.get("val_score", 0.0) for row in history]
    return bool(patience and judged) and len(judged) - 1 - int(np.argmax(judged)) >= patience
