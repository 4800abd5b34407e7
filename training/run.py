"""One training run from the data to the model folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from classifier.card import NETWORK_FILE, ModelCard, file_entry, load_card
from crowdmood.core.errors import DataError, SettingsError
from training.averaging import average
from training.caching import cached
from training.crowd_faces import load_crowd_faces
from training.crowds import load_crowds
from training.data import TRAINING, FaceData, describe
from training.export import check_out, export_folder
from training.fit import Learned, compile_model, fit
from training.loaders import load_faces
from training.networks import build
from training.plots import class_balance
from training.serving import predict_fer
from training.transfer import PREFIX, fit_head, load_backbone

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.recipe import Recipe

_CHECKPOINTS: Final = ("state.npz", "best.npz", "head.npz", "mean.npz")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a run reads and writes; None: not used.

    Attributes:
        data: Labelled faces.
        out: The model folder.
        work: Checkpoints, logs, saved features, pictures of the data.
        teachers: Model folders to distil from; what they say is averaged.
        crowd_faces: Labelled faces of real crowds.
        crowds: Crowd photographs, whose squares without a face are unreadable.
        start_from: Weights or model folders to begin with; of several weights, their mean.
        backbone_weights: Weights of a `keras.applications` backbone.
    """

    data: Path
    out: Path
    work: Path
    teachers: tuple[Path, ...] = ()
    crowd_faces: Path | None = None
    crowds: Path | None = None
    start_from: tuple[Path, ...] = ()
    backbone_weights: Path | None = None


def run(recipe: Recipe, paths: Paths, fresh: bool, summary: bool, model_json: bool) -> ModelCard:
    """Trains a network and writes its model folder; a run that was killed goes on where it stopped.

    Args:
        recipe: What to train and how.
        paths: Where to read and write.
        fresh: Forget an earlier run's checkpoints.
        summary: Print the network's layers.
        model_json: Also write the architecture as `model.json` and the weights as `model.weights.h5`.

    Raises:
        SettingsError: `out` or `work` cannot be written, or something would be lost there.
        DataError: The data cannot be used.
        ModelError: The teacher, the weights to begin with or the checkpoint do not fit.
    """
    _check_folders(paths, fresh)
    learned = _learned(recipe, paths)
    faces = learned.faces
    for name in _CHECKPOINTS if fresh else ():
        (paths.work / name).unlink(missing_ok=True)
    report_data(faces, paths.work)
    if summary:
        build(recipe.architecture, outputs=recipe.outputs).summary()
    start_from = _beginning(learned, recipe, paths)
    if recipe.architecture.startswith(PREFIX):
        start_from = _prepare_backbone(faces, recipe, paths)
    trained = recipe.epochs > 0 or recipe.minutes is not None
    if trained and (not recipe.architecture.startswith(PREFIX) or recipe.fine_tune_layers):
        fit(replace(learned, teacher=teach(faces, paths)), recipe, paths.work, start_from)
    weights = paths.work / "best.npz" if (paths.work / "best.npz").exists() else start_from
    if weights is None:
        raise DataError(f"{paths.work}: no epoch was finished; train longer")
    held_back = load_crowds(paths.crowds, held_back=True) if paths.crowds and recipe.crowd_backgrounds else None
    card = export_folder(learned, recipe, weights, paths.out, held_back, model_json=model_json, origin=_origin(paths))
    print(f"{paths.out}: {card.model_id}, {card.metrics.accuracy:.2%} on PublicTest")
    return card


def _check_folders(paths: Paths, fresh: bool) -> None:
    """Makes sure of what would fail or be lost only after hours."""
    check_out(paths.out)
    if paths.work.resolve().is_relative_to(paths.out.resolve()):
        raise SettingsError(f"{paths.work}: lies in --out, which is replaced at the end; give another --work")
    for weights in paths.start_from if fresh else ():
        if weights.resolve() in {(paths.work / name).resolve() for name in _CHECKPOINTS}:
            raise SettingsError(f"{weights}: --fresh would delete it; give another --work")
    try:
        paths.work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{paths.work}: cannot be made ({error.strerror}); give another --work") from error


def report_data(faces: FaceData, work: Path) -> None:
    """Prints what the data holds, duplicates first, and draws the balance of its classes."""
    report = describe(faces)
    for pair, count in report.duplicates.items():
        print(f"{faces.name}: {count} faces of {pair}, pixel for pixel")
    for split, count in report.repeated.items():
        print(f"{faces.name}: {split} holds {sum(report.counts[split].values())} faces, {count} of them repeated")
    if report.conflicting:
        print(f"{faces.name}: {report.conflicting} pictures carry more than one label")
    class_balance(report.counts, work / "class_balance.png")


def _origin(paths: Paths) -> dict[str, list[str]]:
    """What else the network came from, for its card: weights by their hashes, teachers by their names."""
    origin = {
        "started_from": [
            load_card(path).model_id if path.is_dir() else file_entry(path).sha256 for path in paths.start_from
        ],
        "teachers": [load_card(folder).model_id for folder in paths.teachers],
    }
    return {what: names for what, names in origin.items() if names}


def _learned(recipe: Recipe, paths: Paths) -> Learned:
    """Read everything that is learned from, but what teachers say.

    Raises:
        SettingsError: Crowd faces are asked for and not given, or the other way round.
        DataError: The data cannot be used.
    """
    if recipe.crowd_faces and paths.crowd_faces is None:
        raise SettingsError("the recipe learns from crowd faces: name their folder with --crowd-faces")
    return Learned(
        load_faces(paths.data),
        load_crowd_faces(paths.crowd_faces) if paths.crowd_faces and recipe.crowd_faces else None,
        load_crowds(paths.crowds, held_back=False) if paths.crowds and recipe.crowd_backgrounds else None,
    )


def _beginning(learned: Learned, recipe: Recipe, paths: Paths) -> Path | None:
    """Return the weights to begin with: those that are named, or the mean of several."""
    if len(paths.start_from) < 2:
        return next(iter(paths.start_from), None)
    mean = paths.work / "mean.npz"
    average(paths.start_from, learned, recipe, mean)
    return mean


def _prepare_backbone(faces: FaceData, recipe: Recipe, paths: Paths) -> Path:
    head = paths.work / "head.npz"
    if not head.exists():
        if paths.backbone_weights is None:
            raise DataError(f"{recipe.architecture} needs --backbone-weights: the _notop file of keras.applications")
        model = compile_model(recipe)
        load_backbone(model, paths.backbone_weights)
        fit_head(model, faces, recipe, paths.work)
    return head


def teach(faces: FaceData, paths: Paths) -> NDArray[np.float32] | None:
    """What the teachers say about the training faces and their mirror images, averaged: `(N, 7) float32`.

    It is kept beside the checkpoint: a run that goes on need not ask again.
    """
    if not paths.teachers:
        return None
    known = faces.split(TRAINING)
    networks = [file.sha256 for folder in paths.teachers for file in load_card(folder).files]
    return cached(paths.work, "teachers", [*networks, known.digest()], lambda: _ask(paths.teachers, known.images))


def _ask(teachers: tuple[Path, ...], images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import keras

    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    answers = []
    for folder in teachers:
        load_card(folder)
        model = keras.saving.load_model(folder / NETWORK_FILE, compile=False)
        answers += [predict_fer(model, images), predict_fer(model, mirrored)]
    return np.mean(answers, axis=0, dtype=np.float32)
