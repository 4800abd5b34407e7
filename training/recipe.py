"""The recipe of a training: every choice, with its default, its bounds and what it means.

Validation, TOML files, `crowdmood train --print-recipe`, the help of the options and the model card are all made from
the fields of `Recipe`.
"""

from __future__ import annotations

import difflib
import json
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from crowdmood.core.errors import SettingsError

SHIPPED: Final = Path(__file__).parent / "recipes"
"""Folder of the recipes that come with CrowdMood; `--recipe NAME` reads `NAME.toml` from it."""

_PATHS: Final = ("data", "crowd_faces", "crowds", "start_from", "teacher", "backbone_weights")
"""Fields that name files of one machine: the card holds hashes and names of networks instead."""

_BOUNDS: Final = {"ge": "{} or more", "gt": "more than {}", "le": "at most {}"}
_WIDTH: Final = 118


def _as_list(value: Any) -> Any:
    """Accept one item where a list is expected."""
    return value if isinstance(value, list | tuple) else [value]


def _as_network(value: Any) -> Any:
    """Accept a path where a network with its weight is expected."""
    return {"path": value} if isinstance(value, str | Path) else value


class _Part(BaseModel):
    """A frozen part of a recipe, in which a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InitialNetwork(_Part):
    """A network to begin with. Weights are relative: in each head they are divided by their sum."""

    path: Path = Field(description="A model folder, or the `best.npz` of another run.")
    weight: float = Field(default=1.0, ge=0, description="Weight of this network in the mean of several.")
    heads: dict[Literal["fer", "votes", "crowd", "readable"], Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="Other weights for single heads (`training/heads.py`); a network without a head has none in it.",
    )


class Augmentation(_Part):
    """How strongly training faces are varied; zero switches a change off."""

    flip: float = Field(default=0.5, ge=0, le=1, description="Probability of mirroring.")
    shift: float = Field(default=0.08, ge=0, le=0.5, description="Largest shift, as a share of the side.")
    rotate_deg: float = Field(default=12.0, ge=0, le=90, description="Largest rotation to either side, in degrees.")
    zoom_in: float = Field(default=0.1, ge=0, le=0.9, description="Largest enlargement, as a share.")
    zoom_out: float = Field(
        default=0.1, ge=0, le=0.9, description="Largest reduction, as a share: the same as a wider box around the face."
    )
    shear: float = Field(default=0.0, ge=0, le=1, description="Largest shear, as a share of the side.")
    brightness: float = Field(
        default=0.25, ge=0, le=0.9, description="Largest change of exposure and contrast, as a share."
    )
    erase: float = Field(
        default=0.25, ge=0, le=1, description="Probability of erasing one random rectangle (Zhong et al. 2017)."
    )
    degrade: float = Field(default=0.0, ge=0, le=1, description="Probability of fewer pixels, blur, noise and JPEG.")
    occlude: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Probability of hiding most of a face, which makes it unreadable; only with `crowd_faces`.",
    )


class Recipe(_Part):
    """What a network is trained on, and how. Paths are relative to the current folder."""

    data: Path | None = Field(
        default=None, description="Faces: fer2013.csv, an .npz, or a folder of train/validation/test."
    )
    crowd_faces: Path | None = Field(
        default=None,
        description="Folder of `images/` and `faces.csv`, labelled faces of real crowds: adds `cheering` and "
        "`readable`.",
    )
    crowds: Path | None = Field(
        default=None,
        description="Folder of crowd photos and boxes.json: squares without a face are unreadable; with `crowd_faces`.",
    )
    start_from: Annotated[
        tuple[Annotated[InitialNetwork, BeforeValidator(_as_network)], ...], BeforeValidator(_as_list)
    ] = Field(
        default=(),
        description="Model folders, or `best.npz` of other runs, to begin with; of several, their mean. In a "
        "recipe, tables with `path`, `weight` and `heads` give each network a weight, also for single heads.",
    )
    teacher: Annotated[tuple[Path, ...], BeforeValidator(_as_list)] = Field(
        default=(), description="Model folders to distil; the probabilities of several are averaged."
    )
    backbone_weights: Path | None = Field(
        default=None, description="File of weights (`..._notop.h5`) of a `keras:` architecture."
    )
    architecture: str = Field(
        default="crowdnet",
        description="crowdnet, conv4, conv4-dense3, conv4-256, conv4-256-dense3, mini-xception, or `keras:` and the "
        "name of a backbone of keras.applications.",
    )
    fine_tune_layers: int = Field(
        default=0, ge=0, description="Last layers of a `keras:` backbone that are trained after the head."
    )
    epochs: int = Field(
        default=60, ge=0, description="Passes over the training faces; 0 exports `start_from` without training."
    )
    minutes: float | None = Field(
        default=None, ge=0.1, description="Train for this time instead of `epochs`; the schedule follows the clock."
    )
    batch_size: int = Field(default=128, ge=2, description="Faces per step.")
    optimizer: Literal["sgd", "adam"] = Field(
        default="sgd", description="`sgd` has Nesterov momentum 0.9; `adam` is AdamW."
    )
    learning_rate: float = Field(default=0.1, ge=0, description="Highest learning rate of the schedule.")
    schedule: Literal["cosine", "plateau", "constant"] = Field(
        default="cosine",
        description="`cosine` rises for 4 % of the run and falls to zero; `plateau` halves the rate after "
        "`plateau_patience` epochs without improvement.",
    )
    plateau_patience: int = Field(
        default=5, ge=1, description="Epochs without improvement before `plateau` halves the rate."
    )
    stop_patience: int = Field(
        default=0, ge=0, description="Epochs without improvement before training ends; 0 never ends it."
    )
    weight_decay: float = Field(
        default=5e-3, ge=0, description="Decoupled decay of kernels, multiplied by the learning rate."
    )
    label_smoothing: float = Field(default=0.05, ge=0, le=1, description="Share of uniform probability in the targets.")
    ferplus_blend: float = Field(
        default=0.25, ge=0, le=1, description="Weight of FER+ votes, translated into labels, in the targets."
    )
    teacher_blend: float = Field(
        default=0.5, ge=0, le=1, description="Weight of the teachers' probabilities in the targets."
    )
    class_weights: bool = Field(
        default=False, description="Weigh each label by the inverse square root of its frequency."
    )
    crowd_faces_per_epoch: int = Field(default=6000, ge=1, description="Faces drawn from `crowd_faces` in each epoch.")
    crowd_backgrounds: int = Field(default=1000, ge=1, description="Squares drawn from `crowds` in each epoch.")
    crowd_balance: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="How much more often rare labels of crowd faces are drawn: 0 not at all, 1 all labels equally.",
    )
    votes_weight: float = Field(default=0.3, ge=0, description="Weight of the head `votes` (FER+ votes).")
    crowd_weight: float = Field(default=1.0, ge=0, description="Weight of the head `crowd` (labels of crowd faces).")
    readable_weight: float = Field(default=0.5, ge=0, description="Weight of the head `readable`.")
    agreed_weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight with which FER2013 faces whose label most FER+ taggers chose also train the head `crowd`.",
    )
    small_until: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = Field(
        default=(0.0, 0.0),
        description="Shares of the run, 0 to 1, up to which faces have 32 and 40 pixels instead of 48 (Tan & Le 2021).",
    )
    refit_crowd_head: float | None = Field(
        default=None,
        gt=0,
        description="After training, fit the head `crowd` again by logistic regression on the frozen network; the "
        "value is C, the inverse of the regularisation.",
    )
    precision: Literal["float32", "mixed_bfloat16"] = Field(
        default="mixed_bfloat16", description="Number format while training; the export is float32."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the order, the augmentation and the initial weights.")
    augmentation: Augmentation = Field(default=Augmentation(), description=Augmentation.__doc__)

    @property
    def trains(self) -> bool:
        """Whether there is anything to train: `epochs = 0` exports what the recipe starts from."""
        return self.epochs > 0 or self.minutes is not None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.start_from and not sum(network.weight for network in self.start_from):
            raise ValueError("every weight in start_from is 0: give one network a weight")
        if self.small_until[0] > self.small_until[1]:
            raise ValueError("small_until must not fall: the share up to 32 pixels comes first")
        return self

    def check_inputs(self) -> Path:
        """Check that everything the recipe needs is named, and return the path of the faces.

        Raises:
            SettingsError: A file, a folder or a network is missing.
        """
        if self.data is None:
            raise SettingsError("the recipe names no faces: give --data")
        if not self.trains and not self.start_from:
            raise SettingsError("epochs = 0 exports start_from without training: name a network with --start-from")
        for name in ("crowds", "refit_crowd_head"):
            if getattr(self, name) is not None and self.crowd_faces is None:
                raise SettingsError(f"{name} needs labelled faces of crowds: name their folder with --crowd-faces")
        return self.data

    def for_card(self) -> dict[str, Any]:
        """Return the fields that mean something on another machine, for the model card."""
        return self.model_dump(mode="json", exclude=set(_PATHS))


def describe(name: str) -> str:
    """Return the description of a field, for the help of the option with its name."""
    return Recipe.model_fields[name].description or ""


def load_recipe(file: Path | None = None, assignments: Sequence[str] = (), **fields: Any) -> Recipe:
    """Read a recipe.

    Args:
        file: A TOML file, or the name of a shipped recipe; None: the defaults.
        assignments: `NAME=VALUE` each, over the file: VALUE as in TOML, strings also without quotes; a field of a table
            is `augmentation.flip`; an empty value restores the default.
        **fields: Values of fields over all others; None and empty ones are left out.

    Raises:
        SettingsError: The file cannot be read, or a field is unknown, malformed or out of bounds; one line in all.
    """
    values = {} if file is None else _read(file)
    for assignment in assignments:
        _assign(values, assignment)
    values |= {name: value for name, value in fields.items() if value not in (None, (), [])}
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(each) for each in error.errors())
        raise SettingsError(f"{file or 'recipe'}: {problems}") from None


def _read(file: Path) -> dict[str, Any]:
    shipped = SHIPPED / f"{file}.toml"
    try:
        with (file if file.exists() or not shipped.is_file() else shipped).open("rb") as opened:
            return tomllib.load(opened)
    except (OSError, ValueError) as error:
        names = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.toml")))
        raise SettingsError(f"{file}: cannot be read ({error}); give a TOML file, or one of {names}") from None


def _assign(values: dict[str, Any], assignment: str) -> None:
    name, equals, text = assignment.partition("=")
    *tables, last = name.strip().split(".")
    if not equals or not last:
        raise SettingsError(f"--set {assignment!r}: write NAME=VALUE, such as learning_rate=0.03")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise SettingsError(f"--set {assignment!r}: {table} is no table; assign the whole of it")
    if not text.strip():
        values.pop(last, None)
        return
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text.strip()


def _problem(error: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = [*Recipe.model_fields, *(f"augmentation.{field}" for field in Augmentation.model_fields)]
        nested = f"augmentation.{name}"
        alike = [nested] if nested in known else difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {alike[0]}?" if alike else "--print-recipe shows the fields"
        return f"{name} is no field of a recipe; {hint}"
    message = str(error["msg"]).removeprefix("Value error, ")
    given = error.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float) else ""
    return f"{name}: {message}{shown}" if name else message


def as_toml(recipe: Recipe) -> str:
    """Return a recipe as a TOML file: every field with its description and bounds, unset ones as comments."""
    tables = ("augmentation", *(("start_from",) if recipe.start_from else ()))
    lines = ["# A recipe for `crowdmood train --recipe FILE`. Remove the fields that keep their default.", ""]
    for name in [name for name in Recipe.model_fields if name not in tables]:
        lines += [*_field(recipe, name), ""]
    lines += [*_comment(describe("augmentation")), "[augmentation]", ""]
    for name in Augmentation.model_fields:
        lines += [*_field(recipe.augmentation, name), ""]
    for network in recipe.start_from:
        lines += ["[[start_from]]", *(line for name in InitialNetwork.model_fields for line in _field(network, name))]
        lines.append("")
    return "\n".join(lines)


def _field(part: BaseModel, name: str) -> Iterator[str]:
    """Yield the lines of one field: a comment, then the assignment."""
    field = type(part).model_fields[name]
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    allowed = ", ".join(
        [_toml(choice) for choice in choices]
        + [
            text.format(f"{value:g}")
            for item in field.metadata
            for bound, text in _BOUNDS.items()
            if (value := getattr(item, bound, None)) is not None
        ]
    )
    yield from _comment(f"{field.description} Values: {allowed}." if allowed else field.description or "")
    value = getattr(part, name)
    yield f"# {name} =" if value in (None, (), {}) else f"{name} = {_toml(value)}"


def _comment(text: str) -> Iterator[str]:
    return (f"# {line}" for line in textwrap.wrap(text, _WIDTH))


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)
