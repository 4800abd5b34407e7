"""Detectors to compare with: the baseline call of OpenCV's cascade, and YuNet in OpenCV."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from cv2.data import haarcascades

from crowdmood.core.errors import ModelError
from crowdmood.core.settings import DetectorSettings
from detector.base import Image
from detector.boxes import reading_order, to_pixels
from detector.images import as_colour
from detector.yunet_file import missing


class BaselineHaar:
    """`detectMultiScale(gray, 1.32, 5)`, the call of most tutorials; every face has the score 1."""

    name: Final = "haar"
    colour: Final = "gray"

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self._cascade = cv2.CascadeClassifier(str(Path(haarcascades) / "haarcascade_frontalface_default.xml"))

    def detect(self, image: Image) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Find faces; see `Detector.detect`."""
        found = self._cascade.detectMultiScale(as_colour(image, "gray"), 1.32, 5)
        boxes = np.array(found, np.int32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        scores = np.ones(len(boxes), np.float32)
        return boxes[reading_order(boxes, scores)], scores

    def searched_pixels(self, width: int, height: int) -> int:
        """Return the number of pixels of the frame, which is searched at its size."""
        return width * height


class OpenCVYuNet:
    """`cv2.FaceDetectorYN` on frames of unchanged size.

    Raises:
        ModelError: The model file is missing.
    """

    name: Final = "yunet"
    colour: Final = "bgr"

    def __init__(self, settings: DetectorSettings) -> None:
        if settings.yunet_model is None or not settings.yunet_model.is_file():
            raise ModelError(missing(settings.yunet_model))
        cv2.setNumThreads(1)
        self._network = cv2.FaceDetectorYN.create(
            str(settings.yunet_model), "", (32, 32), settings.yunet_min_score, 0.45, settings.max_faces
        )

    def detect(self, image: Image) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Find faces; see `Detector.detect`."""
        bgr = as_colour(image, "bgr")
        height, width = bgr.shape[:2]
        self._network.setInputSize((width, height))
        _, found = self._network.detect(bgr)
        rows = np.asarray(found if found is not None else np.empty((0, 15)), np.float32)
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        whole, scores = to_pixels(boxes, width, height), rows[:, 14]
        order = reading_order(whole, scores)
        return whole[order], scores[order]

    def searched_pixels(self, width: int, height: int) -> int:
        """Return the number of pixels of the frame, which is searched at its size."""
        return width * height
