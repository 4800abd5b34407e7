"""A generative model of frontal faces on principal components: the person and the expression.

Aligned faces are projected on their principal components and whitened. The components are then turned so that a few
directions hold the differences between expressions (means and covariances of the labels: mouths, brows, eyelids) and
the others hold everything else (build, age, light). A person is drawn from the others, and each expression of that
person from the few, given the person; both from local Gaussians around the fitted faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from crowdmood.domain.labels import FER_LABELS
from facebank.alignment import TILE, flatten, oval

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPONENTS: Final = 200
PERSON_NEIGHBOURS: Final = 200
EXPRESSION_NEIGHBOURS: Final = 150
_MEAN_WEIGHT: Final = 8.0
_ODD_SHARE: Final = 0.5
_GRAY_MEAN: Final = 130.0
_GRAY_SPREAD: Final = 52.0
_SHARPENING: Final = 0.6
_SHARPENING_SIGMA: Final = 1.2
_UNSHARPENING_STEPS: Final = 25
_NEUTRAL: Final = FER_LABELS.index("neutral")
_MIN_FOR_COVARIANCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Expressions:
    """The ways in which a person may express a label.

    Attributes:
        examples: `(n, E)`, expressions of similar people, along `FaceModel.expression`.
        push: `(E,)`, from the mean of all labels to the mean of this one.
    """

    examples: NDArray[np.float32]
    push: NDArray[np.float32]

    def draw(self, rng: np.random.Generator, count: int, spread: float, emphasis: float = 0.0) -> NDArray[np.float32]:
        """Draw coordinates `(count, E)`.

        Args:
            rng: Source of randomness.
            count: How many to draw.
            spread: How unusual, relative to the examples.
            emphasis: How far to go along `push` beyond the examples.
        """
        drawn = np.stack([_near(self.examples, rng, spread) for _ in range(count)])
        return drawn + np.float32(emphasis) * self.push


@dataclass(frozen=True, slots=True)
class FaceModel:
    """A fitted model.

    Attributes:
        mean: `(P,)`, mean of the flattened faces (see `alignment.flatten`).
        basis: `(P, K)`, principal components times their standard deviations.
        odd: `(K,) bool`, components that are mirror-antisymmetric: turned heads and light from one side.
        expression: `(K, E)`, directions that differ between expressions, orthonormal.
        rest: `(K, K - E)`, the others.
        expressions: `(N, E)`, the fitted faces, mirrored ones included, along `expression`.
        persons: `(N, K - E)`, the same along `rest`.
        labels: `(N,)`, their labels.
        clear: `(N,) bool`, faces with a certain label: expressions are learned from these alone.
        visibility: `(K - E,)`, how much each direction of `rest` changes an image.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    odd: NDArray[np.bool_]
    expression: NDArray[np.float32]
    rest: NDArray[np.float32]
    expressions: NDArray[np.float32]
    persons: NDArray[np.float32]
    labels: NDArray[np.uint8]
    clear: NDArray[np.bool_]
    visibility: NDArray[np.float32]

    def draw_person(self, rng: np.random.Generator, spread: float) -> NDArray[np.float32]:
        """Draw a person: coordinates `(K - E,)` along `rest`, `spread` times as unusual as the fitted faces."""
        start = self.persons[int(rng.integers(len(self.persons)))]
        alike = self._nearest(start, np.arange(len(self.persons)), PERSON_NEIGHBOURS)
        return _near(self.persons[alike], rng, spread)

    def ways_to_express(self, person: NDArray[np.float32], label: int) -> Expressions:
        """Return how a person may express a label 0-6, from the most similar people."""
        alike = self._nearest(person, np.flatnonzero(self.clear & (self.labels == label)), EXPRESSION_NEIGHBOURS)
        anybody = self._nearest(person, np.arange(len(self.labels)), EXPRESSION_NEIGHBOURS)
        usual = self.expressions[anybody].mean(axis=0)
        return Expressions(self.expressions[alike], self.expressions[alike].mean(axis=0) - usual)

    def ways_like(
        self, person: NDArray[np.float32], shown: NDArray[np.float32], calm: NDArray[np.float32]
    ) -> Expressions:
        """Return how a person may express what other faces show that were not fitted.

        Their difference from calm faces of the same origin is added to the calm faces of similar people.

        Args:
            person: `(K - E,)`.
            shown: `(n, E)`, the faces along `expression`.
            calm: `(m, E)`, neutral faces of the same origin.
        """
        usual = calm.mean(axis=0)
        at_rest = self.ways_to_express(person, _NEUTRAL).examples.mean(axis=0)
        return Expressions(shown - usual + at_rest, shown.mean(axis=0) - usual)

    def along_expression(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return aligned faces `(N, 64, 64) uint8`, followed by their mirror images, along `expression`: `(2N, E)`."""
        rows = np.concatenate([flatten(tiles), flatten(tiles[:, :, ::-1])])
        return np.asarray(self._coordinates(rows) @ self.expression, dtype=np.float32)

    def persons_in(self, drawn: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the people from whom images were drawn: the inverse of `pictures`, except for rounding.

        Args:
            drawn: `(L, N, 64, 64) uint8`, each person with L expressions.

        Returns:
            `(N, K - E)`, along `rest`.
        """
        tiles = drawn.reshape(-1, TILE, TILE)
        inside = np.stack([_unsharpened(tile) for tile in tiles])[:, oval()]
        coordinates = self._coordinates((inside - _GRAY_MEAN) / _GRAY_SPREAD) / np.where(self.odd, _ODD_SHARE, 1.0)
        return np.asarray((coordinates @ self.rest).reshape(*drawn.shape[:2], -1).mean(axis=0), dtype=np.float32)

    def _coordinates(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return flattened faces `(N, P)` on the principal components, whitened: `(N, K)`."""
        variances = np.square(self.basis).sum(axis=0)
        return np.asarray((rows - self.mean) @ self.basis / variances, dtype=np.float32)

    def pictures(self, person: NDArray[np.float32], expressions: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Render a person with expressions `(N, E)`: `(N, 64, 64) uint8`, gray, aligned."""
        coordinates = expressions @ self.expression.T + self.rest @ person
        rows = (np.where(self.odd, _ODD_SHARE, 1.0) * coordinates) @ self.basis.T + self.mean
        inside = oval()
        whole = np.zeros((len(rows), TILE, TILE), np.float32)
        whole[:, inside] = rows * _GRAY_SPREAD + _GRAY_MEAN
        return np.stack([_finished(picture, inside) for picture in whole])

    def _nearest(self, person: NDArray[np.float32], among: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        distances = np.square((self.persons[among] - person) * self.visibility).sum(axis=1)
        count = min(count, len(among))
        return among[np.argpartition(distances, count - 1)[:count]]


def fit(tiles: NDArray[np.uint8], labels: NDArray[np.uint8], clear: NDArray[np.bool_], directions: int) -> FaceModel:
    """Fit the model to aligned faces and to their mirror images.

    Args:
        tiles: `(N, 64, 64) uint8`, gray.
        labels: `(N,) uint8`, codes 0-6.
        clear: `(N,)`, whether the label is certain.
        directions: Number of directions that hold the expression; more of them change a person more.
    """
    rows = np.concatenate([flatten(tiles), flatten(tiles[:, :, ::-1])])
    both = np.concatenate([labels, labels])
    mean = rows.mean(axis=0)
    rows -= mean
    variances, components = np.linalg.eigh((rows.T @ rows / len(rows)).astype(np.float64))
    deviations = np.sqrt(variances[::-1][:COMPONENTS])
    components = components[:, ::-1][:, :COMPONENTS]
    coordinates = (rows @ components / deviations).astype(np.float32)
    turned = _expression_first(coordinates, both)
    expression, rest = turned[:, :directions], turned[:, directions:]
    basis = components * deviations
    shapes = np.zeros((COMPONENTS, TILE, TILE))
    shapes[:, oval()] = components.T
    return FaceModel(
        mean=mean,
        basis=basis.astype(np.float32),
        odd=np.asarray((shapes * shapes[:, :, ::-1]).sum(axis=(1, 2)) < 0),
        expression=expression,
        rest=rest,
        expressions=coordinates @ expression,
        persons=coordinates @ rest,
        labels=both,
        clear=np.concatenate([clear, clear]),
        visibility=np.sqrt(np.square(basis @ rest).sum(axis=0)).astype(np.float32),
    )


def _expression_first(coordinates: NDArray[np.float32], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return an orthonormal basis `(K, K)`; labels differ most along its first directions, in mean and covariance."""
    identity = np.eye(coordinates.shape[1])
    difference = np.zeros_like(identity)
    for label in range(len(FER_LABELS)):
        chosen = coordinates[labels == label].astype(np.float64)
        if not len(chosen):
            continue
        mean = chosen.mean(axis=0)
        difference += _MEAN_WEIGHT * np.outer(mean, mean)
        if len(chosen) >= _MIN_FOR_COVARIANCE:
            surplus = np.cov(chosen.T) - identity
            difference += surplus @ surplus
    return np.linalg.eigh(difference)[1][:, ::-1].astype(np.float32)


def _near(points: NDArray[np.float32], rng: np.random.Generator, spread: float) -> NDArray[np.float32]:
    """Draw from the Gaussian that has the points' mean and `spread` squared times their covariance."""
    middle = points.mean(axis=0)
    weights = rng.normal(size=len(points)).astype(np.float32) * np.float32(spread / np.sqrt(len(points)))
    return np.asarray(middle + weights @ (points - middle), dtype=np.float32)


def _finished(picture: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return an image whose oval continues smoothly into the corners, sharpened."""
    weights = inside.astype(np.float32)
    filled = cv2.GaussianBlur(picture * weights, (0, 0), 5) / np.maximum(cv2.GaussianBlur(weights, (0, 0), 5), 1e-4)
    whole = np.where(inside, picture, filled)
    sharp = whole + _SHARPENING * (whole - cv2.GaussianBlur(whole, (0, 0), _SHARPENING_SIGMA))
    return sharp.clip(0, 255).astype(np.uint8)


def _unsharpened(tile: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Undo the sharpening of `_finished` `(64, 64)`, by iteration."""
    sharp = tile.astype(np.float32)
    whole = sharp
    for _ in range(_UNSHARPENING_STEPS):
        blurred = cv2.GaussianBlur(whole, (0, 0), _SHARPENING_SIGMA)
        whole = np.asarray((sharp + _SHARPENING * blurred) / (1 + _SHARPENING), dtype=np.float32)
    return whole
