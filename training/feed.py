"""Shuffled, augmented batches, made in background threads while the network computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import keras
import numpy as np

from training.augment import augment_batch
from training.data import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.recipe import Augmentation

    Pool = tuple[NDArray[np.uint8], NDArray[np.float32]]


_OTHER_PX: Final = 40


class Batches(keras.utils.PyDataset):
    """Every epoch shows each face once, in a new order and newly augmented, with some of a second pool mixed in.

    The order and every random change depend only on the seed, the epoch and the batch's number, so a resumed run sees
    what an uninterrupted one would have seen.

    Attributes:
        side_px: Size that faces are scaled to after augmentation.
    """

    def __init__(
        self,
        faces: Pool,
        batch_size: int,
        augmentation: Augmentation,
        seed: int = 0,
        start_epoch: int = 0,
        extra: Pool | None = None,
        extra_per_epoch: int = 0,
        any_size: bool = False,
    ) -> None:
        """Keeps the pools: images `(N, 48, 48) uint8` and targets `(N, K) float32`.

        Unless faces of `any_size` will be asked for, `side_px` stays as it is.
        """
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=16)
        self._own = len(faces[0])
        self._images, self._targets = faces
        if extra is not None:
            self._images = np.concatenate([faces[0], extra[0]])
            self._targets = np.concatenate([faces[1], extra[1]])
        self._extra_per_epoch = extra_per_epoch if extra is not None else 0
        self._batch_size, self._augmentation, self._seed = batch_size, augmentation, seed
        self._epoch = start_epoch
        self._order = self._shuffled()
        self.side_px = SIDE
        self._asked_beforehand = any_size

    def _shuffled(self) -> NDArray[np.int64]:
        rng = np.random.default_rng((self._seed, self._epoch))
        rows = np.arange(self._own)
        if self._extra_per_epoch:
            rows = np.concatenate([rows, rng.integers(self._own, len(self._images), self._extra_per_epoch)])
        return rng.permutation(rows)

    def __len__(self) -> int:
        """Whole batches only: a last batch of three faces would upset batch normalisation."""
        return (self._own + self._extra_per_epoch) // self._batch_size

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        rng = np.random.default_rng((self._seed, self._epoch, index))
        images = augment_batch(self._images[rows], self._augmentation, rng)
        # TensorFlow asks for two batches before the first epoch, and expects all others to be of sizes that it saw.
        side_px = _OTHER_PX if self._asked_beforehand and index % 2 else self.side_px
        return resize(images, side_px)[..., None], self._targets[rows]

    def on_epoch_begin(self) -> None:
        """Gives every batch the size that it is to have."""
        self._asked_beforehand = False

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch's order."""
        self._epoch += 1
        self._order = self._shuffled()


def resize(images: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Scales `images (N, S, S) uint8` to `side_px` pixels a side."""
    if images.shape[1] == side_px:
        return images
    small = [cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA) for image in images]
    return np.asarray(small, dtype=np.uint8)
