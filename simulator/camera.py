"""A camera that pans, zooms and shakes, in changing light and with a noisy sensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PAN: Final = 0.025
_ZOOM: Final = 0.035
_SHAKE_PX: Final = 0.5
_EXCITED_SHAKE_PX: Final = 2.0
_ROLL_DEG: Final = 0.25
_LIGHT: Final = 0.12
_NOISE: Final = 2.5
_NOISE_TILES: Final = 4
_NOISE_MARGIN_PX: Final = 64


class SimulatedCamera:
    """A camera whose view and exposure depend on the time only.

    Args:
        size: Width and height of its frames, in pixels.
        rng: Draws the periods and phases of its motion and the noise.
    """

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        self.size = size
        self._phases = rng.uniform(0, 2 * np.pi, 12)
        self._periods_s = rng.uniform(0.85, 1.2, 12)
        width, height = size
        shape = (height + _NOISE_MARGIN_PX, width + _NOISE_MARGIN_PX)
        noise = [rng.normal(0, _NOISE, shape).round().astype(np.int8) for _ in range(_NOISE_TILES)]
        self._brighter = [_three(np.maximum(tile, 0)) for tile in noise]
        self._darker = [_three(np.maximum(-tile, 0)) for tile in noise]
        self._offsets = rng.integers(0, _NOISE_MARGIN_PX, (997, 2))

    def view(self, at_s: float, excitement: float) -> NDArray[np.float64]:
        """Return the affine map `(2, 3) float64` from pixels of the view at rest to pixels of the frame.

        Args:
            at_s: Time in seconds.
            excitement: How much the stand shakes, 0-1.
        """
        width, height = self.size
        zoom = 1 + _ZOOM * self._wave(0, 47, at_s)
        shake = _SHAKE_PX + _EXCITED_SHAKE_PX * excitement
        dx = width * _PAN * self._wave(1, 31, at_s) + shake * self._tremble(2, at_s)
        dy = height * _PAN * self._wave(4, 37, at_s) + shake * self._tremble(5, at_s)
        view = cv2.getRotationMatrix2D((width / 2, height / 2), _ROLL_DEG * self._wave(7, 19, at_s), zoom)
        shift = np.array([[0, 0, dx], [0, 0, dy]])
        return np.asarray(view + shift, dtype=np.float64)

    def expose(self, image: NDArray[np.uint8], frame: int, at_s: float) -> NDArray[np.uint8]:
        """Apply the light to an image `(H, W, 3) uint8`, and add the noise of the sensor."""
        light = 1 + _LIGHT * (0.7 * self._wave(8, 43, at_s) + 0.3 * self._wave(9, 11, at_s))
        lit = cv2.convertScaleAbs(image, alpha=light)
        dx, dy = self._offsets[frame % len(self._offsets)]
        width, height = self.size
        tile = frame % _NOISE_TILES
        brighter = self._brighter[tile][dy : dy + height, dx : dx + width]
        darker = self._darker[tile][dy : dy + height, dx : dx + width]
        return np.asarray(cv2.subtract(cv2.add(lit, brighter), darker), dtype=np.uint8)

    def _wave(self, number: int, period_s: float, at_s: float) -> float:
        return float(np.sin(2 * np.pi * at_s / (period_s * self._periods_s[number]) + self._phases[number]))

    def _tremble(self, number: int, at_s: float) -> float:
        return 0.6 * self._wave(number, 0.71, at_s) + 0.4 * self._wave(number + 1, 0.29, at_s)


def _three(tile: NDArray[np.int8]) -> NDArray[np.uint8]:
    return np.repeat(tile.astype(np.uint8)[:, :, None], 3, axis=2)
