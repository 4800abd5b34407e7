"""From trained weights to a model folder: the network, its figures on held-out faces, its cards."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from classifier.card import (
    CARD_FILE,
    GRAPH_FILE,
    NETWORK_FILE,
    DataSpec,
    FaceCheck,
    Metrics,
    ModelCard,
    file_entry,
    save_card,
)
from crowdmood import __version__
from crowdmood.errors import SettingsError
from training import metrics
from training.calibration import calibrate, fit_prevalence
from training.checkpoint import load_state
from training.cost import multiply_adds
from training.data import PUBLIC_TEST, TRAINING, FaceData, duplicated_in
from training.degrade import shrink
from training.graph import save_graph
from training.model_card import PEOPLE_CARD_FILE, render
from training.networks import build
from training.serving import predict, serving_network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from training.crowds import CrowdCrops
    from training.recipe import Recipe

HISTORY_FILE = "history.json"
_SIZES_PX = (40, 32, 24, 16, 12)
_FACE_THRESHOLD = 0.5
_HELD_OUT = "PublicTest without the faces that also stand in Training"


def measure(model: Any, data: FaceData) -> Metrics:
    """Measures a served network on PublicTest, with and without the faces that also stand in Training."""
    known, judged = data.split(TRAINING), data.split(PUBLIC_TEST)
    again = duplicated_in(judged.images, known.images)
    probabilities, _ = predict(model, judged.images)
    confusion = metrics.confusion_matrix(probabilities.argmax(axis=1), judged.labels)
    at_px = {
        size: metrics.accuracy(predict(model, np.stack([shrink(f, size) for f in judged.images]))[0], judged.labels)
        for size in _SIZES_PX
    }
    return Metrics(
        accuracy=round(metrics.accuracy(probabilities, judged.labels), 6),
        accuracy_without_duplicates=round(metrics.accuracy(probabilities[~again], judged.labels[~again]), 6),
        macro_f1=round(float(metrics.precision_recall_f1(confusion)[:, 2].mean()), 6),
        log_loss=round(metrics.log_loss(probabilities, judged.labels), 6),
        expected_calibration_error=round(metrics.reliability(probabilities, judged.labels)[1], 6),
        accuracy_at_px={size: round(value, 6) for size, value in at_px.items()},
    )


def measure_face_check(model: Any, crowds: CrowdCrops) -> FaceCheck:
    """Measures the second output on held-back crowd crops: their faces against their backgrounds."""
    _, of_faces = predict(model, crowds.faces)
    _, of_backgrounds = predict(model, crowds.backgrounds)
    if of_faces is None or of_backgrounds is None:
        raise ValueError("the network has no face output")
    right, wrong = int((of_faces >= _FACE_THRESHOLD).sum()), int((of_backgrounds >= _FACE_THRESHOLD).sum())
    return FaceCheck(
        threshold=_FACE_THRESHOLD,
        precision=round(right / max(right + wrong, 1), 6),
        recall=round(right / max(len(of_faces), 1), 6),
        faces=len(of_faces),
        backgrounds=len(of_backgrounds),
    )


def check_out(out: Path) -> None:
    """Makes sure that nothing but a model would be lost by writing the model folder `out` anew.

    Raises:
        SettingsError: It is a file, or holds anything and no model.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / CARD_FILE).is_file())):
        raise SettingsError(f"{out}: is there and is no model folder; give another --out, or remove it")


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Gives an empty folder that takes the place of the folder `out` at the end, unless something fails before."""
    check_out(out)
    target = out.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}.partial-", dir=target.parent) as aside:
        new = Path(aside) / "new"
        new.mkdir()
        yield new
        if target.exists():
            target.rename(Path(aside) / "old")
        new.rename(target)


def export_folder(
    data: FaceData,
    recipe: Recipe,
    weights: Path,
    out: Path,
    data_name: str,
    crowds: CrowdCrops | None = None,
    model_json: bool = False,
    origin: Mapping[str, Sequence[str]] | None = None,
) -> ModelCard:
    """Writes the model folder `out` anew: network, card, card for people.

    Args:
        data: Training and PublicTest faces.
        recipe: How it was trained.
        weights: The checkpoint to export.
        out: The folder; replaced whole once the new one is complete.
        data_name: How the card calls the data.
        crowds: Held-back crops for the face output.
        model_json: Also write the architecture as `model.json` and the weights as `model.weights.h5`.
        origin: What else the network came from, for the card's recipe.

    Raises:
        SettingsError: `out` is something else than a model folder.
    """
    keras.config.set_dtype_policy("float32")
    trained = build(recipe.architecture, outputs=recipe.outputs)
    history = load_state(weights, trained)
    known, judged = data.split(TRAINING), data.split(PUBLIC_TEST)
    fresh = judged.select(~duplicated_in(judged.images, known.images))
    logits = np.asarray(trained.predict(fresh.images[..., None], batch_size=256, verbose=0), dtype=np.float32)
    calibration = calibrate(logits[:, :7], fresh.labels, _HELD_OUT)
    model = serving_network(trained, calibration)
    with _replacing(out) as partial:
        model.save(partial / NETWORK_FILE)
        if model_json:
            (partial / "model.json").write_text(model.to_json(indent=2), encoding="utf-8")
            model.save_weights(partial / "model.weights.h5")
        (partial / HISTORY_FILE).write_text(json.dumps(history), encoding="utf-8")
        if keras.backend.backend() == "tensorflow":
            # OpenVINO's graph is made from TensorFlow's.
            save_graph(model, partial / GRAPH_FILE)
        entry = file_entry(partial / NETWORK_FILE)
        card = ModelCard(
            model_id=f"{recipe.architecture}-{entry.sha256[:8]}",
            architecture=recipe.architecture,
            outputs=("emotions", "face") if recipe.face_output else ("emotions",),
            files=(entry,),
            data=DataSpec(
                name=data_name,
                training_faces=len(known),
                judged_faces=len(judged),
                duplicates=len(judged) - len(fresh),
                sha256=data.digest(),
            ),
            metrics=measure(model, data),
            multiply_adds=multiply_adds(trained),
            parameters=int(trained.count_params()),
            code_version=__version__,
            recipe=asdict(recipe) | {"epochs_done": len(history)} | dict(origin or {}),
            calibration=calibration,
            prevalence=fit_prevalence(predict(model, fresh.images)[0], fresh.labels, _HELD_OUT),
            face_check=measure_face_check(model, crowds) if crowds is not None else None,
        )
        (partial / PEOPLE_CARD_FILE).write_text(render(card), encoding="utf-8")
        files = tuple(file_entry(path) for path in sorted(partial.iterdir()))
        card = card.model_copy(update={"files": files})
        save_card(partial, card)
    return card
