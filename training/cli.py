"""`crowdmood train` and `crowdmood evaluate`. Frameworks are imported when a command runs, never before."""

from __future__ import annotations

import os
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from crowdmood.core.errors import NotInstalledError, SettingsError
from training.recipe import Augmentation, Recipe

_DEFAULT = Recipe()
_AUGMENT = Augmentation()
_CROWD_FACES_PER_EPOCH = 6000
_CROWD_BACKGROUNDS = 1000


class Backend(StrEnum):
    """What Keras computes with."""

    TENSORFLOW = "tensorflow"
    TORCH = "torch"
    JAX = "jax"


class Optimizer(StrEnum):
    """How weights follow gradients."""

    SGD = "sgd"
    ADAM = "adam"


class Schedule(StrEnum):
    """How the learning rate changes."""

    COSINE = "cosine"
    PLATEAU = "plateau"
    CONSTANT = "constant"


class Precision(StrEnum):
    """Number format while training."""

    FLOAT32 = "float32"
    MIXED_BFLOAT16 = "mixed_bfloat16"


class Split(StrEnum):
    """Which faces of a folder with faces.csv are used."""

    TRAIN = "train"
    VALIDATION = "validation"
    ALL = "all"


def use_backend(backend: Backend) -> None:
    """Choose what Keras computes with; only before Keras is first imported.

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


def train(
    data: Annotated[Path, typer.Option(help="Faces: fer2013.csv, an .npz, or a folder of train/validation/test.")],
    out: Annotated[Path, typer.Option(help="Model folder to write; an older model there is replaced.")],
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder of checkpoints and logs; a killed run goes on from there. Default: runs/NAME of --out."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an earlier run's checkpoints in --work.")] = False,
    backend: Annotated[Backend, typer.Option(help="What Keras computes with.")] = Backend.TENSORFLOW,
    architecture: Annotated[
        str,
        typer.Option(
            help="crowdnet, conv4, conv4-dense3, conv4-256, conv4-256-dense3, mini-xception, or keras:BACKBONE."
        ),
    ] = _DEFAULT.architecture,
    epochs: Annotated[
        int, typer.Option(min=0, help="Passes over the training faces; 0 exports --start-from as it is.")
    ] = _DEFAULT.epochs,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Train for so long instead; the schedule follows the clock.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Faces per step.")] = _DEFAULT.batch_size,
    optimizer: Annotated[Optimizer, typer.Option(help="SGD with Nesterov momentum, or AdamW.")] = Optimizer.SGD,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = _DEFAULT.learning_rate,
    schedule: Annotated[Schedule, typer.Option(help="How the learning rate changes.")] = Schedule.COSINE,
    plateau_patience: Annotated[
        int, typer.Option(min=1, help="Epochs without improvement before a plateau halves the rate.")
    ] = _DEFAULT.plateau_patience,
    stop_patience: Annotated[int, typer.Option(min=0, help="Epochs without improvement before the end; 0 never.")] = 0,
    weight_decay: Annotated[float, typer.Option(min=0, help="Decoupled weight decay.")] = _DEFAULT.weight_decay,
    label_smoothing: Annotated[
        float, typer.Option(min=0, max=1, help="Uniform share in the targets.")
    ] = _DEFAULT.label_smoothing,
    ferplus_blend: Annotated[
        float, typer.Option(min=0, max=1, help="Weight of FER+ votes in the targets.")
    ] = _DEFAULT.ferplus_blend,
    class_weights: Annotated[bool, typer.Option("--class-weights", help="Weigh rare labels more.")] = False,
    teacher: Annotated[
        list[Path] | None, typer.Option(help="Model folder of a teacher to distil; several are averaged.")
    ] = None,
    teacher_blend: Annotated[float, typer.Option(min=0, max=1, help="Weight of the teachers in the targets.")] = 0.5,
    crowd_faces: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `images/` and `faces.csv`, labelled faces of real crowds: adds `cheering` and `readable`."
        ),
    ] = None,
    crowd_faces_per_epoch: Annotated[
        int, typer.Option(min=1, help="Crowd faces in each epoch.")
    ] = _CROWD_FACES_PER_EPOCH,
    crowd_balance: Annotated[
        float, typer.Option(min=0, max=1, help="How strongly rare labels of crowd faces are drawn more often.")
    ] = _DEFAULT.crowd_balance,
    crowds: Annotated[
        Path | None,
        typer.Option(help="Crowd photographs with boxes.json: their squares without a face are unreadable."),
    ] = None,
    crowd_backgrounds: Annotated[
        int, typer.Option(min=1, help="Squares of crowd photographs in each epoch.")
    ] = _CROWD_BACKGROUNDS,
    votes_weight: Annotated[
        float, typer.Option(min=0, help="Weight of the FER+ votes as a head of their own.")
    ] = _DEFAULT.votes_weight,
    crowd_weight: Annotated[
        float, typer.Option(min=0, help="Weight of the labels of crowd faces.")
    ] = _DEFAULT.crowd_weight,
    readable_weight: Annotated[
        float, typer.Option(min=0, help="Weight of whether an expression can be seen.")
    ] = _DEFAULT.readable_weight,
    agreed_weight: Annotated[
        float, typer.Option(min=0, help="Weight with which FER2013 labels that FER+ agrees with teach the crowd head.")
    ] = _DEFAULT.agreed_weight,
    small_until: Annotated[
        tuple[float, float], typer.Option(help="Shares of the run up to which faces are fed at 32 and at 40 px.")
    ] = _DEFAULT.small_until,
    precision: Annotated[Precision, typer.Option(help="Number format while training.")] = Precision.MIXED_BFLOAT16,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = _DEFAULT.seed,
    flip: Annotated[float, typer.Option(min=0, max=1, help="Probability of mirroring.")] = _AUGMENT.flip,
    shift: Annotated[float, typer.Option(min=0, max=0.5, help="Largest shift, share of the side.")] = _AUGMENT.shift,
    rotate_deg: Annotated[float, typer.Option(min=0, max=90, help="Largest rotation.")] = _AUGMENT.rotate_deg,
    zoom_in: Annotated[float, typer.Option(min=0, max=0.9, help="Largest enlargement, as a share.")] = _AUGMENT.zoom_in,
    zoom_out: Annotated[float, typer.Option(min=0, max=0.9, help="Largest shrinking, as a share.")] = _AUGMENT.zoom_out,
    shear: Annotated[float, typer.Option(min=0, max=1, help="Largest shear, share of the side.")] = _AUGMENT.shear,
    brightness: Annotated[
        float, typer.Option(min=0, max=0.9, help="Change of exposure and contrast.")
    ] = _AUGMENT.brightness,
    erase: Annotated[float, typer.Option(min=0, max=1, help="Probability of an erased patch.")] = _AUGMENT.erase,
    degrade: Annotated[
        float, typer.Option(min=0, max=1, help="Probability of fewer pixels, blur, noise and JPEG.")
    ] = _AUGMENT.degrade,
    occlude: Annotated[
        float, typer.Option(min=0, max=1, help="Probability of a face that is hidden and so unreadable.")
    ] = _AUGMENT.occlude,
    start_from: Annotated[
        list[Path] | None,
        typer.Option(help="What to begin with: a model folder, or the best.npz of another run; several are averaged."),
    ] = None,
    backbone_weights: Annotated[Path | None, typer.Option(help="Weights file of a keras:BACKBONE.")] = None,
    fine_tune_layers: Annotated[
        int, typer.Option(min=0, help="Last layers of a backbone that are trained after the head.")
    ] = 0,
    summary: Annotated[bool, typer.Option("--summary", help="Print the network's layers.")] = False,
    model_json: Annotated[
        bool, typer.Option("--model-json", help="Also write model.json and model.weights.h5.")
    ] = False,
) -> None:
    """Train a network on labelled faces and write a model folder."""
    use_backend(backend)
    recipe = Recipe(
        architecture=architecture,
        fine_tune_layers=fine_tune_layers,
        epochs=epochs,
        minutes=minutes,
        batch_size=batch_size,
        optimizer=optimizer.value,
        learning_rate=learning_rate,
        schedule=schedule.value,
        plateau_patience=plateau_patience,
        stop_patience=stop_patience,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        ferplus_blend=ferplus_blend,
        teacher_blend=teacher_blend if teacher else 0.0,
        class_weights=class_weights,
        crowd_faces=crowd_faces_per_epoch if crowd_faces is not None else 0,
        crowd_backgrounds=crowd_backgrounds if crowds is not None else 0,
        crowd_balance=crowd_balance,
        votes_weight=votes_weight,
        crowd_weight=crowd_weight,
        readable_weight=readable_weight,
        agreed_weight=agreed_weight,
        small_until=small_until,
        precision=precision.value,
        seed=seed,
        augmentation=Augmentation(
            flip=flip,
            shift=shift,
            rotate_deg=rotate_deg,
            zoom_in=zoom_in,
            zoom_out=zoom_out,
            shear=shear,
            brightness=brightness,
            erase=erase,
            degrade=degrade,
            occlude=occlude,
        ),
    )
    from training.run import Paths, run

    run(
        recipe,
        Paths(
            data=data,
            out=out,
            work=work or Path("runs") / out.name,
            teachers=tuple(teacher or ()),
            crowd_faces=crowd_faces,
            crowds=crowds,
            start_from=tuple(start_from or ()),
            backbone_weights=backbone_weights,
        ),
        fresh=fresh,
        summary=summary,
        model_json=model_json,
    )


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
        Path | None, typer.Option(help="Crowd photographs with boxes.json: face check and consistency as well.")
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
