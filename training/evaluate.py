"""Evaluate a model folder on labelled faces and write a report: figures as JSON, plots, one page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np

from classifier.card import NETWORK_FILE, load_card
from crowdmood.core.errors import SettingsError
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.labels import FER_LABELS, LABELS
from training import crowd_evaluation, metrics, plots, report_page
from training.augment import blur, brighten, shrink
from training.consistency import agreement
from training.crowd_faces import NO_LABEL, UNREADABLE, is_crowd_folder, load_crowd_faces
from training.crowds import load_crowds
from training.data import PUBLIC_TEST, TRAINING, duplicated_in
from training.export import HISTORY_FILE, measure_face_check
from training.loaders import load_faces
from training.serving import predict, predict_fer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from training.crowd_faces import CrowdFaces

    Change = Callable[[NDArray[np.uint8], float], NDArray[np.uint8]]

ALL_SPLITS: Final = "all"
_VALIDATION: Final = "validation"
_WORST: Final = 30
_CHANGES: Final[dict[str, tuple[str, tuple[float, ...], Change]]] = {
    "size": ("face size in pixels", (12, 16, 24, 32, 40, 48), lambda face, px: shrink(face, int(px))),
    "blur": ("blur in pixels (sigma)", (0.5, 1, 1.5, 2, 3), blur),
    "brightness": ("brightness as a factor", (0.25, 0.5, 0.75, 1, 1.5, 2), brighten),
}


def write_report(
    folder: Path, data: Path, out: Path, json_file: Path | None, crowds: Path | None, split: str | None = None
) -> None:
    """Write the report folder `out`, or only the file `json_file` where it is given.

    Args:
        folder: The model folder.
        data: Faces with FER2013's labels, or a folder of labelled faces of crowds.
        out: The report folder.
        json_file: File of the figures, written instead of the folder.
        crowds: Crowd photos, to measure the face check and consistency as well; not with faces of crowds.
        split: Which faces of crowds to use: `train`, `validation`, or `all`; None: `validation` if there are any.

    Raises:
        ModelError: The model folder cannot be used.
        DataError: The faces or the crowd photos cannot be used.
        SettingsError: An option does not fit the data.
    """
    if is_crowd_folder(data):
        if crowds is not None:
            raise SettingsError(f"--crowds is for FER2013's faces; {data} holds faces of crowds, evaluate them alone")
        _report_crowd(folder, data, out, json_file, split)
        return
    if split is not None:
        raise SettingsError(f"--split is for faces of crowds, and {data} holds no faces.csv; leave the option out")
    figures = evaluate(folder, data, crowds)
    print(f"{figures['model_id']}: {figures['accuracy']:.2%} of {figures['faces']} faces")
    if not _write_figures(figures, out, json_file):
        return
    plots.confusion(np.asarray(figures["confusion"]), out / "confusion.png")
    plots.reliability(
        np.asarray(figures["reliability"]), figures["expected_calibration_error"], out / "reliability.png"
    )
    for name, (label, _, _) in _CHANGES.items():
        plots.accuracy_against(figures[f"accuracy_against_{name}"], label, out / f"accuracy_against_{name}.png")
    if (folder / HISTORY_FILE).exists():
        history = json.loads((folder / HISTORY_FILE).read_text(encoding="utf-8"))
        if history:  # an exported mean has none
            plots.learning_curves(history, out / "learning_curves.png")
    report_page.write(out, figures["model_id"], report_page.of_faces(figures))


def _report_crowd(folder: Path, data: Path, out: Path, json_file: Path | None, split: str | None) -> None:
    faces = load_crowd_faces(data, None if split == ALL_SPLITS else split)
    validation = faces.in_split(_VALIDATION)
    if split is None and validation.any():
        faces = faces.select(validation)
    figures, answers = evaluate_crowd(folder, faces)
    crowd = figures["crowd"]
    right, error = crowd["accuracy_readable"], crowd["share_error_200"]
    print(
        f"{figures['model_id']}: {_shown(right, '.2%')} of the readable faces right, "
        f"error of a share {_shown(error, '.3f')}, {crowd['faces']} faces"
    )
    if not _write_figures(figures, out, json_file):
        return
    probabilities, readable = answers
    labels = faces.labels
    labelled = (labels != NO_LABEL) & (labels != UNREADABLE)
    matrix = metrics.confusion_matrix(probabilities[labelled].argmax(axis=1), labels[labelled], len(LABELS))
    plots.confusion(matrix, out / "confusion.png")
    wrong = crowd_evaluation.examples(probabilities, readable, faces)
    report_page.write(out, figures["model_id"], report_page.of_crowd(figures, wrong))


def _shown(value: float | None, style: str) -> str:
    return "unknown" if value is None else format(value, style)


def _write_figures(figures: dict[str, Any], out: Path, json_file: Path | None) -> bool:
    """Write the figures as JSON; return whether the rest of the report is wanted."""
    text = json.dumps(figures, indent=2) + "\n"
    if json_file is not None:
        json_file.write_text(text, encoding="utf-8")
        return False
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(text, encoding="utf-8")
    return True


def evaluate_crowd(
    folder: Path, faces: CrowdFaces
) -> tuple[dict[str, Any], tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
    """Measure a model folder on faces of crowds.

    Returns:
        Figures for the report, and the outputs of the network: probabilities `(N, K)`, and readable `(N,)` or None.

    Raises:
        ModelError: The model folder cannot be used.
        DataError: An image cannot be read.
    """
    card = load_card(folder)
    model = keras.saving.load_model(folder / NETWORK_FILE, compile=False)
    probabilities, readable = predict(model, faces.crops())
    confusions = Confusions.from_bytes(card.confusions())
    crowd = crowd_evaluation.measure(probabilities, readable, faces, confusions)
    figures = {"model_id": card.model_id, "data": faces.folder.resolve().name, "crowd": crowd.model_dump()}
    return figures, (probabilities, readable)


def evaluate(folder: Path, data: Path, crowds: Path | None) -> dict[str, Any]:
    """Measure a model folder on the PublicTest faces of `data`, whose labels are FER2013's seven.

    Raises:
        ModelError: The model folder cannot be used.
        DataError: The faces or the crowd photos cannot be used.
    """
    card = load_card(folder)
    faces = load_faces(data)
    tested = faces.split(PUBLIC_TEST)
    model = keras.saving.load_model(folder / NETWORK_FILE, compile=False)
    probabilities = predict_fer(model, tested.images)
    predicted = probabilities.argmax(axis=1)
    again = duplicated_in(tested.images, faces.images[faces.usage == TRAINING])
    matrix = metrics.confusion_matrix(predicted, tested.labels)
    scores = metrics.precision_recall_f1(matrix)
    rows, error = metrics.reliability(probabilities, tested.labels)
    certainty = np.where(predicted == tested.labels, -1.0, probabilities.max(axis=1))
    worst = [int(row) for row in np.argsort(-certainty)[:_WORST] if certainty[row] >= 0]
    where = np.flatnonzero(faces.usage == PUBLIC_TEST)
    figures: dict[str, Any] = {
        "model_id": card.model_id,
        "data": faces.name,
        "faces": len(tested),
        "duplicates": int(again.sum()),
        "accuracy": metrics.accuracy(probabilities, tested.labels),
        "accuracy_without_duplicates": metrics.accuracy(probabilities[~again], tested.labels[~again]),
        "macro_f1": float(scores[:, 2].mean()),
        "log_loss": metrics.log_loss(probabilities, tested.labels),
        "expected_calibration_error": error,
        "per_class": {
            label: dict(zip(("precision", "recall", "f1"), row.tolist(), strict=True))
            for label, row in zip(FER_LABELS, scores, strict=True)
        },
        "confusion": matrix.tolist(),
        "reliability": rows.tolist(),
        "worst_mistakes": [
            {
                "row": int(where[row]),
                "label": FER_LABELS[tested.labels[row]],
                "predicted": FER_LABELS[predicted[row]],
                "confidence": float(certainty[row]),
            }
            for row in worst
        ],
    }
    for name, (_, strengths, change) in _CHANGES.items():
        accuracies = figures[f"accuracy_against_{name}"] = {}
        for strength in strengths:
            changed = np.stack([change(face, strength) for face in tested.images])
            same = np.array_equal(changed, tested.images)
            answers = probabilities if same else predict_fer(model, changed)
            accuracies[strength] = metrics.accuracy(answers, tested.labels)
    if crowds is not None:
        figures["consistency"] = agreement(model, crowds)
        if card.readable_output:
            figures["face_check"] = measure_face_check(model, load_crowds(crowds, held_back=True)).model_dump()
    return figures
