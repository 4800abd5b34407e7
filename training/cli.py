"""`crowdmood train` and `crowdmood evaluate`. Frameworks are imported only when a command runs."""

from __future__ import annotations

import os
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from crowdmood.core.errors import NotInstalledError, SettingsError
from training.recipe import as_toml, describe, load_recipe

_RECIPE: Final = "Recipe"
_INPUTS: Final = "Inputs"


class Backend(StrEnum):
    """What Keras computes with."""

    TENSORFLOW = "tensorflow"
    TORCH = "torch"
    JAX = "jax"


class Split(StrEnum):
    """Which faces of a folder with faces.csv are used."""

    TRAIN = "train"
    VALIDATION = "validation"
    ALL = "all"


def use_backend(backend: Backend) -> None:
    """Choose what Keras computes with, before Keras is first imported.

    Raises:
        NotInstalledError: TensorFlow is not installed.
        SettingsError: Another backend is not installed.
    """
    if find_spec(backend.value) is None:
        if backend is Backend.TENSORFLOW:
            raise NotInstalledError("training", backend.value, "train")
        raise SettingsError(f"{backend.value} is not installed; `pip install {backend.value}` into this environment")
    os.environ["KERAS_BACKEND"] = backend.value
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _input(field: str) -> Any:
    """Return the option of a recipe's field that names a file or a folder."""
    return typer.Option(help=describe(field), rich_help_panel=_INPUTS, show_default=False)


def train(
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of the training, or the name of a recipe that comes with CrowdMood.",
            rich_help_panel=_RECIPE,
            show_default="every field's default",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change one field of the recipe, e.g. learning_rate=0.03; repeat it for others.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    print_recipe: Annotated[
        bool,
        typer.Option(
            "--print-recipe",
            help="Print the recipe with every field, its value, bounds and meaning, as TOML, and exit.",
            rich_help_panel=_RECIPE,
        ),
    ] = False,
    data: Annotated[Path | None, _input("data")] = None,
    crowd_faces: Annotated[Path | None, _input("crowd_faces")] = None,
    crowds: Annotated[Path | None, _input("crowds")] = None,
    start_from: Annotated[list[Path] | None, _input("start_from")] = None,
    teacher: Annotated[list[Path] | None, _input("teacher")] = None,
    backbone_weights: Annotated[Path | None, _input("backbone_weights")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Model folder to write; an older model there is replaced.", show_default=False)
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder of checkpoints and caches; a killed run is resumed from there.",
            show_default="runs/NAME of --out",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete an earlier run's checkpoints in --work first.")
    ] = False,
    backend: Annotated[Backend, typer.Option(help="What Keras computes with.")] = Backend.TENSORFLOW,
    summary: Annotated[bool, typer.Option("--summary", help="Print the network's layers.")] = False,
    model_json: Annotated[
        bool, typer.Option("--model-json", help="Also write model.json and model.weights.h5.")
    ] = False,
) -> None:
    """Train a network on labelled faces and write a model folder.

    A recipe says what to train on and how. The options under "Inputs" are fields of the recipe too.
    """
    chosen = load_recipe(
        recipe,
        assignments or (),
        data=data,
        crowd_faces=crowd_faces,
        crowds=crowds,
        start_from=start_from,
        teacher=teacher,
        backbone_weights=backbone_weights,
    )
    if print_recipe:
        print(as_toml(chosen))
        return
    if out is None:
        raise SettingsError("--out is missing: name the model folder to write")
    use_backend(backend)
    from training.run import run

    run(chosen, out, work or Path("runs") / out.name, fresh, summary, model_json)


def evaluate(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    data: Annotated[
        Path,
        typer.Argument(
            help="Faces of crowds: a folder of images/ and faces.csv. Or faces with FER2013's labels: fer2013.csv, an "
            ".npz, or a folder of train/validation/test."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Report folder. Default: reports/NAME of the model.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write only the figures, to this file.")] = None,
    crowds: Annotated[
        Path | None,
        typer.Option(help="Folder of crowd photos and boxes.json: also measure face check and consistency."),
    ] = None,
    split: Annotated[
        Split | None,
        typer.Option(
            help="Which faces of crowds to use.", show_default="validation if the folder has such faces, else all"
        ),
    ] = None,
) -> None:
    """Evaluate a model folder on labelled faces and write a report: figures, plots, one page."""
    use_backend(Backend.TENSORFLOW)
    from training.evaluate import write_report

    out = out or Path("reports") / model.name
    write_report(model, data, out, json_file, crowds, split.value if split else None)
