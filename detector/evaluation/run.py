"""Runs a detector on labelled images and computes its figures."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np

from crowdmood.core.errors import DataError
from crowdmood.core.settings import DetectorSettings
from detector.base import Detector, Image
from detector.evaluation.labels import LabelledImage
from detector.evaluation.matching import RANGES, Curve, HeightRange, Matches, curve, match

Candidate: TypeAlias = Literal["haar", "yunet", "hobby-haar", "opencv-yunet"]

_TIMED_IMAGES = 12
_REPEATS = 3
"""Number of times that each of them is searched; the fastest one counts."""
_LOWEST_SCORE = 0.05
"""Lowest score of a curve; below it, nearly all detections are false."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The figures of a detector.

    Attributes:
        candidate: The detector.
        precision: Its numeric precision.
        min_score: Its threshold.
        images: Number of images.
        curves: Recall and precision, by the height of faces.
        cpu_ms_per_megapixel: Processor time of the detection per megapixel of the frame, in milliseconds.
        wall_ms_per_megapixel: Wall time of the detection per megapixel of the frame, in milliseconds; longer if other
            processes use the processor.
        searched: Pixels searched per pixel of the frame, including enlarged frames and further levels.
    """

    candidate: Candidate
    precision: str
    min_score: float
    images: int
    curves: dict[HeightRange, Curve]
    cpu_ms_per_megapixel: float
    wall_ms_per_megapixel: float
    searched: float


def evaluate(
    images: Sequence[LabelledImage],
    candidate: Candidate,
    settings: DetectorSettings,
    on_image: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Evaluate a detector on labelled images.

    Args:
        images: The images.
        candidate: The detector.
        settings: Its settings; its threshold is one point of the curve.
        on_image: Called after each image.

    Raises:
        DataError: An image cannot be read.
        ModelError: YuNet's model is missing.
        SettingsError: The detector does not support the settings.
    """
    detector, precision, min_score = _load(candidate, settings)
    matches: dict[HeightRange, list[Matches]] = {heights: [] for heights in RANGES}
    for image in images:
        boxes, scores = detector.detect(_read(image, detector))
        for heights, of_range in matches.items():
            of_range.append(match(boxes.astype(np.float32), scores, image.boxes, image.invalid, heights))
        on_image()
    cpu_ms, wall_ms, searched = _cost(images, detector)
    curves = {heights: curve(of_range) for heights, of_range in matches.items()}
    return Evaluation(candidate, precision, min_score, len(images), curves, cpu_ms, wall_ms, searched)


def _load(candidate: Candidate, settings: DetectorSettings) -> tuple[Detector, str, float]:
    """Return the detector with the lowest threshold, its numeric precision, and its real threshold."""
    low = settings.model_copy(update={"haar_min_score": _LOWEST_SCORE, "yunet_min_score": _LOWEST_SCORE})
    match candidate:
        case "haar":
            from detector.haar import HaarDetector

            return HaarDetector(low), "integers", settings.haar_min_score
        case "yunet":
            from detector.yunet import YuNetDetector

            yunet = YuNetDetector(low)
            return yunet, yunet.precision, settings.yunet_min_score
        case "hobby-haar":
            from detector.evaluation.references import BaselineHaar

            return BaselineHaar(), "integers", 1.0
        case "opencv-yunet":
            from detector.evaluation.references import OpenCVYuNet

            return OpenCVYuNet(low), "f32", settings.yunet_min_score


def _read(labelled: LabelledImage, detector: Detector) -> Image:
    colour = cv2.IMREAD_GRAYSCALE if detector.colour == "gray" else cv2.IMREAD_COLOR
    # Labels are for the stored pixels: ignore a rotation in Exif.
    image = cv2.imread(str(labelled.file), colour | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DataError(f"{labelled.file} is no image that can be decoded")
    return np.asarray(image, np.uint8)


def _cost(images: Sequence[LabelledImage], detector: Detector) -> tuple[float, float, float]:
    """Return milliseconds of processor time and of wall time per megapixel, and pixels searched per pixel."""
    cpu_s = wall_s = 0.0
    pixels = searched = 0
    for labelled in images[:: max(1, len(images) // _TIMED_IMAGES)]:
        image = _read(labelled, detector)
        # The first run allocates memory and compiles networks, once for all frames of a camera: do not count it.
        detector.detect(image)
        times = [_time(detector, image) for _ in range(_REPEATS)]
        cpu_s += min(cpu for cpu, _ in times)
        wall_s += min(wall for _, wall in times)
        pixels += image.shape[0] * image.shape[1]
        searched += detector.searched_pixels(image.shape[1], image.shape[0])
    return cpu_s * 1e9 / pixels, wall_s * 1e9 / pixels, searched / pixels


def _time(detector: Detector, image: Image) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    detector.detect(image)
    return time.process_time() - cpu, time.perf_counter() - wall
