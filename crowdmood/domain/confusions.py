"""How a network's answers spread over the true labels of held-out faces; travels with every prediction.

The aggregator needs it to estimate shares, and needs that of the very network that made the prediction: also while a
fleet changes its model, and after a restart.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.labels import FER_LABELS, LABELS

_HEADER = struct.Struct("<2sBBB")
_MAGIC = b"cm"
_VERSION = 2
_LABEL_COUNTS = (len(FER_LABELS), len(LABELS))
_LEAST_PRIOR = 1e-6


@dataclass(frozen=True, eq=False)
class Confusions:
    """What held-out faces say about a network of K labels: part of its card.

    A face's answer has F features: its K probabilities, and their maximum (the network's confidence) where the card
    knows it; F is K or K + 1.

    Attributes:
        faces: Number of held-out faces.
        biases: float64 (K,), added to the logarithms of probabilities before a crowd is counted; zeros but for older
            cards.
        priors: float64 (K,), share of each label among faces drawn at random; none zero.
        counts: float64 (K,), faces of each label on which its row of `means` rests.
        scenes: float64 (K,), number of equally large scenes from which those faces come.
        means: float64 (K, F); row: true label; column: mean feature.
        covariances: float64 (K, F, F), by true label: covariance of the features of its faces.
        scene: float64 (F, F), covariance of what the people of one scene deviate by together; zeros when unknown.
    """

    faces: int
    biases: npt.NDArray[np.float64]
    priors: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]
    scenes: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    covariances: npt.NDArray[np.float64]
    scene: npt.NDArray[np.float64]

    @property
    def labels(self) -> int:
        """Number of labels."""
        return len(self.priors)

    @classmethod
    def of_card(cls, prevalence: Mapping[str, Any] | None) -> Self | None:
        """Read the section `prevalence` of a model's card; None when it is incomplete."""
        if prevalence is None or prevalence.get("soft_covariance") is None:
            return None
        priors, means, covariances = (
            np.array(prevalence[name], np.float64) for name in ("priors", "soft_confusion", "soft_covariance")
        )
        faces, k, f = int(prevalence["faces"]), *means.shape

        def optional(name: str, default: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            given = prevalence.get(name)
            return default if given is None else np.array(given, np.float64)

        return cls(
            faces,
            optional("biases", np.zeros(k)),
            np.maximum(priors, _LEAST_PRIOR),
            np.maximum(optional("label_faces", faces * priors), 1.0),
            np.maximum(optional("label_scenes", np.ones(k)), 1.0),
            means,
            covariances,
            optional("scene_covariance", np.zeros((f, f))),
        )

    def to_bytes(self) -> bytes:
        """Encode: a header with version, K and F, then the arrays one after the other as little-endian float32."""
        by_label = (self.biases, self.priors, self.counts, self.scenes, self.means, self.covariances)
        values = np.concatenate([part.ravel() for part in (np.array(self.faces), *by_label, self.scene)]).astype("<f4")
        return _HEADER.pack(_MAGIC, _VERSION, *self.means.shape) + values.tobytes()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Confusions | None:
        """Decode; None when `raw` is empty.

        Raises:
            UndecodableError: Another version, an unknown number of labels, or a wrong size.
        """
        return _decoded(raw)


def features(probabilities: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return the features of answers: float64 (N, K + 1), probabilities and their maximum, of probabilities (N, K)."""
    rows = probabilities.astype(np.float64)
    return np.concatenate([rows, rows.max(axis=1, keepdims=True)], axis=1)


@lru_cache(maxsize=8)
def _decoded(raw: bytes) -> Confusions | None:
    if not raw:
        return None
    if len(raw) < _HEADER.size:
        raise UndecodableError(f"confusions of {len(raw)} bytes have no header")
    magic, version, k, f = _HEADER.unpack_from(raw)
    if (magic, version) != (_MAGIC, _VERSION) or k not in _LABEL_COUNTS or f not in (k, k + 1):
        raise UndecodableError(f"confusions with the header {raw[: _HEADER.size].hex()} are of an unknown version")
    shapes: tuple[tuple[int, ...], ...] = ((), (k,), (k,), (k,), (k,), (k, f), (k, f, f), (f, f))
    lengths = [int(np.prod(shape)) for shape in shapes]
    expected = _HEADER.size + 4 * sum(lengths)
    if len(raw) != expected:
        raise UndecodableError(f"confusions of {len(raw)} bytes, expected {expected}")
    values = np.split(np.frombuffer(raw, "<f4", offset=_HEADER.size).astype(np.float64), np.cumsum(lengths)[:-1])
    faces, biases, priors, counts, scenes, means, covariances, scene = (
        part.reshape(shape) for part, shape in zip(values, shapes, strict=True)
    )
    priors, counts, scenes = np.maximum(priors, _LEAST_PRIOR), np.maximum(counts, 1.0), np.maximum(scenes, 1.0)
    return Confusions(int(faces), biases, priors, counts, scenes, means, covariances, scene)
