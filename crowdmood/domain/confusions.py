"""The confusions of a network: how its predictions for held-out faces spread over the true labels.

Every `Emotions` message carries them. To estimate shares, the aggregator needs the confusions of exactly the network
that made a prediction, also while classifiers change to another model and after a restart.
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
    """Statistics of a network with K labels on held-out faces; a part of its card.

    A prediction has F features: its K probabilities and, if the card includes it, their maximum (the network's
    confidence). F is K or K + 1.

    Attributes:
        faces: Number of held-out faces.
        biases: float64 (K,), added to the logarithms of probabilities before a crowd is counted; zeros except in older
            cards.
        priors: float64 (K,), share of each label among faces drawn at random; none zero.
        counts: float64 (K,), number of faces of each label that its row of `means` was computed from.
        scenes: float64 (K,), number of equally large scenes that those faces come from.
        means: float64 (K, F); row: true label; column: mean feature.
        covariances: float64 (K, F, F), by true label: covariance of the features of its faces.
        scene: float64 (F, F), covariance of the deviation that all people of a scene share; zeros when unknown.
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
        """Return the confusions in the section `prevalence` of a model's card, or None when it is incomplete."""
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
        """Encode as a header with version, K and F, followed by the arrays as little-endian float32."""
        by_label = (self.biases, self.priors, self.counts, self.scenes, self.means, self.covariances)
        values = np.concatenate([part.ravel() for part in (np.array(self.faces), *by_label, self.scene)]).astype("<f4")
        return _HEADER.pack(_MAGIC, _VERSION, *self.means.shape) + values.tobytes()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Confusions | None:
        """Decode, or return None when `raw` is empty.

        Raises:
            UndecodableError: The version or the number of labels is unknown, the size is wrong, or a value is not
                finite or not possible.
        """
        return _decoded(raw)


def features(probabilities: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return the features of predictions, float64 (N, K + 1): the probabilities (N, K) and their maximum."""
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
        raise UndecodableError(f"confusions have an unknown version: header {raw[: _HEADER.size].hex()}")

    shapes: tuple[tuple[int, ...], ...] = ((), (k,), (k,), (k,), (k,), (k, f), (k, f, f), (f, f))
    lengths = [int(np.prod(shape)) for shape in shapes]
    expected = _HEADER.size + 4 * sum(lengths)
    if len(raw) != expected:
        raise UndecodableError(f"confusions of {len(raw)} bytes, expected {expected}")
    numbers = np.frombuffer(raw, "<f4", offset=_HEADER.size).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise UndecodableError("confusions have values that are not finite", "out_of_range")
    values = np.split(numbers, np.cumsum(lengths)[:-1])
    faces, biases, priors, counts, scenes, means, covariances, scene = (
        part.reshape(shape) for part, shape in zip(values, shapes, strict=True)
    )
    if faces < 0 or not all(((part >= 0) & (part <= 1)).all() for part in (priors, means)):
        raise UndecodableError("confusions have shares that are not from 0 to 1", "out_of_range")
    priors, counts, scenes = np.maximum(priors, _LEAST_PRIOR), np.maximum(counts, 1.0), np.maximum(scenes, 1.0)
    return Confusions(int(faces), biases, priors, counts, scenes, means, covariances, scene)
