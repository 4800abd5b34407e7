"""OpenCV's Haar cascades (Viola and Jones, CVPR 2001): frontal faces, without a download.

The cascade returns every window that passes all its stages, with the weight of the last stage. Overlapping windows are
one face. Its score depends on their number and on the largest weight (see `detector.hits`).
"""

from math import inf
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from cv2.data import haarcascades

from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import DetectorSettings
from detector.base import Image
from detector.boxes import Boxes, Scores, reading_order, suppress, to_pixels
from detector.hits import to_faces
from detector.images import as_colour
from detector.pyramid import Level, plan, search, searched_pixels

_PROFILE = "haarcascade_profileface"
_MAX_IOU = 0.3
"""Overlap above which two boxes are one face. Two cascades, or two tiles, give slightly different boxes of a face."""


class HaarDetector:
    """Finds faces with a cascade, and optionally with a second one for faces in profile.

    Args:
        settings: The cascades, and the sizes to search.

    Attributes:
        name: `haar`.
        colour: `gray`.

    Raises:
        SettingsError: OpenCV has no such cascade.
    """

    name: Final = "haar"
    colour: Final = "gray"

    def __init__(self, settings: DetectorSettings) -> None:
        cv2.setNumThreads(settings.threads)
        self._cascade = _load(settings.cascade)
        self._profile = _load(_PROFILE) if settings.profile else None
        self._settings = settings
        window = max(self._cascade.getOriginalWindowSize())
        # Do not shrink the frame for large faces: the cascade scales down by itself.
        self._scale = min(max(window / settings.min_face_px, 1.0), settings.max_input_scale)

    def detect(self, image: Image) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Find faces; see `Detector.detect`."""
        gray = as_colour(image, "gray")
        height, width = gray.shape
        levels = self._levels(width, height)
        boxes, scores = search(gray, levels, _MAX_IOU, self._find)
        whole = to_pixels(boxes, width, height)
        order = reading_order(whole, scores)
        return whole[order], scores[order]

    def searched_pixels(self, width: int, height: int) -> int:
        """See `Detector.searched_pixels`."""
        return searched_pixels(self._levels(width, height))

    def _levels(self, width: int, height: int) -> tuple[Level, ...]:
        min_face = self._settings.min_face_px * _TOLERANCE
        return plan(width, height, self._scale, self._settings.tile_px, at_least=1, min_face=min_face)

    def _find(self, gray: Image, min_face: float, max_face: float) -> tuple[Boxes, Scores]:
        boxes, scores = self._faces(self._cascade, self._settings.cascade, gray, min_face, max_face)
        if self._profile is None:
            return boxes, scores
        # That cascade finds faces that look to the left; mirror the image for those that look to the right.
        mirrored = np.ascontiguousarray(gray[:, ::-1])
        left, left_scores = self._faces(self._profile, _PROFILE, gray, min_face, max_face)
        right, right_scores = self._faces(self._profile, _PROFILE, mirrored, min_face, max_face)
        right[:, [0, 2]] = gray.shape[1] - right[:, [2, 0]]
        boxes = np.concatenate([boxes, left, right])
        scores = np.concatenate([scores, left_scores, right_scores])
        kept = suppress(boxes, scores, _MAX_IOU)
        return boxes[kept], scores[kept]

    def _faces(
        self, cascade: cv2.CascadeClassifier, name: str, gray: Image, min_face: float, max_face: float
    ) -> tuple[Boxes, Scores]:
        smallest, largest = round(min_face), 0 if max_face == inf else round(max_face)
        windows, _, weights = cascade.detectMultiScale3(
            gray,
            scaleFactor=self._settings.scale_factor,
            minNeighbors=0,  # `to_faces` combines the windows: OpenCV returns only a count or a weight
            minSize=(smallest, smallest),
            maxSize=(largest, largest),
            outputRejectLevels=True,
        )
        if not len(windows):
            return np.empty((0, 4), np.float32), np.empty(0, np.float32)
        hits = np.asarray(windows, np.float32)
        hits[:, 2:] += hits[:, :2]
        strengths = np.asarray(weights, np.float32).reshape(-1)
        boxes, scores = to_faces(hits, strengths, name, self._settings.scale_factor)
        certain = scores >= self._settings.haar_min_score
        return boxes[certain], scores[certain]


_TOLERANCE = 0.9
"""Windows may be a little smaller than the smallest face."""


def _load(name: str) -> cv2.CascadeClassifier:
    file = Path(haarcascades) / f"{name}.xml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("haarcascade_*face*.xml")))
        raise SettingsError(f"OpenCV has no cascade {name!r}: CROWDMOOD_DETECTOR__CASCADE is one of {known}")
    return cv2.CascadeClassifier(str(file))
