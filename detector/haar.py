"""OpenCV's Haar cascades (Viola and Jones, CVPR 2001): frontal faces, no download, no accelerator."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from cv2.data import haarcascades

from crowdmood.errors import SettingsError
from crowdmood.settings import DetectorSettings


class HaarDetector:
    """Finds frontal faces.

    Args:
        settings: Which cascade, and how thoroughly to search.

    Attributes:
        name: What a mood says of how its faces were found.

    Raises:
        SettingsError: OpenCV has no such cascade.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        file = Path(haarcascades) / f"{settings.cascade}.xml"
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in file.parent.glob("haarcascade_*face*.xml")))
            raise SettingsError(
                f"OpenCV has no cascade {settings.cascade!r}: CROWDMOOD_DETECTOR__CASCADE is one of {known}"
            )
        cv2.setNumThreads(settings.threads)
        self.name = "haar"
        self._cascade = cv2.CascadeClassifier(str(file))
        self._settings = settings

    def detect(self, gray: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Find faces.

        Args:
            gray: uint8 (height, width), 0-255.

        Returns:
            Boxes, int32 (N, 4), xyxy in pixels, from top to bottom and left to right; and scores, float32 (N,): how
            many overlapping hits each face had.
        """
        side = self._settings.min_face_px
        found, hits = self._cascade.detectMultiScale2(
            gray,
            scaleFactor=self._settings.scale_factor,
            minNeighbors=self._settings.min_neighbors,
            minSize=(side, side),
        )
        if len(found) == 0:
            return np.empty((0, 4), np.int32), np.empty(0, np.float32)
        boxes = np.asarray(found, np.int32)
        boxes[:, 2:] += boxes[:, :2]
        # OpenCV's order depends on its threads.
        order = np.lexsort((boxes[:, 2], boxes[:, 0], boxes[:, 1]))
        return boxes[order], np.asarray(hits, np.float32).reshape(-1)[order]
