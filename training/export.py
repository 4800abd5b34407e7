"""Export trained weights as a model folder: the network, its figures on held-out faces, its cards."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
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
from crowdmood.core.errors import SettingsError
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.labels import FER_LABELS, LABELS
from training import crowd_evaluation, metrics
from training.augment import photograph_from_afar, shrink
from training.calibration import calibrate, calibrate_crowd
from training.checkpoint import load_state
from training.confusions import fit_crowd_prevalence, fit_prevalence
from training.crowd_faces import NO_LABEL, UNREADABLE
from training.data import PUBLIC_TEST, TRAINING, FaceData, duplicated_in
from training.fit import number_of_logits
from training.graph import save_graph
from training.heads import CROWD, FER, READABLE
from training.model_card import PEOPLE_CARD_FILE, WIDER_LABELLING, render
from training.networks import build, multiply_adds
from training.serving import predict, predict_fer, serving_network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from classifier.card import Calibration, CrowdMetrics, Prevalence
    from training.crowd_faces import CrowdFaces
    from training.crowds import CrowdCrops
    from training.fit import TrainingData
    from training.recipe import Recipe

HISTORY_FILE = "history.json"
_SIZES_PX = (40, 32, 24, 16, 12)
_FACE_THRESHOLD = 0.5
_HELD_OUT = "PublicTest without faces that are also in Training"
_HELD_OUT_CROWD = "faces of real crowds, split validation"


def measure(model: Any, data: FaceData) -> Metrics:
    """Return the figures of a served network on PublicTest, with and without the faces that Training has too."""
    known, public = data.split(TRAINING), data.split(PUBLIC_TEST)
    again = duplicated_in(public.images, known.images)
    probabilities = predict_fer(model, public.images)
    confusion = metrics.confusion_matrix(probabilities.argmax(axis=1), public.labels)
    at_px = {
        size: metrics.accuracy(predict_fer(model, np.stack([shrink(f, size) for f in public.images])), public.labels)
        for size in _SIZES_PX
    }
    return Metrics(
        accuracy=round(metrics.accuracy(probabilities, public.labels), 6),
        accuracy_without_duplicates=round(metrics.accuracy(probabilities[~again], public.labels[~again]), 6),
        macro_f1=round(float(metrics.precision_recall_f1(confusion)[:, 2].mean()), 6),
        log_loss=round(metrics.log_loss(probabilities, public.labels), 6),
        expected_calibration_error=round(metrics.reliability(probabilities, public.labels)[1], 6),
        accuracy_at_px={size: round(value, 6) for size, value in at_px.items()},
    )


def measure_face_check(model: Any, crowds: CrowdCrops) -> FaceCheck:
    """Return how well the output `readable` separates faces of held-back photos from squares without a face."""
    _, of_faces = predict(model, crowds.faces)
    _, of_backgrounds = predict(model, crowds.backgrounds)
    if of_faces is None or of_backgrounds is None:
        raise ValueError("the network has no output `readable`")
    right, wrong = int((of_faces >= _FACE_THRESHOLD).sum()), int((of_backgrounds >= _FACE_THRESHOLD).sum())
    return FaceCheck(
        threshold=_FACE_THRESHOLD,
        precision=round(right / max(right + wrong, 1), 6),
        recall=round(right / max(len(of_faces), 1), 6),
        faces=len(of_faces),
        backgrounds=len(of_backgrounds),
    )


def check_out(out: Path) -> None:
    """Check that replacing the folder `out` would delete nothing but a model.

    Raises:
        SettingsError: It is a file, or a folder with other files than a model's.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / CARD_FILE).is_file())):
        raise SettingsError(f"{out}: exists and is no model folder; give another --out, or remove it")


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Yield an empty folder, and replace the folder `out` by it at the end unless something failed."""
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
    data: TrainingData,
    recipe: Recipe,
    weights: Path,
    out: Path,
    held_back: CrowdCrops | None = None,
    model_json: bool = False,
    origin: Mapping[str, Sequence[Any]] | None = None,
) -> ModelCard:
    """Write a model folder: network, graph, history, card, card for people.

    Args:
        data: What the network was trained on, and held-out faces of the same kinds.
        recipe: How it was trained.
        weights: The checkpoint to export.
        out: The folder; replaced at once when the new one is complete.
        held_back: Held-back squares of crowd photos, to measure the output `readable` on; None: not measured.
        model_json: Also write the architecture as `model.json` and the weights as `model.weights.h5`.
        origin: The networks that the run used, for the card's recipe.

    Raises:
        SettingsError: `out` exists and is no model folder.
    """
    keras.config.set_dtype_policy("float32")
    trained = build(recipe.architecture, outputs=number_of_logits(recipe))
    history = load_state(weights, trained)
    faces = data.faces
    known, public = faces.split(TRAINING), faces.split(PUBLIC_TEST)
    fresh = public.select(~duplicated_in(public.images, known.images))
    fer_calibration = calibrate(_logits(trained, fresh.images)[:, FER], fresh.labels, _HELD_OUT)
    crowd = _HeldOutCrowd.of(data.crowd_faces, trained) if data.crowd_faces is not None else None
    calibration = crowd.calibration if crowd else fer_calibration
    model = serving_network(trained, calibration, fer_calibration)
    prevalence = (
        crowd.prevalence(model, fresh)
        if crowd
        else fit_prevalence(predict(model, fresh.images)[0], fresh.labels, _HELD_OUT)
    )
    with _replacing(out) as partial:
        model.save(partial / NETWORK_FILE)
        if model_json:
            (partial / "model.json").write_text(model.to_json(indent=2), encoding="utf-8")
            model.save_weights(partial / "model.weights.h5")
        (partial / HISTORY_FILE).write_text(json.dumps(history), encoding="utf-8")
        if keras.backend.backend() == "tensorflow":
            # OpenVINO's graph is converted from TensorFlow's.
            save_graph(model, partial / GRAPH_FILE)
        entry = file_entry(partial / NETWORK_FILE)
        card = ModelCard(
            model_id=f"{recipe.architecture}-{entry.sha256[:8]}",
            architecture=recipe.architecture,
            labels=LABELS if crowd else FER_LABELS,
            outputs=("emotions", "readable") if crowd else ("emotions",),
            files=(entry,),
            data=DataSpec(
                name=faces.name,
                training_faces=len(known),
                training_crowd_faces=int(data.crowd_faces.in_split("train").sum())
                if data.crowd_faces is not None
                else 0,
                judged_faces=len(public),
                duplicates=len(public) - len(fresh),
                sha256=faces.digest(),
            ),
            metrics=measure(model, faces),
            multiply_adds=multiply_adds(trained),
            parameters=int(trained.count_params()),
            code_version=__version__,
            recipe=recipe.for_card() | {"epochs_done": len(history)} | dict(origin or {}),
            calibration=calibration,
            prevalence=prevalence,
            labelling=WIDER_LABELLING if crowd else None,
            crowd=crowd.measured(model, prevalence) if crowd else None,
            face_check=measure_face_check(model, held_back) if crowd and held_back is not None else None,
        )
        (partial / PEOPLE_CARD_FILE).write_text(render(card), encoding="utf-8")
        files = tuple(file_entry(path) for path in sorted(partial.iterdir()))
        card = card.model_copy(update={"files": files})
        save_card(partial, card)
    return card


@dataclass(frozen=True, slots=True, eq=False)
class _HeldOutCrowd:
    """Held-out faces of real crowds, and the calibration fitted on them.

    Attributes:
        faces: The faces of the split `validation`.
        crops: `(N, 48, 48) uint8`, as the detector cuts them.
        calibration: Calibration of the heads `crowd` and `readable`.
    """

    faces: CrowdFaces
    crops: NDArray[np.uint8]
    calibration: Calibration

    @classmethod
    def of(cls, faces: CrowdFaces, trained: Any) -> _HeldOutCrowd:
        """Fit the calibration: of `crowd` on the faces with a label, of `readable` on the readable ones."""
        held_out = faces.select(faces.in_split("validation"))
        crops, labels = held_out.crops(), held_out.labels
        labelled = (labels != NO_LABEL) & (labels != UNREADABLE)
        logits = _logits(trained, crops)
        calibration = calibrate_crowd(
            logits[labelled, CROWD],
            labels[labelled].astype(np.uint8),
            logits[held_out.readable, READABLE],
            _HELD_OUT_CROWD,
        )
        return cls(held_out, crops, calibration)

    def prevalence(self, model: Any, fer: FaceData) -> Prevalence | None:
        """Fit the confusions for counting crowds; degraded FER2013 faces supplement labels that are rare in crowds."""
        rng = np.random.default_rng(0)
        degraded = np.stack([photograph_from_afar(image, rng) for image in fer.images])
        probabilities, readable = predict(model, self.crops)
        return fit_crowd_prevalence(
            probabilities,
            self.faces.votes,
            np.array(self.faces.photos),
            _HELD_OUT_CROWD,
            (predict(model, degraded)[0], fer.labels),
            readable,
        )

    def measured(self, model: Any, prevalence: Prevalence | None) -> CrowdMetrics:
        """Return the figures of the network on these faces."""
        confusions = Confusions.of_card(prevalence.model_dump() if prevalence else None)
        probabilities, readable = predict(model, self.crops)
        return crowd_evaluation.measure(probabilities, readable, self.faces, confusions)


def _logits(trained: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(trained.predict(images[..., None], batch_size=256, verbose=0), dtype=np.float32)
