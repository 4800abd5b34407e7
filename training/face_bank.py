"""`python -m training.face_bank`: makes the simulator's bank of synthetic faces anew."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer

from crowdmood import LABELS
from simulator.bank import CARD_FILE, read_sheets, write_sheet
from training.alignment import align, find_landmarks
from training.data import TRAINING, FaceData
from training.face_figures import measure
from training.face_judges import judges
from training.face_model import fit
from training.loaders import load_faces
from training.novelty import measure_novelty
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
    only_measure: Annotated[
        bool, typer.Option("--only-measure", help="Draw nothing: write the figures of the faces that are there anew.")
    ] = False,
) -> None:
    """Fits the generative model, draws the bank, measures it, and writes all that into the bank's folder."""
    training = load_faces(data).split(TRAINING)
    judging = judges(model, yunet)
    if not only_measure:
        recipe = Recipe(
            persons=persons, seed=seed, expression_directions=directions, candidates=candidates, rounds=rounds
        )
        draw(training, yunet, judging, recipe, out)
    write_figures(out, training.images, judging)


def draw(training: FaceData, yunet: Path, judging: Judges, recipe: Recipe, out: Path) -> None:
    """Fits the model to training faces and writes a bank that is drawn from it, and where it comes from.

    Raises:
        DataError: Too few faces are frontal, or too few persons were convincing.
    """
    tiles, rows = align(training.images, find_landmarks(training.images, yunet))
    frontal = training.select(rows)
    fitted = fit(tiles, frontal.labels, clear_labels(frontal, judging.engines), recipe.expression_directions)
    novelty = novelty_of(tiles, recipe.seed)
    drawn = draw_bank(fitted, novelty, judging, recipe)
    write_bank(out, drawn, _origin(recipe, novelty, judging, len(tiles)))


def clear_labels(faces: FaceData, engines: Sequence[Engine]) -> NDArray[np.bool_]:
    """Says whose label networks do not doubt, `(N,)`: they give it 0.45 on average, or it is among its 120 surest."""
    answers = np.mean([engine.predict(faces.images)[0] for engine in engines], axis=0)
    sure = answers[np.arange(len(faces)), faces.labels]
    clear = np.asarray(sure >= _CLEAR)
    for label in range(len(LABELS)):
        of_label = np.flatnonzero(faces.labels == label)
        clear[of_label[np.argsort(-sure[of_label])[:_CLEAR_AT_LEAST]]] = True
    return clear


def write_bank(out: Path, drawn: Drawn, origin: dict[str, Any]) -> None:
    """Writes one sheet for each label, and the card: where the faces come from."""
    out.mkdir(parents=True, exist_ok=True)
    for label, faces in zip(LABELS, drawn.faces, strict=True):
        write_sheet(out / f"{label}.png", faces)
    _write_card(out, {"faces_per_label": drawn.faces.shape[1], **origin, "refused_persons": drawn.refused})


def write_figures(out: Path, photographs: NDArray[np.uint8], judging: Judges) -> None:
    """Writes into a bank's card how far its faces are from photographs, and how they do before each network.

    Args:
        out: The bank's folder.
        photographs: `(N, 48, 48) uint8`, what the network and the generative model were taught with.
        judging: The detectors, and the networks; figures of other networks are removed.
    """
    bank = read_sheets(out)
    card = json.loads((out / CARD_FILE).read_text(encoding="utf-8"))
    card["novelty"] = asdict(measure_novelty(np.concatenate(bank.faces), photographs))
    card["figures"] = {
        engine.model_id: asdict(measure(bank, replace(judging, engines=(engine,)))) for engine in judging.engines
    }
    _write_card(out, card)


def _write_card(out: Path, card: dict[str, Any]) -> None:
    (out / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _origin(recipe: Recipe, novelty: Novelty, judging: Judges, fitted_faces: int) -> dict[str, Any]:
    return {
        "method": "training/face_model.py: principal components of aligned faces, local Gaussians; "
        "training/synthetic_faces.py: rejection by detectors, network and distance to every training picture",
        "recipe": asdict(recipe),
        "judged_by": [engine.model_id for engine in judging.engines],
        "fitted_faces": fitted_faces,
        "aligned_allowed": round(novelty.allowed, 4),
    }


if __name__ == "__main__":
    typer.run(main)
