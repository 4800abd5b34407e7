"""Changes to faces, in NumPy and OpenCV: augmentation of training faces, and what distance and cameras do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from training.data import SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.recipe import Augmentation

_ENLARGERS: Final = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def augment_batch(
    images: Sequence[tuple[NDArray[np.uint8], float]], settings: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return randomly changed faces.

    Args:
        images: Images `(S, S) uint8` of any side, each with the share of its side that is the face's framing.
        settings: How strongly they are changed.
        rng: Source of randomness.

    Returns:
        `(N, 48, 48) uint8`.
    """
    result = np.empty((len(images), SIDE, SIDE), dtype=np.uint8)
    for index, (image, framing) in enumerate(images):
        changed = warp(image, settings, rng, framing)
        if settings.brightness:
            changed = relight(changed, settings.brightness, rng)
        if rng.random() < settings.degrade:
            changed = photograph_from_afar(changed, rng)
        if rng.random() < settings.erase:
            erase(changed, rng)
        result[index] = changed
    return result


def warp(
    image: NDArray[np.uint8], settings: Augmentation, rng: np.random.Generator, framing: float = 1.0
) -> NDArray[np.uint8]:
    """Mirror, rotate, zoom, shear and shift one image in a single interpolation.

    Args:
        image: `(S, S) uint8`.
        settings: How strongly it is changed.
        rng: Source of randomness.
        framing: Side of the square around the image's middle that is cut out, as a share of the image's side.

    Returns:
        `(48, 48) uint8`.
    """
    side = image.shape[0]
    angle = np.deg2rad(rng.uniform(-settings.rotate_deg, settings.rotate_deg))
    scale = np.exp(rng.uniform(np.log1p(-settings.zoom_out), np.log1p(settings.zoom_in)))
    aspect = np.exp(rng.uniform(-0.25, 0.25) * (settings.zoom_in + settings.zoom_out))
    slant = rng.uniform(-settings.shear, settings.shear)
    mirror = -1.0 if rng.random() < settings.flip else 1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.array([[1.0, slant], [0.0, 1.0]]) @ np.diag([scale * aspect * mirror, scale / aspect])
    matrix *= SIDE / (framing * side)
    middle, centre = np.full(2, (side - 1) / 2), np.full(2, (SIDE - 1) / 2)
    offset = centre - matrix @ middle + rng.uniform(-settings.shift, settings.shift, 2) * SIDE
    warped = cv2.warpAffine(
        image,
        np.column_stack([matrix, offset]),
        (SIDE, SIDE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, dtype=np.uint8)


def relight(image: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image with another gamma, contrast and brightness, through a table of 256 levels."""
    levels = np.linspace(0.0, 1.0, 256)
    gamma = (1 + strength) ** rng.uniform(-1.5, 1.5)
    contrast = 1 + rng.uniform(-strength, strength)
    offset = rng.uniform(-strength, strength) / 2
    table = ((levels**gamma - 0.5) * contrast + 0.5 + offset).clip(0.0, 1.0)
    return np.asarray((table * 255 + 0.5).astype(np.uint8)[image])


def erase(image: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Fill a random rectangle of 2 to 20 % of the image, in place, with one random gray or with noise."""
    side = image.shape[0]
    area = rng.uniform(0.02, 0.2) * side * side
    ratio = np.exp(rng.uniform(-1.0, 1.0))
    height = int(np.clip(np.sqrt(area * ratio), 2, side - 1))
    width = int(np.clip(np.sqrt(area / ratio), 2, side - 1))
    top, left = rng.integers(0, side - height), rng.integers(0, side - width)
    patch = image[top : top + height, left : left + width]
    patch[:] = rng.integers(0, 256) if rng.random() < 0.5 else rng.integers(0, 256, patch.shape)


def occlude(image: NDArray[np.uint8], other: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Hide most of a face, in place, behind a piece of another image, like an arm, a flag or a neighbour's head.

    Args:
        image: `(48, 48) uint8`.
        other: `(S, S) uint8`, S of at least 48.
        rng: Source of randomness.
    """
    height, width = (round(side * SIDE) for side in rng.uniform((0.5, 0.7), (0.9, 1.0)))
    top, left = rng.integers(0, other.shape[0] - height + 1), rng.integers(0, other.shape[1] - width + 1)
    y, x = rng.integers(0, SIDE - height + 1), rng.integers(0, SIDE - width + 1)
    image[y : y + height, x : x + width] = other[top : top + height, left : left + width]


def shrink(image: NDArray[np.uint8], size_px: int, enlarger: int = cv2.INTER_LINEAR) -> NDArray[np.uint8]:
    """Return an image scaled down to `size_px` pixels a side and back: a face that was that small in its frame."""
    side = image.shape[0]
    small = cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=enlarger), dtype=np.uint8)


def blur(image: NDArray[np.uint8], sigma_px: float) -> NDArray[np.uint8]:
    """Return an image blurred by a Gaussian: a lens out of focus."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), dtype=np.uint8)


def compress(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return an image after JPEG compression of `quality` 1 to 100."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def brighten(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Return an image with gray levels multiplied by `factor` and clipped: another exposure."""
    return np.asarray(cv2.convertScaleAbs(image, alpha=factor), dtype=np.uint8)


def photograph_from_afar(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image as a distant camera would see it: fewer pixels, blur, noise, JPEG, of random strength.

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
