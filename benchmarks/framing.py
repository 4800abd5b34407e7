"""How faces should be cut out for the network: `python -m benchmarks.framing --help`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from classifier import DEFAULT_MODEL
from classifier.engines import load_engine
from crowdmood.core.errors import CrowdMoodError
from crowdmood.core.settings import load
from crowdmood.domain.framing import FRAMINGS
from detector.evaluation.framing import accuracy, redetect, seats_of_faces, seats_of_footage, sweep
from detector.finder import load_detector
from training.data import PUBLIC_TEST
from training.loaders import load_npz

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crowdmood.core.settings import DetectorSettings
    from detector.base import Detector
    from detector.evaluation.framing import FramingResult, Seats


def seats_of(data: Sequence[Path], times_a_phase: int) -> list[Seats]:
    """Everything that is to be found again: footage with its truth, or the PublicTest split of a FER2013 archive."""
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
    times_a_phase: Annotated[int, typer.Option(min=1, help="Moments of each phase of the footage.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Find faces of known expression again, cut them out in many ways, and measure how often the network is right."""
    settings = load()
    engine = load_engine(model, settings.classifier)

    def judge(crops: NDArray[np.uint8]) -> NDArray[np.intp]:
        labels: NDArray[np.intp] = engine.predict(crops)[0].argmax(axis=1)
        return labels

    seats = seats_of(data, times_a_phase)
    figures: dict[str, Any] = {"model": engine.model_id, "engine": engine.name, "detectors": {}}
    for kind in ("haar", "yunet"):
        # The faces are 80 px large: looking for smaller ones would only cost time.
        chosen = settings.detector.model_copy(update={"kind": kind, "min_face_px": 40})
        detector = _load(chosen)
        found = [redetect(each, detector) for each in seats]
        truly = accuracy(found, judge, None)
        measured = sweep(found, judge, FRAMINGS[kind])
        faces = sum(len(each.labels) for each in found)
        show(f"{kind}: {faces} of {sum(len(each.labels) for each in seats)} faces", kind, truly, measured)
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


def _load(settings: DetectorSettings) -> Detector:
    try:
        return load_detector(settings)
    except CrowdMoodError as error:
        raise SystemExit(f"benchmarks.framing: {error}") from None


def show(title: str, kind: str, truly: float, measured: Sequence[FramingResult]) -> None:
    """Print a table, what is in use marked."""
    table = Table("side", "right", "down", "eyes levelled", "accuracy", "lost, in points", "", title=title)
    for each in measured:
        framing = each.framing
        used = "in use" if framing == FRAMINGS[kind] and not each.aligned else ""
        cells = (f"{framing.side:.2f}", f"{framing.right:.2f}", f"{framing.down:.2f}", "yes" if each.aligned else "")
        table.add_row(*cells, f"{each.accuracy:.4f}", f"{100 * (truly - each.accuracy):.2f}", used)
    table.add_row("where they truly are", "", "", "", f"{truly:.4f}", "0", "")
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
