"""Draw people who do not exist for the simulator's stands, and keep the convincing ones.

Persons and their expressions come from the generative model of `face_model`, which learned seven of them from FER2013
and the eighth, cheering, from labelled faces of crowds. An image is kept when the detectors and networks of `checks`
accept it and it is no near copy of a photo (`novelty`). `build` is the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import FER_LABELS, LABELS
from facebank.alignment import flatten
from facebank.checks import sketches, worn
from facebank.novelty import closest_allowed, nearest
from simulator.people import random_look

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.checks import Checks
    from facebank.face_model import Expressions, FaceModel

_DOUBTED: Final = ("disgust", "fear", "sad", "angry", "neutral", "surprise", "happy")
"""Labels in the order in which they fail: most people are rejected for the first, before more time is spent."""
_REFERENCE_SAMPLE: Final = 2000
_EMPHASES: Final = (0.6, 1.4, 2.2)
_LOOKED_AT: Final = 6
_PARENTS: Final = 5
_STEP: Final = 0.5
_WEARERS: Final = 3
_HARDEST_FIRST: Final = tuple(FER_LABELS.index(name) for name in _DOUBTED)
_CHEERING: Final = LABELS.index("cheering")
_ATTEMPTS: Final = 25


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a bank is drawn.

    Attributes:
        persons: Persons wanted, each with every expression.
        seed: Seed of everything random.
        expression_directions: See `face_model.fit`.
        candidates: Images drawn for each person and label; the most convincing one is kept.
        sure: Probability of the label from which an image is convincing enough.
        rounds: How often more images are bred from the most convincing ones while too few are convincing.
        person_spread: How unusual persons are, relative to the fitted faces.
        expression_spread: How unusual their expressions are, likewise.
        novelty_margin: How much farther than the closest distance allowed an image must be from training images.
        max_persons: Most people drawn.
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
    """The training images that images are compared with, flattened, also mirrored, and the allowed distance."""

    pictures: NDArray[np.float32]
    mirrored: NDArray[np.float32]
    allowed: float

    def distances(self, tiles: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the distance `(N,)` of each tile `(N, 64, 64) uint8` to the nearest training image."""
        rows = flatten(tiles)
        return np.minimum(nearest(rows, self.pictures), nearest(rows, self.mirrored))


@dataclass(frozen=True, slots=True)
class Singers:
    """Faces of real crowds that teach the model how people cheer.

    Attributes:
        cheering: `(N, 64, 64) uint8`, aligned faces that cheer.
        calm: `(M, 64, 64) uint8`, neutral ones from the same photographs.
    """

    cheering: NDArray[np.uint8]
    calm: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn bank.

    Attributes:
        faces: `(8, N, 64, 64) uint8`; equal columns are the same person.
        refused: Persons that were drawn and not kept, by the first label that found no convincing picture.
    """

    faces: NDArray[np.uint8]
    refused: dict[str, int]


def novelty_of(tiles: NDArray[np.uint8], seed: int, others: NDArray[np.uint8]) -> Novelty:
    """Prepare the comparison with photos.

    Args:
        tiles: `(N, 64, 64) uint8`, aligned training images; their distances from each other give the allowed distance.
        seed: Seed of the sample by which that is measured.
        others: `(M, 64, 64) uint8`, other photos that the model was fitted to.
    """
    pictures, mirrored = flatten(tiles), flatten(tiles[:, :, ::-1])
    sample = np.random.default_rng(seed).permutation(len(tiles))[:_REFERENCE_SAMPLE]
    allowed = closest_allowed(pictures, mirrored, sample)
    return Novelty(
        np.concatenate([pictures, flatten(others)]), np.concatenate([mirrored, flatten(others[:, :, ::-1])]), allowed
    )


@dataclass(frozen=True, slots=True)
class Drawer:
    """Draws faces and keeps the convincing ones.

    Attributes:
        model: The generative model.
        novelty: The photos that no image may be close to.
        singers: Examples of cheering faces.
        checks: The detectors and networks that must agree.
        recipe: How to draw.
    """

    model: FaceModel
    novelty: Novelty
    singers: Singers
    checks: Checks
    recipe: Recipe

    def bank(self) -> Drawn:
        """Draw people until enough of them have eight convincing and new images.

        Raises:
            DataError: Too few were convincing among `max_persons`, or no network has cheering.
        """
        recipe = self.recipe
        rng = np.random.default_rng(recipe.seed)
        faces: list[NDArray[np.uint8]] = []
        refused: dict[str, int] = dict.fromkeys(LABELS, 0)
        self._require(_CHEERING)
        for number in range(recipe.max_persons):
            person = self.model.draw_person(rng, recipe.person_spread)
            kept: list[NDArray[np.uint8]] = []
            for label in _HARDEST_FIRST:
                face = self._convincing(person, label, rng)
                if face is None:
                    refused[LABELS[label]] += 1
                    break
                kept.append(face)
            if len(kept) < len(_HARDEST_FIRST):
                continue
            tiles = np.stack(kept)[np.argsort(_HARDEST_FIRST)]
            if not self._new(tiles):
                continue
            # With a random generator of its own, so that the seven others do not depend on this one.
            cheering = self._convincing(person, _CHEERING, np.random.default_rng((recipe.seed, number)))
            if cheering is None or not self._new(cheering[None]):
                refused["cheering"] += 1
                continue
            faces.append(np.concatenate([tiles, cheering[None]]))
            print(f"{len(faces)} of {recipe.persons} persons", flush=True)
            if len(faces) == recipe.persons:
                return Drawn(np.stack(faces, axis=1), refused)
        raise DataError(f"only {len(faces)} of {recipe.max_persons} persons were convincing (refused for {refused})")

    def row(self, label: int, drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw the people of a bank with a label: `(N, 64, 64) uint8`.

        Args:
            label: A code 0-7.
            drawn: `(7, N, 64, 64) uint8`, the persons' faces for `crowdmood.FER_LABELS`.

        Raises:
            DataError: No image of a person was convincing, or no network has the label.
        """
        self._require(label)
        row: list[NDArray[np.uint8]] = []
        for number, person in enumerate(self.model.persons_in(drawn)):
            for attempt in range(_ATTEMPTS):
                face = self._convincing(person, label, np.random.default_rng((self.recipe.seed, number, attempt)))
                if face is not None and self._new(face[None]):
                    break
            else:
                raise DataError(
                    f"person {number}: none of {_ATTEMPTS} attempts at {LABELS[label]} was convincing; "
                    "raise --candidates or --rounds"
                )
            row.append(face)
            print(f"{LABELS[label]}: {len(row)} of {drawn.shape[1]} persons, attempt {attempt + 1}", flush=True)
        return np.stack(row)

    def _require(self, label: int) -> None:
        if not self.checks.know(label):
            raise DataError(f"none of the networks knows {LABELS[label]}; give --model one that does")

    def _new(self, tiles: NDArray[np.uint8]) -> bool:
        """Return whether tiles `(N, 64, 64) uint8` are far enough from every photo."""
        return bool(self.novelty.distances(tiles).min() >= self.novelty.allowed * self.recipe.novelty_margin)

    def _ways(self, person: NDArray[np.float32], label: int) -> Expressions:
        if label != _CHEERING:
            return self.model.ways_to_express(person, label)
        shown, calm = (self.model.along_expression(tiles) for tiles in (self.singers.cheering, self.singers.calm))
        return self.model.ways_like(person, shown, calm)

    def _convincing(
        self, person: NDArray[np.float32], label: int, rng: np.random.Generator
    ) -> NDArray[np.uint8] | None:
        """Return the image whose label is the most certain and also holds on other people, or None."""
        model, checks, recipe = self.model, self.checks, self.recipe
        ways = self._ways(person, label)
        share = recipe.candidates // len(_EMPHASES)
        drawn = np.concatenate([ways.draw(rng, share, recipe.expression_spread, emphasis) for emphasis in _EMPHASES])
        pictures = model.pictures(person, drawn)
        sure = _sure(checks, pictures, label, rng)
        for _ in range(recipe.rounds):
            if (sure > recipe.sure).sum() >= _LOOKED_AT:
                break
            parents = drawn[np.argsort(-sure)[:_PARENTS]]
            pairs = parents[rng.integers(_PARENTS, size=(recipe.candidates, 2))].mean(axis=1)
            fresh = ways.draw(rng, recipe.candidates, recipe.expression_spread * _STEP)
            children = pairs + fresh - fresh.mean(axis=0)
            bred = model.pictures(person, children)
            drawn, pictures = np.concatenate([drawn, children]), np.concatenate([pictures, bred])
            sure = np.concatenate([sure, _sure(checks, bred, label, rng)])
        for number in np.argsort(-sure)[:_LOOKED_AT]:
            if _holds(checks, pictures[number], label, rng):
                return np.asarray(pictures[number], dtype=np.uint8)
        return None


def _sure(checks: Checks, pictures: NDArray[np.uint8], label: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the lowest probability of a label among the networks `(N,)` when one random person wears each image."""
    return checks.sure(sketches(pictures, random_look(rng, 0), rng), label)


def _holds(checks: Checks, picture: NDArray[np.uint8], label: int, rng: np.random.Generator) -> bool:
    """Return whether detectors find an image on every wearer, and networks agree with its label each time."""
    found = []
    for _ in range(_WEARERS):
        face = checks.found(worn(picture, random_look(rng, 0), rng))
        if face is None:
            return False
        found.append(face)
    return bool(checks.agreed(found, label).all())
