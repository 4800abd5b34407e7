"""`crowdmood models pull`, `crowdmood evaluate-detector`; what they need is imported when a command runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from crowdmood.core.errors import DataError
from crowdmood.core.settings import load

models = typer.Typer(help="Model files that CrowdMood does not bring along.", no_args_is_help=True)


class PulledModel(StrEnum):
    """What can be fetched."""

    YUNET = "yunet"


class Candidate(StrEnum):
    """What can be evaluated."""

    HAAR = "haar"
    YUNET = "yunet"
    HOBBY_HAAR = "hobby-haar"
    OPENCV_YUNET = "opencv-yunet"


class Computing(StrEnum):
    """What YuNet computes with."""

    F32 = "f32"
    BF16 = "bf16"


@models.command()
def pull(model: Annotated[PulledModel, typer.Argument(help="Which model.")]) -> None:  # noqa: ARG001 (there is one)
    """Fetch a model file once: resumed when it broke off, checked byte for byte."""
    from detector.download import pull as fetch
    from detector.yunet_file import URL

    settings = load().detector
    assert settings.yunet_model is not None
    fetched = fetch(settings.yunet_url or URL, settings.yunet_model)
    print(f"{settings.yunet_model}: {'fetched and checked' if fetched else 'there already, and checked'}")


def evaluate_detector(
    data: Annotated[Path, typer.Argument(help="Folder of images/ and boxes.json, or of WIDER FACE.")],
    detector: Annotated[Candidate, typer.Option(help="Which detector; two of them for comparison.")] = Candidate.HAAR,
    precision: Annotated[Computing | None, typer.Option(help="What YuNet computes with; default: the setting.")] = None,
    min_face_px: Annotated[int, typer.Option(min=12, help="Smallest face searched, in pixels.")] = 12,
    pictures: Annotated[int | None, typer.Option(min=1, help="Only so many pictures, spread evenly.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every figure to this file.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw recall against precision into this PNG file.")] = None,
) -> None:
    """Measure recall, precision and cost of a detector on labelled pictures."""
    from rich.progress import Progress

    from detector.evaluation import report
    from detector.evaluation.labels import labelled_pictures
    from detector.evaluation.run import evaluate

    changes: dict[str, Any] = {"min_face_px": min_face_px}
    if precision is not None:
        changes["precision"] = precision.value
    settings = load().detector.model_copy(update=changes)
    chosen = labelled_pictures(data)
    if pictures is not None and pictures < len(chosen):
        chosen = [chosen[i * len(chosen) // pictures] for i in range(pictures)]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("pictures", total=len(chosen))
        result = evaluate(chosen, detector.value, settings, on_picture=lambda: progress.advance(task))
    Console().print(report.table(result))
    try:
        if json_file is not None:
            report.write_json(result, json_file)
        if picture is not None:
            report.draw(result, picture)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be written: {error.strerror}") from None
