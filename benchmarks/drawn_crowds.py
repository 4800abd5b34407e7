"""Crowds with known shares, drawn from labelled faces that a network was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.crowd import Crowd
from aggregator.prevalence import Matrix, Vector
from classifier.engines import load_engine
from crowdmood.core.settings import ClassifierSettings
from crowdmood.domain.labels import FER_LABELS, LABELS
from training.crowd_faces import UNREADABLE, load_crowd_faces
from training.data import PUBLIC_TEST
from training.loaders import load_faces

PEOPLE: Final = 200
"""Faces of a crowd from several photographs, and of one from FER2013."""

_LEAST_READABLE: Final = 20
"""Fewest readable faces of a photograph that is a crowd of its own."""

_STAND: Final = {
    "calm": {"happy": 0.22, "sad": 0.03, "neutral": 0.71, "cheering": 0.04},
    "singing": {"happy": 0.14, "neutral": 0.25, "cheering": 0.61},
    "goal": {"happy": 0.56, "surprise": 0.03, "neutral": 0.16, "cheering": 0.25},
    "conceded": {"angry": 0.10, "happy": 0.10, "sad": 0.14, "neutral": 0.66},
}
"""Shares of the readable people of a stand in four phases."""

_SEATED, _HIDDEN = 73, 18
"""Readable and unreadable people of a stand."""

_FER_STANDS: Final = np.array(
    [
        [0.06, 0.01, 0.05, 0.16, 0.12, 0.05, 0.55],
        [0.02, 0.01, 0.02, 0.62, 0.03, 0.20, 0.10],
        [0.28, 0.04, 0.07, 0.02, 0.40, 0.05, 0.14],
    ]
)
"""Shares of a calm, a happy and a disappointed stand, in the order of `FER_LABELS`."""

_CONCENTRATION: Final = 25.0
_READABLE_FROM: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Results of a network for faces that it was not trained on.

    Attributes:
        probabilities: float64 (N, K), of faces of real crowds.
        readable: float64 (N,), probability that an expression can be seen.
        votes: uint8 (N, 9), annotators who chose each label, and `unreadable`.
        labels: int64 (N,), the majority's choice: 0-7, 8 for `unreadable`, -1 for no majority.
        photos: str (N,), the photograph of each face.
        fer: float64 (M, K), probabilities of PublicTest.
        fer_labels: uint8 (M,).
    """

    probabilities: Matrix
    readable: Vector
    votes: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    photos: npt.NDArray[np.str_]
    fer: Matrix
    fer_labels: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, model: Path, data: Path, crowd_faces: Path, most: int | None = None) -> Answers:
        """Run a network on the validation faces of crowds and on the first faces of PublicTest, or all of them."""
        faces = load_crowd_faces(crowd_faces, "validation")
        fer, fer_labels = public_test(model, data, most)
        probabilities, readable = _predicted(model, faces.crops())
        return cls(probabilities, readable, faces.votes, faces.labels, np.array(faces.photos), fer, fer_labels)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A crowd with known shares.

    Attributes:
        kind: How it was drawn.
        true: float64 (K,), its shares.
        crowd: The network's results.
    """

    kind: str
    true: Vector
    crowd: Crowd


def public_test(model: Path, data: Path, most: int | None = None) -> tuple[Matrix, npt.NDArray[np.uint8]]:
    """Return a network's probabilities for PublicTest, float64 (N, K), and the labels, uint8 (N,)."""
    faces = load_faces(data).split(PUBLIC_TEST)
    return _predicted(model, faces.images[:most])[0], faces.labels[:most]


def _predicted(model: Path, images: npt.NDArray[np.uint8]) -> tuple[Matrix, Vector]:
    """Return probabilities and readable in half precision, as messages carry them."""
    given, readable = load_engine(model, ClassifierSettings()).predict(images)
    rows = given.astype(np.float16).astype(np.float64)
    return rows / rows.sum(axis=1, keepdims=True), readable.astype(np.float16).astype(np.float64)


def of_crowd_faces(
    answers: Answers, held: npt.NDArray[np.bool_], crowds: int, rng: np.random.Generator
) -> Iterator[Drawn]:
    """Draw crowds of faces of real crowds.

    Args:
        answers: The network's results. Faces of labels that it does not know are left out.
        held: bool (N,), the faces to draw from.
        crowds: Crowds of each kind; `photograph`: at most.
        rng: Random numbers.

    Yields:
        `random`: 200 faces of whole photographs in random order, each photograph a scene. `photograph`: all faces of a
        photograph with at least 20 readable ones. `calm` and so on: a stand in four phases, as one scene; phases with a
        label that no face has are left out.
    """
    labels = answers.probabilities.shape[1]
    known = (answers.labels >= 0) & ((answers.labels < labels) | (answers.labels == UNREADABLE))
    rows = np.flatnonzero(held & known)
    photos = [rows[answers.photos[rows] == photo] for photo in np.unique(answers.photos[rows])]
    for _ in range(crowds):
        order = np.concatenate([rng.permutation(len(photos)) for _ in range(-(-PEOPLE // len(rows)))])
        yield from _drawn(answers, "random", np.concatenate([photos[number] for number in order])[:PEOPLE])
    large = [photo for photo in photos if (answers.labels[photo] < UNREADABLE).sum() >= _LEAST_READABLE]
    for number in rng.permutation(len(large))[:crowds]:
        yield from _drawn(answers, "photograph", large[number])
    by_label = [rows[answers.labels[rows] == label] for label in range(UNREADABLE + 1)]
    for phase, shares in _STAND.items():
        wanted = np.array([shares.get(label, 0.0) for label in LABELS])
        if any(share > 0 and not len(of) for share, of in zip(wanted, by_label, strict=False)):
            continue
        for _ in range(crowds):
            counts = [*rng.multinomial(_SEATED, wanted / wanted.sum()), _HIDDEN]
            people = [rng.choice(of, count) for of, count in zip(by_label, counts, strict=True) if count]
            yield from _drawn(answers, phase, np.concatenate(people), one_scene=True)


def _drawn(answers: Answers, kind: str, people: npt.NDArray[np.intp], *, one_scene: bool = False) -> Iterator[Drawn]:
    """Yield the crowd, unless annotators or the network can read no face of it."""
    true = answers.labels[people]
    true = true[true < UNREADABLE]
    voters = people[answers.readable[people] >= _READABLE_FROM]
    if len(true) and len(voters):
        scenes = np.unique(answers.photos[voters], return_inverse=True)[1] * (not one_scene)
        labels = answers.probabilities.shape[1]
        shares = np.bincount(true, minlength=labels) / len(true)
        yield Drawn(kind, shares, Crowd.of(answers.probabilities[voters], scenes, answers.readable[voters]))


def of_fer(answers: Answers, held: npt.NDArray[np.intp], crowds: int, rng: np.random.Generator) -> Iterator[Drawn]:
    """Draw crowds of PublicTest faces: of 200, each as one scene.

    Args:
        answers: The network's results.
        held: The faces to draw from.
        crowds: Crowds of each kind.
        rng: Random numbers.

    Yields:
        `FER2013 stand`: shares near those of a calm, a happy and a disappointed stand. `FER2013 any`: any shares.
    """
    by_label = [held[answers.fer_labels[held] == label] for label in range(len(FER_LABELS))]
    for number in range(crowds):
        near = _FER_STANDS[number % len(_FER_STANDS)] * _CONCENTRATION + 0.02
        for kind, concentration in (("FER2013 stand", near), ("FER2013 any", np.ones(len(FER_LABELS)))):
            counts = rng.multinomial(PEOPLE, rng.dirichlet(concentration))
            rows = np.concatenate([rng.choice(of, count) for of, count in zip(by_label, counts, strict=True)])
            true = np.pad(counts / PEOPLE, (0, answers.fer.shape[1] - len(FER_LABELS)))
            yield Drawn(kind, true, Crowd.of(answers.fer[rows]))
