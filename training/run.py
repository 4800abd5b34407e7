"""One training run, from the data to the model folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from classifier.card import NETWORK_FILE, ModelCard, file_entry, load_card
from crowdmood.core.errors import DataError, ModelError, SettingsError
from training.averaging import average
from training.checkpoint import cached
from training.crowd_faces import load_crowd_faces
from training.crowds import load_crowds
from training.data import TRAINING, FaceData, describe
from training.export import check_out, export_folder
from training.fit import TrainingData, compile_model, fit, number_of_logits
from training.loaders import load_faces
from training.networks import build
from training.plots import class_balance
from training.refit import refit_crowd_head
from training.serving import predict_fer
from training.transfer import PREFIX, fit_head, load_backbone

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.recipe import Recipe

_CHECKPOINTS: Final = ("state.npz", "best.npz", "head.npz", "mean.npz", "refit.npz")
_EXPORTED_HEADS: Final = frozenset({"fer", "crowd", "readable"})


def run(
    recipe: Recipe, out: Path, work: Path, fresh: bool = False, summary: bool = False, model_json: bool = False
) -> ModelCard:
    """Train a network and write its model folder; a run that was killed is resumed.

    Args:
        recipe: What to train on and how.
        out: The model folder.
        work: Folder of checkpoints, cached arrays and plots of the data.
        fresh: Delete the checkpoints of an earlier run first.
        summary: Print the network's layers.
        model_json: Also write the architecture as `model.json` and the weights as `model.weights.h5`.

    Raises:
        SettingsError: The recipe lacks an input, `out` or `work` cannot be written, or something would be lost there.
        DataError: The data cannot be used.
        ModelError: A teacher, a network to begin with or a checkpoint does not fit.
    """
    faces_file = recipe.check_inputs()
    _check_folders(recipe, out, work, fresh)
    data = TrainingData(
        load_faces(faces_file),
        load_crowd_faces(recipe.crowd_faces) if recipe.crowd_faces else None,
        load_crowds(recipe.crowds, held_back=False) if recipe.crowds else None,
    )
    for name in _CHECKPOINTS if fresh else ():
        (work / name).unlink(missing_ok=True)
    report_data(data.faces, work)
    if summary:
        build(recipe.architecture, outputs=number_of_logits(recipe)).summary()
    weights = _train(data, recipe, work)
    if recipe.refit_crowd_head is not None and data.crowd_faces is not None:
        refitted = work / "refit.npz"
        refit_crowd_head(data.crowd_faces, recipe.architecture, recipe.refit_crowd_head, weights, refitted)
        weights = refitted
    held_back = load_crowds(recipe.crowds, held_back=True) if recipe.crowds else None
    card = export_folder(data, recipe, weights, out, held_back, model_json=model_json, origin=_origin(recipe))
    print(f"{out}: {card.model_id}, {card.metrics.accuracy:.2%} on PublicTest")
    return card


def _check_folders(recipe: Recipe, out: Path, work: Path, fresh: bool) -> None:
    """Check what would otherwise fail, or be lost, only after hours."""
    check_out(out)
    if work.resolve().is_relative_to(out.resolve()):
        raise SettingsError(f"{work}: lies in --out, which is replaced at the end; give another --work")
    for network in recipe.start_from if fresh else ():
        if network.path.resolve() in {(work / name).resolve() for name in _CHECKPOINTS}:
            raise SettingsError(f"{network.path}: --fresh would delete it; give another --work")
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{work}: cannot be made ({error.strerror}); give another --work") from error


def report_data(faces: FaceData, work: Path) -> None:
    """Print what the data holds, duplicates first, and draw the balance of its classes."""
    report = describe(faces)
    for pair, count in report.duplicates.items():
        print(f"{faces.name}: {count} faces of {pair}, pixel for pixel")
    for split, count in report.repeated.items():
        print(f"{faces.name}: {split} holds {sum(report.counts[split].values())} faces, {count} of them repeated")
    if report.conflicting:
        print(f"{faces.name}: {report.conflicting} images have more than one label")
    class_balance(report.counts, work / "class_balance.png")


def _train(data: TrainingData, recipe: Recipe, work: Path) -> Path:
    """Train what the recipe trains, and return the checkpoint to export."""
    backbone = recipe.architecture.startswith(PREFIX)
    initial = _backbone_with_head(data.faces, recipe, work) if backbone else _initial_weights(data, recipe, work)
    if initial is not None and (not recipe.trains or (backbone and not recipe.fine_tune_layers)):
        return initial
    fit(replace(data, teacher=teacher_probabilities(data.faces, recipe, work)), recipe, work, initial)
    best = work / "best.npz"
    if not best.exists():
        raise DataError(f"{work}: no epoch was finished; train longer")
    return best


def _initial_weights(data: TrainingData, recipe: Recipe, work: Path) -> Path | None:
    """Return the weights to begin with: those of one network, or a checkpoint of the mean of several."""
    if recipe.trains and (work / "state.npz").exists():
        return None
    if recipe.trains and len(recipe.start_from) < 2:
        return next((network.path for network in recipe.start_from), None)
    mean = work / "mean.npz"
    missing = average(data, recipe, mean) & _EXPORTED_HEADS
    if recipe.refit_crowd_head is not None:
        missing.discard("crowd")
    if missing and not recipe.trains:
        raise ModelError(
            f"start_from: no network has the head {sorted(missing)[0]!r}; train it, or add one that has it"
        )
    return mean


def _backbone_with_head(faces: FaceData, recipe: Recipe, work: Path) -> Path:
    head = work / "head.npz"
    if not head.exists():
        if recipe.backbone_weights is None:
            raise DataError(f"{recipe.architecture} needs --backbone-weights: the _notop file of keras.applications")
        model = compile_model(recipe)
        load_backbone(model, recipe.backbone_weights)
        fit_head(model, faces, recipe, work)
    return head


def _origin(recipe: Recipe) -> dict[str, list[Any]]:
    """Return the networks that a run used, for its card: checkpoints by their hashes, model folders by their names."""
    networks = [
        load_card(network.path).model_id if network.path.is_dir() else file_entry(network.path).sha256
        for network in recipe.start_from
    ]
    weights = [
        {"network": name, **network.model_dump(include={"weight", "heads"})}
        for name, network in zip(networks, recipe.start_from, strict=True)
    ]
    origin: dict[str, list[Any]] = {
        "started_from": networks,
        "mean_of": weights if len(weights) > 1 else [],
        "teachers": [load_card(folder).model_id for folder in recipe.teacher],
    }
    return {name: used for name, used in origin.items() if used}


def teacher_probabilities(faces: FaceData, recipe: Recipe, work: Path) -> NDArray[np.float32] | None:
    """Return the teachers' probabilities for the training faces and their mirror images, averaged: `(N, 7) float32`.

    They are cached beside the checkpoints, for a run that is resumed.
    """
    if not recipe.teacher:
        return None
    known = faces.split(TRAINING)
    networks = [file.sha256 for folder in recipe.teacher for file in load_card(folder).files]
    return cached(work, "teachers", [*networks, known.digest()], lambda: _predict_mean(recipe.teacher, known.images))


def _predict_mean(teachers: tuple[Path, ...], images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import keras

    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    answers = []
    for folder in teachers:
        load_card(folder)
        model = keras.saving.load_model(folder / NETWORK_FILE, compile=False)
        answers += [predict_fer(model, images), predict_fer(model, mirrored)]
    return np.mean(answers, axis=0, dtype=np.float32)
