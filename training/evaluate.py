"""Judges a model folder on labelled faces and writes a report: figures as JSON, plots, one page."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np

from classifier.card import NETWORK_FILE, load_card
from crowdmood import LABELS
from training import metrics, plots
from training.consistency import agreement
from training.crowds import load_crowds
from training.data import PUBLIC_TEST, TRAINING, duplicated_in
from training.degrade import blur, brighten, shrink
from training.export import HISTORY_FILE, measure_face_check
from training.loaders import load_faces
from training.serving import predict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Change = Callable[[NDArray[np.uint8], float], NDArray[np.uint8]]

_WORST: Final = 30
_CHANGES: Final[dict[str, tuple[str, tuple[float, ...], Change]]] = {
    "size": ("face size in pixels", (12, 16, 24, 32, 40, 48), lambda face, px: shrink(face, int(px))),
    "blur": ("blur in pixels (sigma)", (0.5, 1, 1.5, 2, 3), blur),
    "brightness": ("brightness as a factor", (0.25, 0.5, 0.75, 1, 1.5, 2), brighten),
}


def evaluate(folder: Path, data: Path, crowds: Path | None) -> dict[str, Any]:
    """Measures everything a report holds, on the PublicTest faces of `data`.

    Raises:
        ModelError: The model folder cannot be used.
        DataError: The faces or the crowd photographs cannot be used.
    """
    card = load_card(folder)
    faces = load_faces(data)
    judged = faces.split(PUBLIC_TEST)
    model = keras.saving.load_model(folder / NETWORK_FILE, compile=False)
    probabilities, _ = predict(model, judged.images)
    predicted = probabilities.argmax(axis=1)
    again = duplicated_in(judged.images, faces.images[faces.usage == TRAINING])
    matrix = metrics.confusion_matrix(predicted, judged.labels)
    scores = metrics.precision_recall_f1(matrix)
    rows, error = metrics.reliability(probabilities, judged.labels)
    certainty = np.where(predicted == judged.labels, -1.0, probabilities.max(axis=1))
    worst = [int(row) for row in np.argsort(-certainty)[:_WORST] if certainty[row] >= 0]
    where = np.flatnonzero(faces.usage == PUBLIC_TEST)
    figures: dict[str, Any] = {
        "model_id": card.model_id,
        "data": faces.name,
        "faces": len(judged),
        "duplicates": int(again.sum()),
        "accuracy": metrics.accuracy(probabilities, judged.labels),
        "accuracy_without_duplicates": metrics.accuracy(probabilities[~again], judged.labels[~again]),
        "macro_f1": float(scores[:, 2].mean()),
        "log_loss": metrics.log_loss(probabilities, judged.labels),
        "expected_calibration_error": error,
        "per_class": {
            label: dict(zip(("precision", "recall", "f1"), row.tolist(), strict=True))
            for label, row in zip(LABELS, scores, strict=True)
        },
        "confusion": matrix.tolist(),
        "reliability": rows.tolist(),
        "worst_mistakes": [
            {
                "row": int(where[row]),
                "label": LABELS[judged.labels[row]],
                "predicted": LABELS[predicted[row]],
                "confidence": float(certainty[row]),
            }
            for row in worst
        ],
    }
    for name, (_, strengths, change) in _CHANGES.items():
        accuracies = figures[f"accuracy_against_{name}"] = {}
        for strength in strengths:
            changed = np.stack([change(face, strength) for face in judged.images])
            same = np.array_equal(changed, judged.images)
            said = probabilities if same else predict(model, changed)[0]
            accuracies[strength] = metrics.accuracy(said, judged.labels)
    if crowds is not None:
        figures["consistency"] = agreement(model, crowds)
        if "face" in card.outputs:
            figures["face_check"] = measure_face_check(model, load_crowds(crowds, held_back=True)).model_dump()
    return figures


def write_report(folder: Path, data: Path, out: Path, json_file: Path | None, crowds: Path | None) -> None:
    """Writes the report folder `out`, or with `json_file` that one file alone."""
    figures = evaluate(folder, data, crowds)
    text = json.dumps(figures, indent=2) + "\n"
    print(f"{figures['model_id']}: {figures['accuracy']:.2%} of {figures['faces']} faces")
    if json_file is not None:
        json_file.write_text(text, encoding="utf-8")
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(text, encoding="utf-8")
    plots.confusion(np.asarray(figures["confusion"]), out / "confusion.png")
    plots.reliability(
        np.asarray(figures["reliability"]), figures["expected_calibration_error"], out / "reliability.png"
    )
    for name, (label, _, _) in _CHANGES.items():
        plots.accuracy_against(figures[f"accuracy_against_{name}"], label, out / f"accuracy_against_{name}.png")
    if (folder / HISTORY_FILE).exists():
        history = json.loads((folder / HISTORY_FILE).read_text(encoding="utf-8"))
        plots.learning_curves(history, out / "learning_curves.png")
    (out / "report.html").write_text(_page(figures, sorted(path.name for path in out.glob("*.png"))), encoding="utf-8")
    print(f"{out / 'report.html'}")


def _page(figures: dict[str, Any], pictures: list[str]) -> str:
    plain = {key: value for key, value in figures.items() if isinstance(value, int | float | str)}
    per_class = [{"label": label, **scores} for label, scores in figures["per_class"].items()]
    body = _table([{"figure": key, "value": value} for key, value in plain.items()])
    body += _table(per_class)
    body += "".join(
        f"<h2>{name}</h2>{_table([figures[name]])}" for name in ("consistency", "face_check") if name in figures
    )
    body += "<h2>worst mistakes</h2>" + _table(figures["worst_mistakes"])
    body += "".join(f'<img src="{name}" alt="{name.removesuffix(".png")}">' for name in pictures)
    title = html.escape(figures["model_id"])
    return f'<!doctype html><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>{body}\n'


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(key)}</th>" for key in rows[0])
    lines = ("".join(f"<td>{_cell(value)}</td>" for value in row.values()) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else html.escape(str(value))
