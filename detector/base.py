"""The interfaces of detectors."""

from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""uint8 (height, width), gray, or (height, width, 3), BGR; 0-255."""

Colour: TypeAlias = Literal["gray", "bgr"]


class Detector(Protocol):
    """Finds faces in an image."""

    @property
    def name(self) -> Literal["haar", "yunet"]:
        """Name of the detector, which moods publish as `detector`."""

    @property
    def colour(self) -> Colour:
        """Colour of the images that it searches; other images are converted."""

    def detect(self, image: Image) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Find faces.

        Args:
            image: uint8 (height, width), gray, or (height, width, 1, 3 or 4), gray, BGR or BGRA; 0-255.

        Returns:
            Boxes, int32 (N, 4), xyxy in pixels, from top to bottom and left to right; and scores, float32 (N,), the
            detector's confidence, 0-1. The same image always gives the same boxes.

        Raises:
            UndecodableError: The image has no pixels, or another number of channels.
        """

    def searched_pixels(self, width: int, height: int) -> int:
        """Return the number of pixels searched in a frame of this size; more than it has if it is enlarged."""


@runtime_checkable
class EyeDetector(Detector, Protocol):
    """A detector that finds eyes too."""

    def detect_with_eyes(
        self, image: Image
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Find faces and their eyes.

        Args:
            image: As for `detect`.

        Returns:
            Boxes and scores as from `detect`; and eyes, float32 (N, 2, 2), xy in pixels, the person's right eye first,
            which is on the left side of the image.

        Raises:
            UndecodableError: As for `detect`.
        """
