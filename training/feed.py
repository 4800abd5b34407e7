"""Shuffled, augmented batches, made in background threads while the network computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import keras
import numpy as np

from training.augment import augment_batch, occlude
from training.data import SIDE
from training.heads import TARGETS, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.recipe import Augmentation


_OTHER_PX: Final = 40


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Images of one kind with their targets.

    Attributes:
        images: `(N, S, S) uint8`, gray, of any side.
        targets: `(N, K) float32`.
        per_epoch: Number drawn for each epoch; None: each is shown once.
        chances: `(N,) float64`, relative probability of being drawn; None: all equal.
        framing: Side of the square that is cut out of the middle, as a share of the image's side.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.float32]
    per_epoch: int | None = None
    chances: NDArray[np.float64] | None = None
    framing: float = 1.0

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the rows of the images that an epoch shows."""
        if self.per_epoch is None:
            return np.arange(len(self))
        chances = None if self.chances is None else self.chances / self.chances.sum()
        return rng.choice(len(self), self.per_epoch, p=chances)


class Batches(keras.utils.PyDataset):
    """Batches of an epoch: images of every pool, mixed, shuffled and augmented differently in each epoch.

    The order and every random change depend only on the seed, the epoch and the batch's number, so a resumed run sees
    what an uninterrupted one would have seen.

    Attributes:
        side_px: Size that faces are scaled to after augmentation.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        batch_size: int,
        augmentation: Augmentation,
        seed: int = 0,
        start_epoch: int = 0,
        any_size: bool = False,
        readable_weight: float = 1.0,
    ) -> None:
        """Prepare the batches of the first epoch.

        Args:
            pools: What to learn from, at least one; targets of the same width.
            batch_size: Images in a batch.
            augmentation: How images are varied.
            seed: Seed of the order and of every change.
            start_epoch: The epoch to begin with.
            any_size: Whether `side_px` will change during the run.
            readable_weight: Weight of the target of a face that augmentation hides.
        """
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=16)
        self._pools = tuple(pools)
        self._batch_size, self._augmentation, self._seed = batch_size, augmentation, seed
        self._readable_weight = readable_weight
        self._epoch = start_epoch
        self._order = self._shuffled()
        self.side_px = SIDE
        self._before_first_epoch = any_size

    def _shuffled(self) -> NDArray[np.int64]:
        """Return (pool, row) of every image of the epoch: `(M, 2) int64`."""
        rng = np.random.default_rng((self._seed, self._epoch))
        rows = [pool.rows(rng) for pool in self._pools]
        numbered = [np.stack([np.full(len(part), number), part], axis=1) for number, part in enumerate(rows)]
        return rng.permutation(np.concatenate(numbered))

    def __len__(self) -> int:
        """Return the number of whole batches; a last batch of few faces would disturb batch normalisation."""
        return len(self._order) // self._batch_size

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        rng = np.random.default_rng((self._seed, self._epoch, index))
        drawn = [(self._pools[pool], row) for pool, row in chosen]
        faces = augment_batch([(pool.images[row], pool.framing) for pool, row in drawn], self._augmentation, rng)
        targets = np.stack([pool.targets[row] for pool, row in drawn])
        if targets.shape[1] == TARGETS:
            hidden = rng.random(len(faces)) < self._augmentation.occlude
            for number in np.flatnonzero(hidden):
                other, row = drawn[int(rng.integers(len(drawn)))]
                occlude(faces[number], other.images[row], rng)
            targets[hidden] = unreadable(self._readable_weight)
        # TensorFlow reads two batches before the first epoch, and accepts only their sizes later.
        side_px = _OTHER_PX if self._before_first_epoch and index % 2 else self.side_px
        return resize(faces, side_px)[..., None], targets

    def on_epoch_begin(self) -> None:
        """Give every batch the size `side_px` from now on."""
        self._before_first_epoch = False

    def on_epoch_end(self) -> None:
        """Move on to the next epoch's order."""
        self._epoch += 1
        self._order = self._shuffled()


def resize(images: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Scale `images (N, S, S) uint8` to `side_px` pixels a side."""
    if images.shape[1] == side_px:
        return images
    small = [cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA) for image in images]
    return np.asarray(small, dtype=np.uint8)
