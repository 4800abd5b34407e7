"""Loads the configured detector, and finds and crops the faces of JPEG-coded frames."""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crowdmood.core.settings import DetectorSettings, Settings
from crowdmood.domain.framing import FRAMINGS, tilts_of, to_squares
from crowdmood.domain.messages import CROP_SIZE
from detector.base import Detector, EyeDetector, Image
from detector.images import REDUCTIONS, crop_faces, decode
from detector.regions import Region

log = logging.getLogger("crowdmood.detector")


@dataclass(frozen=True, slots=True, eq=False)
class FoundFaces:
    """The faces of a frame.

    Attributes:
        boxes: int32 (N, 4), xyxy in pixels of the frame.
        scores: float32 (N,), the detector's confidence, 0-1.
        crops: uint8 (N, 48, 48), gray, 0-255, in FER2013's framing.
        dropped: Number of faces that were dropped because there were too many.
    """

    boxes: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    crops: npt.NDArray[np.uint8]
    dropped: int


class FaceFinder:
    """Finds the faces of JPEG-coded frames.

    Args:
        detector: Finds faces in decoded images.
        max_megapixels: Larger frames are refused, in megapixels.
        max_faces: Most faces of a frame; beyond, those with the lowest scores are dropped.
        reduction: Divisor of the size at which frames are decoded; see `reduction_for`.
        align: Whether faces are rotated until their eyes are level, if the detector finds eyes.
    """

    def __init__(
        self, detector: Detector, max_megapixels: float, max_faces: int, reduction: int = 1, *, align: bool = False
    ) -> None:
        self.detector = detector
        self._max_megapixels = max_megapixels
        self._max_faces = max_faces
        self._reduction = reduction
        self._align = align

    def find(self, jpeg: bytes, region: Region) -> FoundFaces:
        """Find the faces of a frame.

        Args:
            jpeg: The frame.
            region: The region to search.

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
        kept = np.sort(np.argsort(-scores, kind="stable")[: self._max_faces])
        dropped = len(boxes) - len(kept)
        boxes, scores, tilts = boxes[kept], scores[kept], tilts[kept]
        squares = to_squares(boxes.astype(np.float64), FRAMINGS[self.detector.name])
        return FoundFaces(boxes * np.int32(self._reduction), scores, crop_faces(image, squares, tilts), dropped)

    def _detect(self, part: Image) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Return boxes, scores, and the tilt by which each face is to be rotated back."""
        if self._align and isinstance(self.detector, EyeDetector):
            boxes, scores, eyes = self.detector.detect_with_eyes(part)
            return boxes, scores, tilts_of(eyes)
        boxes, scores = self.detector.detect(part)
        return boxes, scores, np.zeros(len(boxes))


def load_finder(settings: Settings) -> FaceFinder:
    """Return a finder with the configured detector.

    Raises:
        ModelError: YuNet is configured, and its model is missing or another file.
        SettingsError: The detector does not support the settings.
    """
    reduction = reduction_for(settings.detector.min_face_px)
    reduced = {"min_face_px": settings.detector.min_face_px // reduction}
    detector = load_detector(settings.detector.model_copy(update=reduced))
    return FaceFinder(
        detector,
        settings.ingest.max_frame_megapixels,
        settings.detector.max_faces,
        reduction,
        align=settings.detector.align,
    )


def load_detector(settings: DetectorSettings) -> Detector:
    """Return the configured detector; only its own libraries are imported.

    Raises:
        ModelError: YuNet is configured, and its model is missing or another file.
        SettingsError: The detector does not support the settings.
    """
    if detector_kind(settings) == "yunet":
        from detector.yunet import YuNetDetector

        log.info("the detector is yunet (%s)", settings.yunet_model)
        return YuNetDetector(settings)
    from detector.haar import HaarDetector

    hint = f"; {settings.yunet_model} does not exist, `crowdmood models pull yunet` downloads the better YuNet"
    log.info("the detector is haar (%s)%s", settings.cascade, hint if settings.kind == "auto" else "")
    return HaarDetector(settings)


def detector_kind(settings: DetectorSettings) -> str:
    """Return `haar` or `yunet`; for the setting `auto`, `yunet` if its model exists."""
    if settings.kind != "auto":
        return settings.kind
    return "yunet" if settings.yunet_model is not None and settings.yunet_model.is_file() else "haar"


def reduction_for(min_face_px: int) -> int:
    """Return the largest divisor for decoding frames at which the smallest face still fills its crop."""
    return next(reduction for reduction in REDUCTIONS if reduction == 1 or min_face_px / reduction >= CROP_SIZE)
