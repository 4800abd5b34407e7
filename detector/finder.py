"""From a JPEG to its faces: decoded once, regions blotted out, searched, bounded in number, cut out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crowdmood.domain.framing import FRAMINGS, tilts_of, to_squares
from crowdmood.domain.messages import CROP_SIZE
from detector.base import Detector, EyeDetector, Image
from detector.cropping import crop_faces
from detector.decoding import REDUCTIONS, decode
from detector.regions import Region


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The faces of one picture.

    Attributes:
        boxes: int32 (N, 4), xyxy in pixels of the frame.
        scores: float32 (N,), the detector's confidence, 0-1.
        crops: uint8 (N, 48, 48), gray, 0-255, in FER2013's framing.
        dropped: Faces that were found and left out because there were too many.
    """

    boxes: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    crops: npt.NDArray[np.uint8]
    dropped: int


class FaceFinder:
    """Finds the faces of JPEG-coded frames.

    Args:
        detector: Finds faces in decoded pictures.
        max_megapixels: Larger frames are refused, in megapixels.
        max_faces: Faces of one frame that go on; beyond, the least certain are dropped.
        reduction: Frames are decoded at this fraction of their size; see `reduction_for`.
        align: Faces are turned until their eyes are level, where the detector knows the eyes.
    """

    def __init__(
        self, detector: Detector, max_megapixels: float, max_faces: int, reduction: int = 1, *, align: bool = False
    ) -> None:
        self.detector = detector
        self._max_megapixels = max_megapixels
        self._max_faces = max_faces
        self._reduction = reduction
        self._align = align

    def find(self, jpeg: bytes, region: Region) -> Found:
        """Find the faces of a frame.

        Args:
            jpeg: The frame.
            region: Where faces may be searched.

        Raises:
            UndecodableError: The frame cannot be decoded, or is too large.
        """
        image = decode(jpeg, self.detector.colour, self._max_megapixels, self._reduction)
        part, (x, y) = region.blot(image)
        if not part.size:
            boxes, scores, tilts = np.empty((0, 4), np.int32), np.empty(0, np.float32), np.empty(0)
        else:
            boxes, scores, tilts = self._detect(part)
            boxes = boxes + np.array([x, y, x, y], np.int32)
            held = region.holds(boxes, image.shape[1], image.shape[0])
            boxes, scores, tilts = boxes[held], scores[held], tilts[held]
        kept = most_certain(scores, self._max_faces)
        dropped = len(boxes) - len(kept)
        boxes, scores, tilts = boxes[kept], scores[kept], tilts[kept]
        squares = to_squares(boxes.astype(np.float64), FRAMINGS[self.detector.name])
        return Found(boxes * np.int32(self._reduction), scores, crop_faces(image, squares, tilts), dropped)

    def _detect(self, part: Image) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Boxes, scores, and by how much each face is to be turned back."""
        if self._align and isinstance(self.detector, EyeDetector):
            boxes, scores, eyes = self.detector.detect_with_eyes(part)
            return boxes, scores, tilts_of(eyes)
        boxes, scores = self.detector.detect(part)
        return boxes, scores, np.zeros(len(boxes))


def most_certain(scores: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.intp]:
    """Indices of the largest scores, at most so many, in the order in which they stand."""
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def reduction_for(min_face_px: int) -> int:
    """The most that decoding may divide a frame's sides by so that the smallest face still fills its crop."""
    return next(reduction for reduction in REDUCTIONS if reduction == 1 or min_face_px / reduction >= CROP_SIZE)
