"""Labelled faces in memory, and the splits of FER2013 by name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import FER_LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE: Final = 48
TRAINING: Final = 0
PUBLIC_TEST: Final = 1
PRIVATE_TEST: Final = 2
USAGES: Final = ("Training", "PublicTest", "PrivateTest")
"""Names of the splits, in the order of their codes: networks learn from the first and are evaluated on the second."""


@dataclass(frozen=True, slots=True)
class FaceData:
    """Faces with their labels.

    Attributes:
        images: `(N, 48, 48) uint8`, gray.
        labels: `(N,) uint8`, codes 0-6 in the order of `crowdmood.FER_LABELS`.
        usage: `(N,) uint8`, codes into `USAGES`.
        votes: FER+ votes `(N, 10) uint8`, or None where the source has none.
        name: Name of the source in reports.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    usage: NDArray[np.uint8]
    votes: NDArray[np.uint8] | None = None
    name: str = "faces"

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> FaceData:
        """Return the chosen rows, by mask or by index."""
        votes = None if self.votes is None else self.votes[chosen]
        return FaceData(self.images[chosen], self.labels[chosen], self.usage[chosen], votes, self.name)

    def digest(self) -> str:
        """Return the SHA-256 of faces, labels, splits and votes, independent of the file format."""
        found = hashlib.sha256()
        for array in (self.images, self.labels, self.usage, self.votes):
            found.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def split(self, usage: int) -> FaceData:
        """Return the rows of one split (`TRAINING`, `PUBLIC_TEST`, ...).

        Raises:
            DataError: The split is empty.
        """
        chosen = self.usage == usage
        if not chosen.any():
            raise DataError(f"{self.name}: holds no {USAGES[usage]} faces; give a data set with some")
        return self.select(chosen)


def duplicated_in(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which of `images (N, 48, 48)` are also, pixel for pixel, in `others`: `(N,) bool`."""
    known = {image.tobytes() for image in others}
    return np.fromiter((image.tobytes() in known for image in images), dtype=np.bool_, count=len(images))


@dataclass(frozen=True, slots=True)
class DataReport:
    """Counts of a data set: labels, duplicates, contradictions.

    Attributes:
        counts: Faces by split name and label name.
        duplicates: Number of faces that are also in another split, by the pair of split names.
        repeated: Number of repeated faces within a split, by split name.
        conflicting: Number of distinct images with more than one label.
    """

    counts: dict[str, dict[str, int]]
    duplicates: dict[str, int]
    repeated: dict[str, int]
    conflicting: int


def describe(data: FaceData) -> DataReport:
    """Count labels and exact duplicates, within and across the splits."""
    present = [usage for usage in range(len(USAGES)) if (data.usage == usage).any()]
    splits = {usage: data.split(usage) for usage in present}
    pixels = {usage: {image.tobytes() for image in split.images} for usage, split in splits.items()}
    seen: dict[bytes, set[int]] = {}
    for image, label in zip(data.images, data.labels, strict=True):
        seen.setdefault(image.tobytes(), set()).add(int(label))
    return DataReport(
        counts={
            USAGES[usage]: {label: int((split.labels == code).sum()) for code, label in enumerate(FER_LABELS)}
            for usage, split in splits.items()
        },
        duplicates={
            f"{USAGES[late]} in {USAGES[early]}": int(duplicated_in(splits[late].images, splits[early].images).sum())
            for late in present
            for early in present
            if early < late
        },
        repeated={USAGES[usage]: len(split) - len(pixels[usage]) for usage, split in splits.items()},
        conflicting=sum(len(labels) > 1 for labels in seen.values()),
    )
