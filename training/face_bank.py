"""`python -m training.face_bank`: makes the simulator's bank of synthetic faces anew."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer

from crowdmood import LABELS
from simulator.bank import FaceBank, write_sheet
from training.alignment import align, find_landmarks
from training.data import TRAINING, FaceData
from training.face_figures import measure
from training.face_judges import judges
from training.face_model import fit
from training.loaders import load_faces
from training.synthetic_faces import Drawn, Recipe, draw_bank, novelty_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from classifier.engines import Engine
    from training.face_judges import Judges
    from training.synthetic_faces import Novelty

_DEFAULT: Final = Recipe()
_CLEAR: Final = 0.45
_CLEAR_AT_LEAST: Final = 120
_MEASURED_PICTURES: Final = 12


def main(
    data: Annotated[Path, typer.Option(help="Faces with labels; only the Training split is looked at.")],
    yunet: Annotated[Path, typer.Option(help="YuNet's ONNX file.")],
    model: Annotated[list[Path], typer.Option(help="Model folders that judge; all have to agree.")],
    out: Annotated[Path, typer.Option(help="Folder of the bank.")] = Path("simulator/faces"),
    persons: Annotated[int, typer.Option(min=1, help="Persons, each with seven expressions.")] = _DEFAULT.persons,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = _DEFAULT.seed,
    directions: Annotated[
        int, typer.Option(min=6, max=150, help="Directions of the model that hold the expression; the rest the person.")
    ] = _DEFAULT.expression_directions,
    candidates: Annotated[int, typer.Option(min=6, help="Pictures drawn at a time.")] = _DEFAULT.candidates,
    rounds: Annotated[int, typer.Option(min=0, help="How often more are bred from the best.")] = _DEFAULT.rounds,
) -> None:
    """Fits the generative model, draws the bank and writes it."""
    recipe = Recipe(persons=persons, seed=seed, expression_directions=directions, candidates=candidates, rounds=rounds)
    training = load_faces(data).split(TRAINING)
    tiles, rows = align(training.images, find_landmarks(training.images, yunet))
    frontal = training.select(rows)
    judging = judges(model, yunet)
    fitted = fit(tiles, frontal.labels, clear_labels(frontal, judging.engines), directions)
    novelty = novelty_of(tiles, seed)
    drawn = draw_bank(fitted, novelty, judging, recipe)
    bank = FaceBank(tuple(drawn.faces))
    figures = {
        engine.model_id: asdict(measure(bank, replace(judging, engines=(engine,)), _MEASURED_PICTURES))
        for engine in judging.engines
    }
    write_bank(out, drawn, figures, _origin(recipe, novelty, judging, len(tiles)))


def clear_labels(faces: FaceData, engines: Sequence[Engine]) -> NDArray[np.bool_]:
    """Says whose label networks do not doubt, `(N,)`: they give it 0.45 on average, or it is among its 120 surest."""
    answers = np.mean([engine.predict(faces.images)[0] for engine in engines], axis=0)
    sure = answers[np.arange(len(faces)), faces.labels]
    clear = np.asarray(sure >= _CLEAR)
    for label in range(len(LABELS)):
        of_label = np.flatnonzero(faces.labels == label)
        clear[of_label[np.argsort(-sure[of_label])[:_CLEAR_AT_LEAST]]] = True
    return clear


def write_bank(out: Path, drawn: Drawn, figures: dict[str, Any], origin: dict[str, Any]) -> None:
    """Writes one sheet for each label, and `bank.json`: where the faces come from and how they do."""
    out.mkdir(parents=True, exist_ok=True)
    for label, faces in zip(LABELS, drawn.faces, strict=True):
        write_sheet(out / f"{label}.png", faces)
    card = {
        "faces_per_label": drawn.faces.shape[1],
        **origin,
        "refused_persons": drawn.refused,
        "closest": round(float(drawn.distances.min()), 4),
        "median": round(float(np.median(drawn.distances)), 4),
        "figures": figures,
    }
    (out / "bank.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _origin(recipe: Recipe, novelty: Novelty, judging: Judges, fitted_faces: int) -> dict[str, Any]:
    return {
        "method": "training/face_model.py: principal components of aligned faces, local Gaussians; "
        "training/synthetic_faces.py: rejection by detectors, network and distance to every training picture",
        "recipe": asdict(recipe),
        "judged_by": [engine.model_id for engine in judging.engines],
        "fitted_faces": fitted_faces,
        "closest_allowed": round(novelty.allowed, 4),
    }


if __name__ == "__main__":
    typer.run(main)
