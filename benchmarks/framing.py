"""The square around a face with which the network is most accurate: `python -m benchmarks.framing --help`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from benchmarks.figures import Row, table
from classifier import DEFAULT_MODEL
from classifier.engines import load_engine
from crowdmood.core.settings import load
from crowdmood.domain.framing import FRAMINGS
from detector.evaluation.framing import accuracy, redetect, seats_of_faces, seats_of_footage, sweep
from detector.finder import load_detector
from training.data import PUBLIC_TEST
from training.loaders import load_npz

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detector.evaluation.framing import FramingResult, Seats


def seats_of(data: Sequence[Path], times_a_phase: int) -> list[Seats]:
    """Return faces of known expression: of footage with its truth, or of the PublicTest split of a FER2013 archive."""
    seats: list[Seats] = []
    for file in data:
        if file.suffix == ".npz":
            split = load_npz(file).split(PUBLIC_TEST)
            seats += seats_of_faces(split.images, split.labels.astype(np.intp))
        else:
            seats += seats_of_footage(file, times_a_phase)
    return seats


def main(
    data: Annotated[list[Path], typer.Argument(help="Footage with its truth beside it, or fer2013.npz.", exists=True)],
    model: Annotated[Path, typer.Option(help="Model folder of the network.")] = DEFAULT_MODEL,
    times_a_phase: Annotated[int, typer.Option(min=1, help="Frames of each phase of the footage.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Detect faces of known expression, cut them out in many ways, and measure how often the network is right."""
    settings = load()
    engine = load_engine(model, settings.classifier)

    def classify(crops: NDArray[np.uint8]) -> NDArray[np.intp]:
        labels: NDArray[np.intp] = engine.predict(crops)[0].argmax(axis=1)
        return labels

    seats = seats_of(data, times_a_phase)
    figures: dict[str, Any] = {"model": engine.model_id, "engine": engine.name, "detectors": {}}
    for kind in ("haar", "yunet"):
        # The faces are 80 px large: a search for smaller ones only costs time.
        detector = load_detector(settings.detector.model_copy(update={"kind": kind, "min_face_px": 40}))
        found = [redetect(each, detector) for each in seats]
        truly = accuracy(found, classify, None)
        measured = sweep(found, classify, FRAMINGS[kind])
        faces = sum(len(each.labels) for each in found)
        print(f"\n{kind}: {faces} of {sum(len(each.labels) for each in seats)} faces\n")
        print(table([*(_row(each, kind, truly) for each in measured), {"side": "true place", "accuracy": truly}]))
        figures["detectors"][kind] = {
            "faces": faces,
            "accuracy_where_faces_truly_are": truly,
            "framings": [
                {"side": m.framing.side, "right": m.framing.right, "down": m.framing.down}
                | {"aligned": m.aligned, "accuracy": m.accuracy}
                for m in measured
            ],
        }
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _row(measured: FramingResult, kind: str, truly: float) -> Row:
    """Return a row of the table; the framing that the detector uses is marked."""
    framing = measured.framing
    return {
        "side": f"{framing.side:.2f}",
        "right": framing.right,
        "down": framing.down,
        "eyes levelled": "yes" if measured.aligned else "",
        "accuracy": f"{measured.accuracy:.4f}",
        "lost, in points": 100 * (truly - measured.accuracy),
        "": "in use" if framing == FRAMINGS[kind] and not measured.aligned else "",
    }


if __name__ == "__main__":
    typer.run(main)
