"""Four estimators of class prevalence: from posteriors to the shares of a crowd. Pure.

A network's labels are biased in a crowd. For example, sad people are often classified as neutral, so counting labels
gives too many neutral people, the more so the sadder the crowd is. The frequencies of these confusions are measured on
held-out faces, so they can be corrected.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

_FEASIBLE = -1e-9
_SLD_STEPS = 1000
_SLD_TOLERANCE = 1e-6


def count(posteriors: Matrix, weights: Vector | None = None) -> Vector:
    """Return the shares of the likeliest classes (classify and count, CC).

    Args:
        posteriors: float64 (N, K), calibrated, rows sum to one; N of at least 1.
        weights: float64 (N,), the weight of each row; None: all equal.

    Returns:
        float64 (K,), adds up to one. A tie within a row goes to the first class.
    """
    counts = np.bincount(posteriors.argmax(axis=1), weights, posteriors.shape[1])
    shares: Vector = counts / counts.sum()
    return shares


def probabilistic_count(posteriors: Matrix, weights: Vector | None = None) -> Vector:
    """Return the mean posterior (PCC, Bella et al., ICDM 2010); arguments as for `count`."""
    mean: Vector = np.average(posteriors, axis=0, weights=weights)
    return mean


@dataclass(frozen=True)
class Adjustment:
    """Corrects the confusions that were measured on held-out faces (PACC, Bella et al., ICDM 2010).

    The mean posterior of a crowd is a mixture of the mean posteriors of its classes. The shares are the mixture on the
    simplex that is nearest to the observed mean, in least squares. There are few sets of classes with a share above
    zero, and for each set the best mixture is linear in the observed mean. So the solution of every set is computed
    once, and one multiplication solves a thousand crowds.

    Attributes:
        confusion: float64 (K, K); row: true class; column: mean posterior of that class. Rows sum to one.
    """

    confusion: Matrix

    @cached_property
    def condition(self) -> float:
        """Factor by which noise of the mean grows in the shares, in the worst direction; 1 without confusions."""
        return float(np.linalg.cond(self.confusion))

    @cached_property
    def _solutions(self) -> tuple[npt.NDArray[np.float64], Matrix]:
        """The best mixture of every set of classes: slopes (S, K, K) and intercepts (S, K)."""
        classes = len(self.confusion)
        slopes, intercepts = [], []
        for size in range(1, classes + 1):
            for chosen in combinations(range(classes), size):
                rows = list(chosen)
                part = self.confusion[rows]
                # Least squares with a sum of one, by Lagrange's method. A set of indistinguishable classes has no
                # unique best mixture; the pseudoinverse gives the smallest one.
                system = np.zeros((size + 1, size + 1))
                system[:size, :size] = part @ part.T
                system[size, :size] = system[:size, size] = 1
                inverse = np.linalg.pinv(system)
                slope, intercept = np.zeros(self.confusion.shape), np.zeros(classes)
                slope[rows] = inverse[:size, :size] @ part
                intercept[rows] = inverse[:size, size]
                slopes.append(slope)
                intercepts.append(intercept)
        return np.stack(slopes), np.stack(intercepts)

    def shares(self, seen: Matrix) -> Matrix:
        """Return the shares that explain mean posteriors best.

        Args:
            seen: float64 (M, K), mean posteriors of M crowds.

        Returns:
            float64 (M, K), none negative, rows sum to one.
        """
        slopes, intercepts = self._solutions
        mixes = np.einsum("skj,mj->msk", slopes, seen, optimize=True) + intercepts
        misfit = np.square(mixes @ self.confusion - seen[:, None, :]).sum(axis=2)
        misfit[mixes.min(axis=2) < _FEASIBLE] = np.inf
        best = mixes[np.arange(len(seen)), misfit.argmin(axis=1)].clip(0)
        shares: Matrix = best / best.sum(axis=1, keepdims=True)
        return shares


def expectation_maximisation(
    posteriors: Matrix, priors: Vector, assumed_people: float = 0.0, weights: Vector | None = None
) -> Vector:
    """Return the most likely shares, given posteriors that are corrected for them (SLD, Saerens et al. 2002; EMQ).

    Args:
        posteriors: float64 (N, K), calibrated, rows sum to one; N of at least 1.
        priors: float64 (K,), shares among the faces on which the posteriors were calibrated; none zero.
        assumed_people: Number of people with these shares that are added to those seen (a Dirichlet prior): where the
            posteriors do not decide, as between two similar labels, the rarer label gets less.
        weights: float64 (N,), the weight of each row; None: one person each.

    Returns:
        float64 (K,), adds up to one.
    """
    ratios = posteriors / priors
    shares = priors
    counts = np.ones(len(ratios)) if weights is None else weights
    people = counts.sum()
    for _ in range(_SLD_STEPS):
        # The mean of posteriors corrected for the shares: each row's correction is divided by its sum.
        corrected = shares * ((counts / (ratios @ shares)) @ ratios)
        before, shares = shares, (corrected + assumed_people * priors) / (people + assumed_people)
        if np.abs(shares - before).mean() < _SLD_TOLERANCE:
            break
    normalised: Vector = shares / shares.sum()
    return normalised
