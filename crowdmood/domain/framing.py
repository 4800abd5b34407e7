"""The one place where a face's box becomes the square that is cut out: FER2013's framing around a face.

A square over a box's longer side, larger or smaller and shifted. `python -m benchmarks.framing` measured which square
costs the network the least accuracy (figures in detector/README.md): a cascade's windows leave chins out, YuNet's boxes
hold a little more than a face. The detector cuts faces by it, and training cuts its faces of crowds in the same way.
"""

from dataclasses import dataclass
from math import pi
from typing import Final

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Framing:
    """From a box to a square.

    Attributes:
        side: Side of the square, as a multiple of the box's longer side.
        right: How far the square's middle lies to the right of the box's, as a share of the square's side.
        down: How far it lies below.
    """

    side: float = 1.0
    right: float = 0.0
    down: float = 0.0


FRAMINGS: Final = {"haar": Framing(side=1.1, down=0.04), "yunet": Framing(side=0.9)}
"""By the detector's name."""


def to_squares(boxes: npt.NDArray[np.float64], framing: Framing) -> npt.NDArray[np.int32]:
    """Return the squares that are cut out.

    Args:
        boxes: (N, 4), xyxy in pixels of the image that is cut.
        framing: The detector's.

    Returns:
        int32 (N, 4), xyxy in pixels; may lie partly outside the image.
    """
    sides = framing.side * np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 + sides[:, None] * (framing.right, framing.down)
    top_left = np.rint(middles - sides[:, None] / 2)
    whole = np.maximum(np.rint(sides), 1)[:, None]
    return np.concatenate([top_left, top_left + whole], axis=1).astype(np.int32)


def tilts_of(eyes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return by how much faces are turned clockwise, from their eyes.

    Args:
        eyes: (N, 2, 2), xy in pixels, first the one on the image's left.

    Returns:
        float64 (N,), radians; 0 where it would be more than an eighth of a circle: people do not sit like that, the
        eyes are wrong.
    """
    across = (eyes[:, 1] - eyes[:, 0]).astype(np.float64)
    tilts = np.arctan2(across[:, 1], across[:, 0])
    return np.where(np.abs(tilts) <= pi / 4, tilts, 0.0)
