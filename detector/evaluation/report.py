"""Writes an evaluation as a table, as JSON and as a chart."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from detector.evaluation.matching import RANGES, SAME_FACE_IOU, Curve
from detector.evaluation.run import Evaluation

_POINTS = 200
"""Most points of a curve in the JSON file."""


def table(evaluation: Evaluation) -> Table:
    """Return a table of recall and precision by size, at the detector's threshold and at fixed precisions."""
    cpu_ms, wall_ms, searched = (
        evaluation.cpu_ms_per_megapixel,
        evaluation.wall_ms_per_megapixel,
        evaluation.searched,
    )
    shown = Table(
        "faces by height",
        "labelled",
        f"recall at {evaluation.min_score:g}",
        f"precision at {evaluation.min_score:g}",
        "recall at precision 0.85",
        "recall at precision 0.90",
        title=f"{evaluation.candidate} ({evaluation.precision}) on {evaluation.images} images, IoU {SAME_FACE_IOU:g}",
        caption=f"{cpu_ms:.1f} ms of processor time ({wall_ms:.1f} ms of wall time) per megapixel of the frame; "
        f"{searched:.2f} pixels searched per pixel of the frame: {cpu_ms / searched:.1f} ms per megapixel searched",
    )
    for heights in RANGES:
        curve = evaluation.curves[heights]
        recall, precision = curve.at(evaluation.min_score)
        at_85, at_90 = curve.best_recall(0.85)[0], curve.best_recall(0.9)[0]
        shown.add_row(
            str(heights), str(curve.faces), f"{recall:.3f}", f"{precision:.3f}", f"{at_85:.3f}", f"{at_90:.3f}"
        )
    return shown


def write_json(evaluation: Evaluation, file: Path) -> None:
    """Write every figure and the curves."""
    figures = {
        "detector": evaluation.candidate,
        "precision": evaluation.precision,
        "pictures": evaluation.images,
        "iou": SAME_FACE_IOU,
        "min_score": evaluation.min_score,
        "cpu_ms_per_megapixel": evaluation.cpu_ms_per_megapixel,
        "wall_ms_per_megapixel": evaluation.wall_ms_per_megapixel,
        "searched_per_frame_pixel": evaluation.searched,
        "by_height": {str(heights): _figures(curve, evaluation) for heights, curve in evaluation.curves.items()},
    }
    file.write_text(json.dumps(figures, indent=2) + "\n")


def draw(evaluation: Evaluation, file: Path) -> None:
    """Draw the curves of precision over recall, with the detector's threshold as a point."""
    import matplotlib as mpl

    mpl.use("Agg")  # no display on servers
    from matplotlib.figure import Figure

    figure = Figure((6.4, 4.4))
    axes: Any = figure.subplots()
    for heights, curve in evaluation.curves.items():
        (line,) = axes.plot(curve.recall, curve.precision, label=str(heights))
        recall, precision = curve.at(evaluation.min_score)
        axes.plot([recall], [precision], "o", color=line.get_color())
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"{evaluation.candidate} ({evaluation.precision}), {evaluation.images} images")
    axes.grid(alpha=0.3)
    axes.legend(title="height of faces")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def _figures(curve: Curve, evaluation: Evaluation) -> dict[str, Any]:
    recall, precision = curve.at(evaluation.min_score)
    points = np.unique(np.linspace(0, len(curve.scores) - 1, min(len(curve.scores), _POINTS)).astype(int))
    return {
        "faces": curve.faces,
        "recall": recall,
        "precision": precision,
        "recall_at_precision": {f"{goal:.2f}": curve.best_recall(goal)[0] for goal in (0.8, 0.85, 0.9, 0.95)},
        "curve": [
            {"score": float(curve.scores[i]), "recall": float(curve.recall[i]), "precision": float(curve.precision[i])}
            for i in points
        ],
    }
