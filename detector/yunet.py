"""YuNet (Wu, Peng and Yu, Machine Intelligence Research 2023) in OpenVINO: dense crowds, small and turned faces."""

import logging
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from crowdmood.core.settings import DetectorSettings
from detector.base import Image
from detector.boxes import Boxes, Scores, reading_order, suppress, to_pixels
from detector.images import as_colour
from detector.pyramid import Level, plan, search, searched_pixels
from detector.yunet_decoding import decode
from detector.yunet_network import YuNetNetwork

log = logging.getLogger("crowdmood.detector")

BEST_FACE_PX = 40
"""Best height of the smallest face in the network's input, in pixels.

Measured on the crowds at precision 0.9: recall of faces of 20-40 px is 0.769 at their size and 0.830 at twice their
size.
"""

_MAX_IOU = 0.45
_LEVELS = 2


class YuNetDetector:
    """Finds faces with YuNet at two or more scales; see `detector.pyramid`.

    Args:
        settings: The model file, the sizes to search, and the precision.

    Attributes:
        name: `yunet`.
        colour: `bgr`.
        precision: Precision of the network: `f32` or `bf16`.

    Raises:
        ModelError: The model file is missing or is not YuNet.
        SettingsError: The processor does not support the configured precision.
    """

    name: Final = "yunet"
    colour: Final = "bgr"

    def __init__(self, settings: DetectorSettings) -> None:
        self._network = YuNetNetwork(settings)
        self.precision = self._network.precision
        self._settings = settings
        self._scale = min(BEST_FACE_PX / settings.min_face_px, settings.max_input_scale)
        log.info("YuNet computes with %s on %d thread(s)", self.precision, settings.threads)

    def detect(self, image: Image) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Find faces; see `Detector.detect`."""
        boxes, scores, _ = self.detect_with_eyes(image)
        return boxes, scores

    def detect_with_eyes(
        self, image: Image
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Find faces and their eyes; see `EyeDetector.detect_with_eyes`."""
        bgr = as_colour(image, "bgr")
        height, width = bgr.shape[:2]
        levels = self._levels(width, height)
        faces, scores = search(bgr, levels, _MAX_IOU, partial(find, self._network, self._settings.yunet_min_score))
        boxes = to_pixels(faces[:, :4], width, height)
        order = reading_order(boxes, scores)
        return boxes[order], scores[order], faces[order, 4:].reshape(-1, 2, 2)

    def searched_pixels(self, width: int, height: int) -> int:
        """See `Detector.searched_pixels`."""
        return searched_pixels(self._levels(width, height))

    def _levels(self, width: int, height: int) -> tuple[Level, ...]:
        return plan(width, height, self._scale, self._settings.tile_px, _LEVELS)


def find(
    network: YuNetNetwork,
    min_score: float,
    bgr: Image,
    *_sizes: float,
) -> tuple[Boxes, Scores]:
    """Run the network once on an image at its own size.

    Args:
        network: The network.
        min_score: Lowest score of a face, 0-1.
        bgr: uint8 (height, width, 3), BGR, 0-255.
        *_sizes: Ignored: the network finds faces of all sizes.

    Returns:
        Faces, float32 (N, 8): box, xyxy, right eye and left eye, xy, in pixels; and scores, float32 (N,).
    """
    faces = decode(network.run(bgr), min_score)
    # Suppress in integer pixels like OpenCV's YuNet, so that both decide the same at the threshold.
    corners = np.trunc(faces.boxes[:, :2])
    whole = np.concatenate([corners, corners + np.trunc(faces.boxes[:, 2:] - faces.boxes[:, :2])], axis=1)
    kept = suppress(whole, faces.scores, _MAX_IOU)
    eyes = faces.points[kept, :2].reshape(-1, 4)
    return np.concatenate([faces.boxes[kept], eyes], axis=1), faces.scores[kept]
