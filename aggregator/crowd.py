"""The readable people of a window and their expressions: each person in stretches of one expression. Pure.

The mean over a person's faces reduces noise. A person who is calm before a goal and cheers after it shows two
expressions one after the other, and the mean of both is neither. Such a person counts for each expression by the share
of the time in which they showed it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from aggregator.matching import Indices
from aggregator.prevalence import Matrix, Vector

_SAMPLE_MS: Final = 1000
"""Faces of one person within this time make one sample: enough to reduce noise, and rarely two expressions."""

_CHANGED: Final = 0.4
"""Distance of a sample from the stretch before it, in total variation, from which it begins a new stretch.

Measured: 1.00 stretch per person on the terraces, whose people keep their expression for 20 s; 1.9 in a simulated
match, with half the error of a share that one stretch per person has. Values from 0.3 to 0.6 make little difference.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """People, each in one stretch or several.

    Attributes:
        posteriors: float64 (S, K), mean probabilities of each stretch, in the order of `LABELS`, rows sum to one.
        confidence: float64 (S,), mean over the faces of each stretch of their largest probability.
        person: intp (S,), the number of the person; people are numbered from 0 without gaps. The stretches of a person
            are in the order in which they began.
        weights: float64 (S,), share of the person's faces, and so of the time in which they were seen, times the
            probability that the person is readable, which is the sum of a person's weights.
        scenes: intp (P,), the number of each person's scene: people in front of one camera share light and distance,
            and so errors of the network.
    """

    posteriors: Matrix
    confidence: Vector
    person: Indices
    weights: Vector
    scenes: Indices

    @classmethod
    def of(cls, posteriors: Matrix, scenes: Indices | None = None, readable: Vector | None = None) -> Self:
        """Return people with one face each.

        Args:
            posteriors: float64 (P, K).
            scenes: intp (P,), the scene of each person; None: one scene.
            readable: float64 (P,), probability that each person is readable; None: 1.
        """
        people = len(posteriors)
        return cls(
            posteriors,
            posteriors.max(axis=1, initial=0),
            np.arange(people),
            np.ones(people) if readable is None else readable,
            np.zeros(people, np.intp) if scenes is None else scenes,
        )

    @classmethod
    def joined(cls, crowds: Sequence[Self]) -> Self:
        """Return the union of one or several crowds of different people in different scenes."""
        people = np.cumsum([0, *map(len, crowds)])
        scenes = np.cumsum([0, *(int(one.scenes.max(initial=-1)) + 1 for one in crowds)])
        return cls(
            np.concatenate([one.posteriors for one in crowds]),
            np.concatenate([one.confidence for one in crowds]),
            np.concatenate([one.person + first for one, first in zip(crowds, people[:-1], strict=True)]),
            np.concatenate([one.weights for one in crowds]),
            np.concatenate([one.scenes + first for one, first in zip(crowds, scenes[:-1], strict=True)]),
        )

    @property
    def labels(self) -> int:
        """Number of labels that the network knows."""
        return int(self.posteriors.shape[1])

    @property
    def features(self) -> Matrix:
        """float64 (S, K + 1): the posteriors and the confidence of each stretch, as in `Confusions`."""
        return np.column_stack([self.posteriors, self.confidence])

    @property
    def of_people(self) -> Vector:
        """float64 (P,): the weight of each person."""
        weights: Vector = np.bincount(self.person, self.weights, len(self)).astype(np.float64)
        return weights

    @property
    def independent_people(self) -> float:
        """Number of people of equal weight whose mean would vary as little."""
        weights = self.of_people
        return float(weights.sum() ** 2 / np.square(weights).sum())

    @property
    def scene_weight(self) -> float:
        """Factor of a scene's variance in the mean over all people: 1 for one scene, 1/n for n equal ones."""
        scenes = np.bincount(self.scenes, self.of_people)
        return float(np.square(scenes / scenes.sum()).sum())

    def __len__(self) -> int:
        return int(self.person.max(initial=-1)) + 1

    def only(self, people: npt.NDArray[np.bool_]) -> Self:
        """Return the selected people: bool (P,)."""
        kept = people[self.person]
        number = np.cumsum(people) - 1
        return replace(
            self,
            posteriors=self.posteriors[kept],
            confidence=self.confidence[kept],
            person=number[self.person[kept]],
            weights=self.weights[kept],
            scenes=self.scenes[people],
        )

    def lately(self) -> Self:
        """Return the same people with only their last stretch."""
        last = np.zeros(len(self), np.intp)
        last[self.person] = np.arange(len(self.person))
        return replace(
            self,
            posteriors=self.posteriors[last],
            confidence=self.confidence[last],
            person=self.person[last],
            weights=self.of_people,
        )

    def by_person(self, rows: Matrix) -> Matrix:
        """Return the mean of each person's stretches: float64 (S, D) becomes (P, D)."""
        sums = [np.bincount(self.person, self.weights * column, len(self)) for column in rows.T]
        return np.stack(sums, axis=1) / self.of_people[:, None]


def crowd_of(
    probabilities: Matrix, weights: Vector, at_ms: npt.NDArray[np.int64], who: npt.NDArray[np.int32], people: int
) -> Crowd:
    """Divide the faces of people into stretches.

    Args:
        probabilities: float64 (N, K), of each face.
        weights: float64 (N,), the weight of each face; every person has a face with a positive weight.
        at_ms: int64 (N,), event time of its frame.
        who: int32 (N,), the number of its person, 0 to `people` - 1.
        people: Number of people.

    Returns:
        The crowd, in one scene; people keep their numbers.
    """
    samples, of_sample = np.unique(at_ms // _SAMPLE_MS * max(people, 1) + who, return_inverse=True)
    total = np.bincount(of_sample, weights, len(samples))
    rows = np.column_stack([probabilities, probabilities.max(axis=1, initial=0)])
    sums = np.stack([np.bincount(of_sample, weights * column, len(samples)) for column in rows.T], axis=1)
    faces = np.bincount(of_sample, weights > 0, len(samples))
    used = total > 0
    samples, total, sums, faces = samples[used], total[used], sums[used], faces[used]
    person, interval = samples % max(people, 1), samples // max(people, 1)
    newest = np.full(people, -1)
    stretch = np.empty(len(samples), np.intp)
    count = 0
    # One interval after the other, all people at once: sums and weights of a stretch are stored at its number.
    so_far, weighed = np.zeros_like(sums), np.ones_like(total)
    for now in np.split(np.arange(len(samples)), np.flatnonzero(np.diff(interval)) + 1):
        last = newest[person[now]]
        sample = sums[now] / total[now, None]
        apart = 0.5 * np.abs(sample - so_far[last] / weighed[last, None])[:, :-1].sum(axis=1)
        new = (last < 0) | (apart > _CHANGED)
        numbers = np.where(new, count + np.cumsum(new) - 1, last)
        count += int(new.sum())
        so_far[numbers[new]], weighed[numbers[new]] = 0, 0
        so_far[numbers] += sums[now]
        weighed[numbers] += total[now]
        newest[person[now]] = stretch[now] = numbers
    owner = np.empty(count, np.intp)
    owner[stretch] = person
    share = np.bincount(stretch, faces, count) / np.bincount(person, faces, people)[owner]
    means = so_far[:count] / weighed[:count, None]
    posteriors, confidence = means[:, :-1], means[:, -1]
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    return Crowd(posteriors, confidence, owner, share, np.zeros(people, np.intp))
