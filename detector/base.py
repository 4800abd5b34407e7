"""What every detector offers."""

from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""uint8 (height, width), gray, or (height, width, 3), BGR; 0-255."""

Colour: TypeAlias = Literal["gray", "bgr"]


class Detector(Protocol):
    """Finds faces in a picture.

    Attributes:
        name: What a mood says of how its faces were found: `haar` or `yunet`.
        colour: What pictures it looks at; others are converted.
    """

    @property
    def name(self) -> Literal["haar", "yunet"]:
        """See above."""

    @property
    def colour(self) -> Colour:
        """See above."""

    def detect(self, image: Image) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Find faces.

        Args:
            image: uint8 (height, width), gray, or (height, width, 1, 3 or 4), gray, BGR or BGRA; 0-255.

        Returns:
            Boxes, int32 (N, 4), xyxy in pixels, from top to bottom and left to right; and scores, float32 (N,), the
            detector's confidence, 0-1. The same picture always gives the same boxes.

        Raises:
            UndecodableError: The picture has no pixels or no such number of channels.
        """

    def searched_pixels(self, width: int, height: int) -> int:
        """How many pixels are searched in a frame of a size; where it is enlarged, more than it has."""


@runtime_checkable
class EyeDetector(Detector, Protocol):
    """A detector that knows where the eyes are."""

    def detect_with_eyes(
        self, image: Image
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Find faces and their eyes.

        Args:
            image: As for `detect`.

        Returns:
            Boxes and scores as `detect` gives them; and eyes, float32 (N, 2, 2), xy in pixels, first the person's right
            eye, which is on the picture's left.

        Raises:
            UndecodableError: As `detect`.
        """
