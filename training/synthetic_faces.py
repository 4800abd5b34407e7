"""Draws people who do not exist for the simulator's stands, and keeps those who convince.

Persons and their seven expressions come from the generative model of `face_model`; kept is what the judges of
`face_judges` accept and what is no near copy of a training picture (`novelty`). `face_bank` is the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdmood import LABELS
from crowdmood.errors import DataError
from simulator.people import random_look
from training.alignment import flatten
from training.face_judges import Judges, sketches, worn
from training.face_model import FaceModel
from training.novelty import closest_allowed, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DOUBTED: Final = ("disgust", "fear", "sad", "angry", "neutral", "surprise", "happy")
"""Labels in the order in which persons fail: most are given up for the first, before more work goes into them."""
_REFERENCE_SAMPLE: Final = 2000
_EMPHASES: Final = (0.6, 1.4, 2.2)
_LOOKED_AT: Final = 6
_PARENTS: Final = 5
_STEP: Final = 0.5
_WEARERS: Final = 3
_HARDEST_FIRST: Final = tuple(LABELS.index(name) for name in _DOUBTED)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a bank is drawn.

    Attributes:
        persons: Persons wanted, each with seven expressions.
        seed: Seed of everything random.
        expression_directions: See `face_model.fit`.
        candidates: Pictures drawn for each person and label, of which the most convincing one is kept.
        sure: Probability of the label from which a picture is convincing enough to look no further.
        rounds: How often more pictures are bred from the most convincing ones while too few are.
        person_spread: How unusual persons are, relative to the fitted faces.
        expression_spread: How unusual their expressions are, likewise.
        novelty_margin: How much farther than the closest distance allowed a picture must be from training pictures.
        max_persons: Persons drawn before we give up.
    """

    persons: int = 64
    seed: int = 20
    expression_directions: int = 40
    candidates: int = 24
    sure: float = 0.6
    rounds: int = 5
    person_spread: float = 0.8
    expression_spread: float = 0.8
    novelty_margin: float = 1.02
    max_persons: int = 2000


@dataclass(frozen=True, slots=True)
class Novelty:
    """What a picture is compared with: flattened training pictures, the same mirrored, and the distance allowed."""

    pictures: NDArray[np.float32]
    mirrored: NDArray[np.float32]
    allowed: float

    def distances(self, tiles: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Distance `(N,)` of each tile `(N, 64, 64) uint8` to the nearest training picture."""
        rows = flatten(tiles)
        return np.minimum(nearest(rows, self.pictures), nearest(rows, self.mirrored))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn bank.

    Attributes:
        faces: `(7, N, 64, 64) uint8`; equal columns are the same person.
        refused: Persons that were drawn and not kept, by the first label that found no convincing picture.
    """

    faces: NDArray[np.uint8]
    refused: dict[str, int]


def novelty_of(tiles: NDArray[np.uint8], seed: int) -> Novelty:
    """Prepares the comparison with aligned training pictures `(N, 64, 64) uint8`."""
    pictures, mirrored = flatten(tiles), flatten(tiles[:, :, ::-1])
    sample = np.random.default_rng(seed).permutation(len(tiles))[:_REFERENCE_SAMPLE]
    return Novelty(pictures, mirrored, closest_allowed(pictures, mirrored, sample))


def draw_bank(model: FaceModel, novelty: Novelty, judging: Judges, recipe: Recipe) -> Drawn:
    """Draws persons until enough of them have seven convincing and new pictures.

    Raises:
        DataError: Too few were convincing among `max_persons`.
    """
    rng = np.random.default_rng(recipe.seed)
    faces: list[NDArray[np.uint8]] = []
    refused = dict.fromkeys(LABELS, 0)
    for _ in range(recipe.max_persons):
        person = model.draw_person(rng, recipe.person_spread)
        kept: list[NDArray[np.uint8]] = []
        for label in _HARDEST_FIRST:
            face = _convincing(model, judging, recipe, rng, person, label)
            if face is None:
                refused[LABELS[label]] += 1
                break
            kept.append(face)
        if len(kept) < len(LABELS):
            continue
        tiles = np.stack(kept)[np.argsort(_HARDEST_FIRST)]
        if novelty.distances(tiles).min() < novelty.allowed * recipe.novelty_margin:
            continue
        faces.append(tiles)
        print(f"{len(faces)} of {recipe.persons} persons", flush=True)
        if len(faces) == recipe.persons:
            return Drawn(np.stack(faces, axis=1), refused)
    raise DataError(f"only {len(faces)} of {recipe.max_persons} persons were convincing (refused for {refused})")


def _convincing(
    model: FaceModel,
    judging: Judges,
    recipe: Recipe,
    rng: np.random.Generator,
    person: NDArray[np.float32],
    label: int,
) -> NDArray[np.uint8] | None:
    """The picture whose label the networks doubt least, if it also holds when others wear it."""
    ways = model.ways_to_express(person, label)
    share = recipe.candidates // len(_EMPHASES)
    drawn = np.concatenate([ways.draw(rng, share, recipe.expression_spread, emphasis) for emphasis in _EMPHASES])
    pictures = model.pictures(person, drawn)
    sure = _sure(judging, pictures, label, rng)
    for _ in range(recipe.rounds):
        if (sure > recipe.sure).sum() >= _LOOKED_AT:
            break
        parents = drawn[np.argsort(-sure)[:_PARENTS]]
        pairs = parents[rng.integers(_PARENTS, size=(recipe.candidates, 2))].mean(axis=1)
        fresh = ways.draw(rng, recipe.candidates, recipe.expression_spread * _STEP)
        children = pairs + fresh - fresh.mean(axis=0)
        bred = model.pictures(person, children)
        drawn, pictures = np.concatenate([drawn, children]), np.concatenate([pictures, bred])
        sure = np.concatenate([sure, _sure(judging, bred, label, rng)])
    for number in np.argsort(-sure)[:_LOOKED_AT]:
        if _holds(judging, pictures[number], label, rng):
            return np.asarray(pictures[number], dtype=np.uint8)
    return None


def _sure(judging: Judges, pictures: NDArray[np.uint8], label: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """How sure the most doubtful network is `(N,)` of a label when one random wearer wears each of the pictures."""
    crops = sketches(pictures, random_look(rng, 0), rng)
    return judging.probabilities(crops)[:, :, label].min(axis=0)


def _holds(judging: Judges, picture: NDArray[np.uint8], label: int, rng: np.random.Generator) -> bool:
    """Whether detectors find a picture on every wearer, and networks agree with its label each time."""
    found = []
    for _ in range(_WEARERS):
        face = judging.found(worn(picture, random_look(rng, 0), rng))
        if face is None:
            return False
        found.append(face)
    return bool(judging.agreed(found, label).all())
