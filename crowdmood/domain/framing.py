"""The framing of crops: which square around a face's box is cut out, so that faces look as in FER2013.

The square has the length of the box's longer side, scaled and shifted. `python -m benchmarks.framing` measured which
square costs the network the least accuracy (figures in detector/README.md): the windows of a cascade leave chins out,
and YuNet's boxes are a little larger than a face. The detector and training crop faces with the same framing.
"""

from dataclasses import dataclass
from math import pi
from typing import Final

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Framing:
    """The square of a box.

    Attributes:
        side: Side of the square, as a multiple of the box's longer side.
        right: How far the centre of the square lies to the right of the box's centre, as a share of the square's side.
        down: How far the centre of the square lies below the box's centre, as a share of the square's side.
    """

    side: float = 1.0
    right: float = 0.0
    down: float = 0.0


FRAMINGS: Final = {"haar": Framing(side=1.1, down=0.04), "yunet": Framing(side=0.9)}
"""By the detector's name."""


def to_squares(boxes: npt.NDArray[np.float64], framing: Framing) -> npt.NDArray[np.int32]:
    """Return the squares to crop.

    Args:
        boxes: (N, 4), xyxy in pixels of the image.
        framing: The framing of the detector that found the boxes.

    Returns:
        int32 (N, 4), xyxy in pixels; squares may lie partly outside the image.
    """
    sides = framing.side * np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 + sides[:, None] * (framing.right, framing.down)
    top_left = np.rint(middles - sides[:, None] / 2)
    whole = np.maximum(np.rint(sides), 1)[:, None]
    return np.concatenate([top_left, top_left + whole], axis=1).astype(np.int32)


def tilts_of(eyes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the clockwise tilt of faces, computed from their eyes.

    Args:
        eyes: (N, 2, 2), xy in pixels, the eye on the left side of the image first.

    Returns:
        float64 (N,), radians; 0 where the tilt would exceed an eighth of a circle. Heads of spectators do not tilt that
        far, so the eyes were detected wrongly.

    """
    across = (eyes[:, 1] - eyes[:, 0]).astype(np.float64)
    tilts = np.arctan2(across[:, 1], across[:, 0])
    return np.where(np.abs(tilts) <= pi / 4, tilts, 0.0)
