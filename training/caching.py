"""What takes minutes to compute stays beside a run's checkpoints, under a name that says what it was computed from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def cached(
    folder: Path, name: str, inputs: Sequence[str], compute: Callable[[], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Gives an array that was computed from the same inputs before, or computes it and keeps it.

    Args:
        folder: Where it is kept, as `NAME-HASH.npy`.
        name: What it is.
        inputs: Hashes or names of everything that it depends on.
        compute: Makes it, `(N, ...) float32`.
    """
    path = folder / f"{name}-{hashlib.sha256(repr(list(inputs)).encode()).hexdigest()[:12]}.npy"
    if not path.exists():
        computed = compute()
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, computed, allow_pickle=False)
        partial.replace(path)  # at once: never half a file under this name
    stored: NDArray[np.float32] = np.load(path, allow_pickle=False)
    return stored
