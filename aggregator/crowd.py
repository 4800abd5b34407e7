"""Who counts in a window, and what their faces say: people in stretches in which they show one expression. Pure.

A person's faces are averaged, which takes noise out of them. But who is calm before a goal and cheers after it shows
two expressions one after the other; their mean is neither, and what is made of it is mostly what the others show. So
such a person counts for each of the two by its share of the time that they were seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from aggregator.matching import Indices
from aggregator.prevalence import Matrix, Vector

_MOMENT_MS: Final = 1000
"""Faces of one person from so short a time are one look: enough to take out noise, and hardly two expressions."""

_CHANGED: Final = 0.4
"""How far a look must be from those before it, in total variation, to begin a new stretch.

Measured: on the terraces, whose people keep their expression for 20 s, 1.00 stretch a person; in a simulated match 1.9,
and half the error of a share that one stretch a person has. From 0.3 to 0.6 it makes little difference.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """People, each in one stretch or several.

    Attributes:
        posteriors: float64 (S, 7), mean probabilities of each stretch, in the order of `LABELS`, rows sum to one.
        person: intp (S,), whose stretch it is; people are numbered from 0 without gaps. A person's stretches stand in
            the order in which they began.
        weights: float64 (S,), share of the person's faces, and so of the time that they were seen; a person's stretches
            add up to one.
    """

    posteriors: Matrix
    person: Indices
    weights: Vector

    @classmethod
    def of(cls, posteriors: Matrix) -> Self:
        """People who showed one expression each: float64 (P, 7)."""
        return cls(posteriors, np.arange(len(posteriors)), np.ones(len(posteriors)))

    @classmethod
    def joined(cls, crowds: Sequence[Self]) -> Self:
        """Several crowds of different people as one; at least one."""
        before = np.cumsum([0, *map(len, crowds)])
        return cls(
            np.concatenate([one.posteriors for one in crowds]),
            np.concatenate([one.person + first for one, first in zip(crowds, before[:-1], strict=True)]),
            np.concatenate([one.weights for one in crowds]),
        )

    def __len__(self) -> int:
        return int(self.person.max(initial=-1)) + 1

    def only(self, people: npt.NDArray[np.bool_]) -> Self:
        """Some of the people: bool (P,)."""
        kept = people[self.person]
        number = np.cumsum(people) - 1
        return replace(
            self, posteriors=self.posteriors[kept], person=number[self.person[kept]], weights=self.weights[kept]
        )

    def is_constant(self) -> bool:
        """Whether nobody changed their expression."""
        return len(self.person) == len(self)

    def lately(self) -> Self:
        """Everybody once, with what their last stretch showed."""
        last = np.zeros(len(self), np.intp)
        last[self.person] = np.arange(len(self.person))
        return replace(self, posteriors=self.posteriors[last], person=self.person[last], weights=np.ones(len(self)))

    def by_person(self, rows: Matrix) -> Matrix:
        """The mean of each person's stretches: float64 (S, K) becomes (P, K)."""
        return np.stack([np.bincount(self.person, self.weights * column, len(self)) for column in rows.T], axis=1)


def crowd_of(
    probabilities: Matrix, weights: Vector, at_ms: npt.NDArray[np.int64], who: npt.NDArray[np.int32], people: int
) -> Crowd:
    """Divide the faces of people into stretches.

    Args:
        probabilities: float64 (N, 7), of each face.
        weights: float64 (N,), how much each one says; every person has one that says something.
        at_ms: int64 (N,), event time of its frame.
        who: int32 (N,), whose face it is, 0 to `people` - 1.
        people: How many there are.

    Returns:
        The crowd; people keep their numbers.
    """
    looks, of_look = np.unique(at_ms // _MOMENT_MS * max(people, 1) + who, return_inverse=True)
    total = np.bincount(of_look, weights, len(looks))
    sums = np.stack([np.bincount(of_look, weights * column, len(looks)) for column in probabilities.T], axis=1)
    faces = np.bincount(of_look, weights > 0, len(looks))
    said = total > 0
    looks, total, sums, faces = looks[said], total[said], sums[said], faces[said]
    person, moment = looks % max(people, 1), looks // max(people, 1)
    newest = np.full(people, -1)
    stretch = np.empty(len(looks), np.intp)
    count = 0
    # One moment after the other, everybody at once: sums and weights of a stretch stand at its number.
    so_far, weighed = np.zeros_like(sums), np.ones_like(total)
    for rows in np.split(np.arange(len(looks)), np.flatnonzero(np.diff(moment)) + 1):
        last = newest[person[rows]]
        looked = sums[rows] / total[rows, None]
        apart = 0.5 * np.abs(looked - so_far[last] / weighed[last, None]).sum(axis=1)
        new = (last < 0) | (apart > _CHANGED)
        numbers = np.where(new, count + np.cumsum(new) - 1, last)
        count += int(new.sum())
        so_far[numbers[new]], weighed[numbers[new]] = 0, 0
        so_far[numbers] += sums[rows]
        weighed[numbers] += total[rows]
        newest[person[rows]] = stretch[rows] = numbers
    of_whom = np.empty(count, np.intp)
    of_whom[stretch] = person
    share = np.bincount(stretch, faces, count) / np.bincount(person, faces, people)[of_whom]
    posteriors = so_far[:count] / weighed[:count, None]
    return Crowd(posteriors / posteriors.sum(axis=1, keepdims=True), of_whom, share)
