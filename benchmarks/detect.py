"""How many faces detectors find, and what that costs: ours, the baseline's call, and YuNet in OpenCV."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import cv2

from benchmarks.figures import Chart, Figure, Row
from benchmarks.session import configured, frames
from detector.evaluation.labels import labelled_images
from detector.evaluation.matching import HeightRange
from detector.evaluation.run import evaluate
from simulator.truth import load_truth

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.session import Session
    from detector.evaluation.run import Candidate

_RANGE: Final = HeightRange(20)
_PRECISION: Final = 0.9
_REFERENCES: Final[dict[str, Candidate]] = {"haar": "hobby-haar", "yunet": "opencv-yunet"}


def measure(session: Session) -> Figure:
    """Evaluate every detector on the same images."""
    labelled = labelled_images(session.crowds or _labelled_frames(session))
    wanted = session.size(24, 2)
    chosen = [labelled[i * len(labelled) // wanted] for i in range(wanted)] if wanted < len(labelled) else labelled
    rows: list[Row] = []
    for kind in session.kinds():
        for candidate in (_REFERENCES[kind], kind):
            evaluation = evaluate(chosen, candidate, configured(kind, 20).detector)
            curve = evaluation.curves[_RANGE]
            recall, precision = curve.at(evaluation.min_score)
            rows.append(
                {
                    "detector": candidate,
                    "recall": recall,
                    "precision": precision,
                    f"recall at precision {_PRECISION:g}": curve.best_recall(_PRECISION)[0],
                    "ms a megapixel": evaluation.cpu_ms_per_megapixel,
                }
            )
    of_what = "photographs of real crowds" if session.crowds else "frames of the simulated dense crowd"
    return Figure(
        title="Detection",
        rows=rows,
        chart=Chart("detector", ["recall", "precision"], f"of faces of {_RANGE}"),
        notes=[
            f"{len(chosen)} {of_what}, faces of {_RANGE}; milliseconds of processor time for a megapixel of the frame, "
            "detection alone. `crowdmood evaluate-detector` has the whole curves."
        ],
    )


def _labelled_frames(session: Session) -> Path:
    """Return frames of the dense crowd with their true faces, as a folder of labelled images."""
    match = session.dense()
    truth = load_truth(match)
    (match / "images").mkdir(exist_ok=True)
    boxes = {}
    images = frames(match / "stand-1.mp4", len(truth.seconds), truth.fps)
    for moment, image in zip(truth.seconds, images, strict=True):
        seen = moment.cameras["stand-1"]
        name = f"{moment.at_s:04}.png"
        cv2.imwrite(str(match / "images" / name), image)
        boxes[name] = {
            "boxes_xywh": [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in seen.boxes_xyxy],
            "invalid": [int(hidden) for hidden in seen.occluded],  # hidden people need not be found
        }
    (match / "boxes.json").write_text(json.dumps(boxes), encoding="utf-8")
    return match
