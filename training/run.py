"""One training run from the data to the model folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classifier.card import NETWORK_FILE, ModelCard, load_card
from crowdmood.errors import DataError
from training.crowds import CrowdCrops, load_crowds
from training.data import TRAINING, FaceData, describe
from training.export import export_folder
from training.fit import compile_model, fit
from training.loaders import load_faces
from training.networks import build
from training.plots import class_balance
from training.serving import predict
from training.transfer import PREFIX, fit_head, load_backbone

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a run reads and writes; None: not used.

    Attributes:
        data: Labelled faces.
        out: The model folder.
        work: Checkpoints, logs, saved features, pictures of the data.
        teachers: Model folders to distil from; what they say is averaged.
        crowds: Crowd photographs for the face output.
        start_from: Weights to begin with.
        backbone_weights: Weights of a `keras.applications` backbone.
    """

    data: Path
    out: Path
    work: Path
    teachers: tuple[Path, ...] = ()
    crowds: Path | None = None
    start_from: Path | None = None
    backbone_weights: Path | None = None


def run(recipe: Recipe, paths: Paths, fresh: bool, summary: bool, model_json: bool) -> ModelCard:
    """Trains a network and writes its model folder; a run that was killed goes on where it stopped.

    Raises:
        DataError: The data cannot be used.
        ModelError: The teacher, the weights to begin with or the checkpoint do not fit.
    """
    faces = load_faces(paths.data)
    if fresh:
        shutil.rmtree(paths.work, ignore_errors=True)
    paths.work.mkdir(parents=True, exist_ok=True)
    report_data(faces, paths.work)
    if summary:
        build(recipe.architecture, outputs=recipe.outputs).summary()
    start_from = paths.start_from
    if recipe.architecture.startswith(PREFIX):
        start_from = _prepare_backbone(faces, recipe, paths)
    if not recipe.architecture.startswith(PREFIX) or recipe.fine_tune_layers:
        fit(faces, recipe, paths.work, _crops(paths, held_back=False), _teach(faces, paths), start_from)
    weights = paths.work / "best.npz" if (paths.work / "best.npz").exists() else start_from
    if weights is None:
        raise DataError(f"{paths.work}: no epoch was finished; train longer")
    card = export_folder(
        faces, recipe, weights, paths.out, faces.name, _crops(paths, held_back=True), model_json=model_json
    )
    print(f"{paths.out}: {card.model_id}, {card.metrics.accuracy:.2%} on PublicTest")
    return card


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


def _prepare_backbone(faces: FaceData, recipe: Recipe, paths: Paths) -> Path:
    head = paths.work / "head.npz"
    if not head.exists():
        if paths.backbone_weights is None:
            raise DataError(f"{recipe.architecture} needs --backbone-weights: the _notop file of keras.applications")
        model = compile_model(recipe)
        load_backbone(model, paths.backbone_weights)
        fit_head(model, faces, recipe, paths.work)
    return head


def _teach(faces: FaceData, paths: Paths) -> NDArray[np.float32] | None:
    """What the teachers say about the training faces and their mirror images, averaged: `(N, 7) float32`.

    It is kept beside the checkpoint: a run that goes on need not ask again.
    """
    if not paths.teachers:
        return None
    kept = paths.work / "teachers.npy"
    if not kept.exists():
        np.save(kept, _ask(paths.teachers, faces.split(TRAINING).images))
    said: NDArray[np.float32] = np.load(kept)
    return said


def _ask(teachers: tuple[Path, ...], images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import keras

    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    said = []
    for folder in teachers:
        load_card(folder)
        model = keras.saving.load_model(folder / NETWORK_FILE, compile=False)
        said += [predict(model, images)[0], predict(model, mirrored)[0]]
    return np.mean(said, axis=0, dtype=np.float32)


def _crops(paths: Paths, held_back: bool) -> CrowdCrops | None:
    return None if paths.crowds is None else load_crowds(paths.crowds, held_back)
