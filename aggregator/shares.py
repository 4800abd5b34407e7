"""From the people in a closed window to shares of labels and a balance. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crowdmood import LABELS
from crowdmood.mood import Shares

METHOD = "raw"
"""Shares are counts of the likeliest label."""

_VALENCE = {"happy": 1.0, "angry": -1.0, "disgust": -1.0, "fear": -1.0, "sad": -1.0}
"""Sign of each expression; surprise may be either and counts as neither, like neutral."""

_DIGITS = 4


def raw_shares(probabilities: npt.NDArray[np.float16]) -> Shares:
    """Share of people whose likeliest label is each label.

    Args:
        probabilities: float16 (N, 7), one row a person, in the order of `LABELS`; N of at least 1.

    Returns:
        One share per label, adding up to 1 but for rounding. A tie within a person goes to the first label.
    """
    counts = np.bincount(np.argmax(probabilities, axis=1), minlength=len(LABELS))
    return {label: round(int(count) / len(probabilities), _DIGITS) for label, count in zip(LABELS, counts, strict=True)}


def dominant(shares: Shares) -> str:
    """The label with the largest share, or `mixed` when two are equal."""
    largest = max(shares.values())
    leading = [label for label, share in shares.items() if share == largest]
    return leading[0] if len(leading) == 1 else "mixed"


def valence(shares: Shares) -> float:
    """Positive less negative shares: 1 when all are happy, -1 when all are angry, sad, afraid or disgusted."""
    return round(sum(_VALENCE.get(label, 0.0) * share for label, share in shares.items()), _DIGITS) + 0.0


def stack(parts: Sequence[npt.NDArray[np.float16]]) -> npt.NDArray[np.float16]:
    """The rows of all parts as one float16 (N, 7); no part gives N = 0."""
    return np.concatenate(parts) if parts else np.empty((0, len(LABELS)), np.float16)
