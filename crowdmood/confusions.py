"""How a network's probabilities spread over the true labels of held-out faces, as it travels with every judgement.

Whoever counts a crowd needs it, and must have the one of the very network that judged: also while a fleet changes its
model, and after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crowdmood import LABELS
from crowdmood.errors import UndecodableError

_CLASSES = len(LABELS)
_SHAPES = ((), (_CLASSES,), (_CLASSES,), (_CLASSES, _CLASSES), (_CLASSES, _CLASSES, _CLASSES))
_LENGTHS = tuple(int(np.prod(shape)) for shape in _SHAPES)
_LEAST_PRIOR = 1e-6


@dataclass(frozen=True, eq=False)
class Confusions:
    """What held-out faces say about a network: part of its card.

    Attributes:
        faces: How many held-out faces there were.
        biases: float64 (7,), added to the logarithms of probabilities before a crowd is counted.
        priors: float64 (7,), share of each label among the held-out faces; none zero.
        means: float64 (7, 7); row: true label; column: mean corrected probability.
        covariances: float64 (7, 7, 7), by true label: covariance of the corrected probabilities of its faces.
    """

    faces: int
    biases: npt.NDArray[np.float64]
    priors: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    covariances: npt.NDArray[np.float64]

    @classmethod
    def of_card(cls, prevalence: Mapping[str, Any] | None) -> Self | None:
        """Read the section `prevalence` of a model's card; None when it does not say all."""
        if prevalence is None or prevalence.get("soft_covariance") is None:
            return None
        names = ("priors", "soft_confusion", "soft_covariance")
        priors, means, covariances = (np.array(prevalence[name], np.float64) for name in names)
        biases = np.array(prevalence.get("biases") or np.zeros(_CLASSES), np.float64)
        return cls(int(prevalence["faces"]), biases, np.maximum(priors, _LEAST_PRIOR), means, covariances)

    def to_bytes(self) -> bytes:
        """Encode: little-endian float32, one array after the other."""
        parts = (np.array(self.faces), self.biases, self.priors, self.means, self.covariances)
        return np.concatenate([part.ravel() for part in parts]).astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Confusions | None:
        """Decode; None where there is nothing.

        Raises:
            UndecodableError: It is of another size.
        """
        return _decoded(raw)


@lru_cache(maxsize=8)
def _decoded(raw: bytes) -> Confusions | None:
    if not raw:
        return None
    if len(raw) != 4 * sum(_LENGTHS):
        raise UndecodableError(f"confusions of {len(raw)} bytes, {4 * sum(_LENGTHS)} were expected")
    values = np.split(np.frombuffer(raw, "<f4").astype(np.float64), np.cumsum(_LENGTHS)[:-1])
    faces, biases, priors, means, covariances = (v.reshape(shape) for v, shape in zip(values, _SHAPES, strict=True))
    return Confusions(int(faces), biases, np.maximum(priors, _LEAST_PRIOR), means, covariances)
