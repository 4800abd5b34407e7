"""The quality of a face: the share of the network's input resolution for which the image has detail.

A face of 24 pixels that was scaled to a crop of 48 has as little detail as a blurred face of 48 pixels. So sharpness is
measured as a resolution too, and the lower of both is the quality.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from crowdmood.domain.messages import CROP_SIZE

_ORDINARY: Final = 0.1
"""Sharpness of a crop with full detail.

Measured on FER2013's PublicTest faces, scaled down to 12 to 40 pixels and up again: 19 of 20 are at least as sharp as
this times the square of the scale. So the quality of an ordinary face is the resolution of its box.
"""


def quality(boxes: npt.NDArray[np.int32], crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
    """Return the quality of faces, computed without a network.

    Args:
        boxes: int32 (N, 4), xyxy in pixels of the frame.
        crops: uint8 (N, 48, 48), gray, 0-255.

    Returns:
        float16 (N,), 0-1; the value of a face does not depend on the other faces.
    """
    sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    detail: npt.NDArray[np.float64] = np.minimum(sides / CROP_SIZE, np.sqrt(sharpness(crops) / _ORDINARY))
    return np.clip(detail, 0, 1).astype(np.float16)


def sharpness(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the variance of the Laplacian divided by that of the brightness, after Pech-Pacheco et al. (ICPR 2000).

    The division makes it independent of contrast. It is computed in integers, so it has the same bits in every batch.

    Args:
        crops: uint8 (N, 48, 48), gray, 0-255.

    Returns:
        float64 (N,); 0 for a crop of uniform brightness, more than 10 for noise.
    """
    pixels = np.pad(crops, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.int16)
    laplacian = -4 * pixels[:, 1:-1, 1:-1]
    for beside in (pixels[:, :-2, 1:-1], pixels[:, 2:, 1:-1], pixels[:, 1:-1, :-2], pixels[:, 1:-1, 2:]):
        laplacian += beside
    contrast = _variance(crops)
    return np.divide(_variance(laplacian), contrast, out=np.zeros(len(crops)), where=contrast > 0)


def _variance(values: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
    """Return the variance of each (48, 48), times 48⁴: float64 (N,), in which these integers are exact."""
    flat = values.reshape(len(values), CROP_SIZE**2).astype(np.float64)
    spread: npt.NDArray[np.float64] = flat.shape[1] * np.vecdot(flat, flat) - flat.sum(axis=1) ** 2
    return spread
