"""`crowdmood models pull` and `crowdmood evaluate-detector`. Commands import what they need when they run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from crowdmood.core.errors import DataError
from crowdmood.core.settings import load

models = typer.Typer(
    help="Model files that are not shipped with CrowdMood, and the network in use.", no_args_is_help=True
)


class PulledModel(StrEnum):
    """Models that can be downloaded."""

    YUNET = "yunet"


class Candidate(StrEnum):
    """Detectors that can be evaluated."""

    HAAR = "haar"
    YUNET = "yunet"
    BASELINE_HAAR = "hobby-haar"
    OPENCV_YUNET = "opencv-yunet"


class Computing(StrEnum):
    """Numeric precisions of YuNet."""

    F32 = "f32"
    BF16 = "bf16"


@models.command()
def pull(
    model: Annotated[PulledModel, typer.Argument(help="The model.")],  # noqa: ARG001 (there is one)
    optional: Annotated[
        bool, typer.Option("--optional", help="If it cannot be downloaded, print why in one line and succeed.")
    ] = False,
) -> None:
    """Download a model file, or resume a download, and check it byte for byte."""
    from crowdmood.core.errors import ModelError
    from detector.yunet_file import URL
    from detector.yunet_file import pull as download

    settings = load().detector
    assert settings.yunet_model is not None
    try:
        downloaded = download(settings.yunet_url or URL, settings.yunet_model)
    except ModelError as error:
        if not optional:
            raise
        print(f"Going on with the Haar cascade, which misses most faces of a dense crowd: {error}")
        return
    print(f"{settings.yunet_model}: {'downloaded and checked' if downloaded else 'already present, and checked'}")


def evaluate_detector(
    data: Annotated[Path, typer.Argument(help="Folder with images/ and boxes.json, or WIDER FACE.")],
    detector: Annotated[
        Candidate, typer.Option(help="The detector; hobby-haar and opencv-yunet are for comparison.")
    ] = Candidate.HAAR,
    precision: Annotated[
        Computing | None, typer.Option(help="Numeric precision of YuNet; default: the setting.")
    ] = None,
    min_face_px: Annotated[int, typer.Option(min=12, help="Smallest face to search, in pixels.")] = 12,
    pictures: Annotated[
        int | None, typer.Option(min=1, help="Evaluate only this number of images, spread evenly.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this JSON file.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the curves of recall and precision to this PNG file.")
    ] = None,
) -> None:
    """Measure recall, precision and processor time of a detector on labelled images."""
    from rich.progress import Progress

    from detector.evaluation import report
    from detector.evaluation.labels import labelled_images
    from detector.evaluation.run import evaluate

    changes: dict[str, Any] = {"min_face_px": min_face_px}
    if precision is not None:
        changes["precision"] = precision.value
    settings = load().detector.model_copy(update=changes)
    chosen = labelled_images(data)
    if pictures is not None and pictures < len(chosen):
        chosen = [chosen[i * len(chosen) // pictures] for i in range(pictures)]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("images", total=len(chosen))
        result = evaluate(chosen, detector.value, settings, on_image=lambda: progress.advance(task))
    Console().print(report.table(result))
    try:
        if json_file is not None:
            report.write_json(result, json_file)
        if picture is not None:
            report.draw(result, picture)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be written: {error.strerror}") from None
