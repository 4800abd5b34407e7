"""YuNet (Wu, Peng and Yu, Machine Intelligence Research 2023): dense crowds, small and turned faces, in OpenVINO."""

import logging
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from crowdmood.core.settings import DetectorSettings
from detector.base import Image
from detector.boxes import Boxes, Scores, reading_order, suppress, to_pixels
from detector.decoding import as_colour
from detector.pyramid import Level, plan, search, searched_pixels
from detector.yunet_decoding import decode
from detector.yunet_network import YuNetNetwork

log = logging.getLogger("crowdmood.detector")

BEST_FACE_PX = 40
"""Height that the smallest face should have in the network's input, in pixels.

Measured on the crowds at precision 0.9: it finds 0.769 of the faces of 20-40 px as they are and 0.830 at twice that.
"""

_MAX_IOU = 0.45
_LEVELS = 2


class YuNetDetector:
    """Finds faces with YuNet, at two scales or more: see `detector.pyramid`.

    Args:
        settings: The model file, how thoroughly to search, and how to compute.

    Attributes:
        name: `yunet`.
        colour: `bgr`.
        precision: What it computes with: `f32` or `bf16`.

    Raises:
        ModelError: The model file is missing or is not YuNet.
        SettingsError: This processor cannot compute with the precision that is asked for.
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
    """Run the network once over a picture, as it is.

    Args:
        network: The network.
        min_score: Least certain face that counts, 0-1.
        bgr: uint8 (height, width, 3), BGR, 0-255.
        *_sizes: Smallest and largest face searched, which it need not know: it finds all in one go.

    Returns:
        Faces, float32 (N, 8): box, xyxy, right eye and left eye, xy, in pixels; and scores, float32 (N,).
    """
    faces = decode(network.run(bgr), min_score)
    # In whole pixels, as OpenCV's own YuNet does: so that both keep the same ones of two that overlap just so much.
    corners = np.trunc(faces.boxes[:, :2])
    whole = np.concatenate([corners, corners + np.trunc(faces.boxes[:, 2:] - faces.boxes[:, :2])], axis=1)
    kept = suppress(whole, faces.scores, _MAX_IOU)
    eyes = faces.points[kept, :2].reshape(-1, 4)
    return np.concatenate([faces.boxes[kept], eyes], axis=1), faces.scores[kept]
