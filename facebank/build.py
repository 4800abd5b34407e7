"""`python -m facebank`: make the simulator's bank of synthetic faces, or its row of cheering ones."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import FER_LABELS, LABELS
from facebank.alignment import align, find_landmarks
from facebank.checks import load_checks
from facebank.drawing import Drawer, Drawn, Recipe, Singers, novelty_of
from facebank.face_model import fit
from facebank.figures import measure
from facebank.novelty import measure_novelty
from simulator.bank import CARD_FILE, read_sheet, read_sheets, write_sheet
from training.crowd_faces import load_crowd_faces
from training.data import TRAINING, FaceData
from training.loaders import load_faces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from classifier.engines import Engine
    from facebank.checks import Checks

_DEFAULT: Final = Recipe()
_CLEAR: Final = 0.45
_CLEAR_AT_LEAST: Final = 120
_CROWD_FRAMING: Final = 1.2
_CROWD_PX: Final = 40
_CALM: Final = 400
_METHOD: Final = (
    "facebank/face_model.py: principal components of aligned faces, local Gaussians; cheering from aligned faces that "
    "cheer in labelled crowds, less calm ones there; facebank/drawing.py: rejection by detectors, networks and "
    "distance to every photograph"
)


def main(
    data: Annotated[Path, typer.Option(help="Faces with labels; only the Training split is used.")],
    yunet: Annotated[Path, typer.Option(help="YuNet's ONNX file.")],
    model: Annotated[list[Path], typer.Option(help="Model folders; all that have a label must agree with it.")],
    crowd: Annotated[
        Path | None, typer.Option(help="Labelled faces of crowds, to draw cheering; only the train split is used.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the bank.")] = Path("simulator/faces"),
    persons: Annotated[int, typer.Option(min=1, help="Persons, each with eight expressions.")] = _DEFAULT.persons,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = _DEFAULT.seed,
    directions: Annotated[
        int, typer.Option(min=6, max=150, help="Directions of the model that hold the expression; the rest the person.")
    ] = _DEFAULT.expression_directions,
    candidates: Annotated[int, typer.Option(min=6, help="Images drawn at a time.")] = _DEFAULT.candidates,
    rounds: Annotated[int, typer.Option(min=0, help="How often more are bred from the best.")] = _DEFAULT.rounds,
    row: Annotated[
        list[str] | None, typer.Option(help="Keep the persons, and draw only their expression of this label again.")
    ] = None,
    only_measure: Annotated[
        bool, typer.Option("--only-measure", help="Measure the existing faces without drawing any.")
    ] = False,
) -> None:
    """Fit the generative model, draw the bank, measure it, and write all that into the bank's folder."""
    unknown = [label for label in row or () if label not in LABELS]
    if unknown:
        raise DataError(f"--row is {unknown[0]!r}; give one of {', '.join(LABELS)}")
    training = load_faces(data).split(TRAINING)
    checks = load_checks(model, yunet)
    if not only_measure:
        if crowd is None:
            raise DataError("--crowd is missing: cheering is learned from labelled faces of crowds")
        recipe = Recipe(
            persons=persons, seed=seed, expression_directions=directions, candidates=candidates, rounds=rounds
        )
        draw(training, yunet, singers_in(crowd, yunet, seed), checks, recipe, out, row or ())
    write_figures(out, training.images, checks)


def singers_in(crowd: Path, yunet: Path, seed: int) -> Singers:
    """Return frontal faces of crowds that cheer, and calm ones: at most 400 of each, at least 40 pixels large.

    Raises:
        DataError: The folder cannot be read, or none of its faces is frontal.
    """
    faces = load_crowd_faces(crowd, "train")
    faces = faces.select(faces.px >= _CROWD_PX)

    def aligned(label: str) -> NDArray[np.uint8]:
        rows = np.flatnonzero(faces.labels == LABELS.index(label))
        chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:_CALM])
        crops = faces.select(chosen).crops(_CROWD_FRAMING)
        return align(crops, find_landmarks(crops, yunet))[0]

    return Singers(cheering=aligned("cheering"), calm=aligned("neutral"))


def draw(
    training: FaceData,
    yunet: Path,
    singers: Singers,
    checks: Checks,
    recipe: Recipe,
    out: Path,
    rows: Sequence[str] = (),
) -> None:
    """Fit the model to training faces, draw a bank from it, and write the bank with its card.

    Args:
        training: The faces that the model is fitted to.
        yunet: YuNet's ONNX file.
        singers: Faces that teach it how people cheer.
        checks: The detectors and networks that accept images.
        recipe: How to draw.
        out: The bank's folder.
        rows: Labels to draw again for the existing people; none: draw new people with all labels.

    Raises:
        DataError: Too few faces are frontal, too few persons were convincing, or no network has a label.
    """
    tiles, frontal_rows = align(training.images, find_landmarks(training.images, yunet))
    frontal = training.select(frontal_rows)
    model = fit(tiles, frontal.labels, clear_labels(frontal, checks.engines), recipe.expression_directions)
    novelty = novelty_of(tiles, recipe.seed, np.concatenate([singers.cheering, singers.calm]))
    drawer = Drawer(model, novelty, singers, checks, recipe)
    origin = {
        "method": _METHOD,
        "recipe": asdict(recipe),
        "checked_by": [engine.model_id for engine in checks.engines],
        "fitted_faces": len(tiles),
        "cheering_faces": len(singers.cheering),
        "calm_faces": len(singers.calm),
        "aligned_allowed": round(novelty.allowed, 4),
    }
    if not rows:
        write_bank(out, drawer.bank(), origin)
        return
    there = np.stack([read_sheet(out, label) for label in FER_LABELS])
    for label in rows:
        write_sheet(out / f"{label}.png", drawer.row(LABELS.index(label), there))
        card = json.loads((out / CARD_FILE).read_text(encoding="utf-8"))
        _write_card(out, {**card, "rows": {**card.get("rows", {}), label: origin}})


def clear_labels(faces: FaceData, engines: Sequence[Engine]) -> NDArray[np.bool_]:
    """Return which labels are certain, `(N,)`: networks give them 0.45 on average, or they are a label's 120 surest."""
    answers = np.mean([engine.predict(faces.images)[0][:, : len(FER_LABELS)] for engine in engines], axis=0)
    sure = answers[np.arange(len(faces)), faces.labels]
    clear = np.asarray(sure >= _CLEAR)
    for label in range(len(FER_LABELS)):
        of_label = np.flatnonzero(faces.labels == label)
        clear[of_label[np.argsort(-sure[of_label])[:_CLEAR_AT_LEAST]]] = True
    return clear


def write_bank(out: Path, drawn: Drawn, origin: dict[str, Any]) -> None:
    """Write one sheet for each label, and the card with the origin of the faces."""
    out.mkdir(parents=True, exist_ok=True)
    for label, faces in zip(LABELS, drawn.faces, strict=True):
        write_sheet(out / f"{label}.png", faces)
    _write_card(out, {"faces_per_label": drawn.faces.shape[1], **origin, "refused_persons": drawn.refused})


def write_figures(out: Path, photographs: NDArray[np.uint8], checks: Checks) -> None:
    """Write into a bank's card how far its faces are from photos, and how each network classifies them.

    Args:
        out: The bank's folder.
        photographs: `(N, 48, 48) uint8`, what the generative model was fitted to.
        checks: The detectors, and the networks; figures of other networks are removed.
    """
    bank = read_sheets(out)
    card = json.loads((out / CARD_FILE).read_text(encoding="utf-8"))
    card["novelty"] = asdict(measure_novelty(np.concatenate(bank.faces), photographs))
    card["figures"] = {
        engine.model_id: asdict(measure(bank, replace(checks, engines=(engine,)))) for engine in checks.engines
    }
    _write_card(out, card)


def _write_card(out: Path, card: dict[str, Any]) -> None:
    (out / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
