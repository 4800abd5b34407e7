"""What distance, optics and cameras do to a face in a stadium, as functions on 48x48 gray images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ENLARGERS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def shrink(image: NDArray[np.uint8], size_px: int, enlarger: int = cv2.INTER_LINEAR) -> NDArray[np.uint8]:
    """Scales an image down to `size_px` pixels a side and back: a face that was that small in its frame."""
    side = image.shape[0]
    small = cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=enlarger), dtype=np.uint8)


def blur(image: NDArray[np.uint8], sigma_px: float) -> NDArray[np.uint8]:
    """Blurs an image by a Gaussian: a lens out of focus."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), dtype=np.uint8)


def compress(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Encodes an image as JPEG of `quality` 1 to 100 and decodes it."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def brighten(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Multiplies gray levels by `factor` and clips: another exposure."""
    return np.asarray(cv2.convertScaleAbs(image, alpha=factor), dtype=np.uint8)


def stadium(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Degrades one image as a far-away camera would: fewer pixels, blur, noise, JPEG, in random strength.

    Compression happens at the small size, as in a real frame, where a block of 8x8 pixels may span half a face.
    """
    side = image.shape[0]
    size_px = round(float(np.exp(rng.uniform(np.log(12), np.log(side + 0.5)))))
    small: NDArray[np.uint8] = np.asarray(
        cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )
    if rng.random() < 0.3:
        small = blur(small, float(rng.uniform(0.3, 1.2)) * size_px / side)
    if rng.random() < 0.3:
        noisy = small + rng.normal(0, rng.uniform(1, 8), small.shape)
        small = noisy.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        small = compress(small, int(rng.integers(40, 95)))
    enlarger = _ENLARGERS[int(rng.integers(len(_ENLARGERS)))]
    return np.asarray(cv2.resize(small, (side, side), interpolation=enlarger), dtype=np.uint8)
