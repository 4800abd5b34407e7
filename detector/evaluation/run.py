"""Runs a detector over labelled pictures and gathers what came of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np

from crowdmood.core.errors import DataError
from crowdmood.core.settings import DetectorSettings
from detector.base import Detector, Image
from detector.evaluation.labels import LabelledPicture
from detector.evaluation.matching import RANGES, Curve, HeightRange, Judged, curve, judge

Candidate: TypeAlias = Literal["haar", "yunet", "hobby-haar", "opencv-yunet"]

_TIMED_PICTURES = 12
_REPEATS = 3
"""Times that each of them is searched: the fastest counts, the others waited for something."""
_LOWEST_SCORE = 0.05
"""Where curves begin: below, there is next to nothing but mistakes."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How well a detector does.

    Attributes:
        candidate: Which detector.
        precision: What it computes with.
        min_score: Its threshold.
        pictures: How many it was judged on.
        curves: Recall and precision, by the faces' heights.
        cpu_ms_per_megapixel: Processor time for a megapixel of the frame, detection alone, in milliseconds.
        wall_ms_per_megapixel: The same by the clock: more where others use the processor too.
        searched: Pixels searched for one of the frame: enlarged frames and second levels count.
    """

    candidate: Candidate
    precision: str
    min_score: float
    pictures: int
    curves: dict[HeightRange, Curve]
    cpu_ms_per_megapixel: float
    wall_ms_per_megapixel: float
    searched: float


def evaluate(
    pictures: Sequence[LabelledPicture],
    candidate: Candidate,
    settings: DetectorSettings,
    on_picture: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Judge a detector.

    Args:
        pictures: What to judge it on.
        candidate: Which detector.
        settings: How it is set; its threshold becomes one point of the curve.
        on_picture: Called after each picture.

    Raises:
        DataError: A picture cannot be read.
        ModelError: YuNet's model is missing.
        SettingsError: The detector cannot work as it is set.
    """
    detector, precision, min_score = _load(candidate, settings)
    judged: dict[HeightRange, list[Judged]] = {heights: [] for heights in RANGES}
    for picture in pictures:
        boxes, scores = detector.detect(_read(picture, detector))
        for heights, of_range in judged.items():
            of_range.append(judge(boxes.astype(np.float32), scores, picture.boxes, picture.invalid, heights))
        on_picture()
    cpu_ms, wall_ms, searched = _cost(pictures, detector)
    curves = {heights: curve(of_range) for heights, of_range in judged.items()}
    return Evaluation(candidate, precision, min_score, len(pictures), curves, cpu_ms, wall_ms, searched)


def _load(candidate: Candidate, settings: DetectorSettings) -> tuple[Detector, str, float]:
    """The detector with the lowest threshold, what it computes with, and its real threshold."""
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
            from detector.evaluation.references import HobbyHaar

            return HobbyHaar(), "integers", 1.0
        case "opencv-yunet":
            from detector.evaluation.references import OpenCVYuNet

            return OpenCVYuNet(low), "f32", settings.yunet_min_score


def _read(picture: LabelledPicture, detector: Detector) -> Image:
    colour = cv2.IMREAD_GRAYSCALE if detector.colour == "gray" else cv2.IMREAD_COLOR
    # Labels are for the pixels as they are stored, whatever Exif says of turning them.
    image = cv2.imread(str(picture.file), colour | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DataError(f"{picture.file} is no picture that can be decoded")
    return np.asarray(image, np.uint8)


def _cost(pictures: Sequence[LabelledPicture], detector: Detector) -> tuple[float, float, float]:
    """Milliseconds of processor time and by the clock for a megapixel, and pixels searched for one of the frame."""
    cpu_s = wall_s = 0.0
    pixels = searched = 0
    for picture in pictures[:: max(1, len(pictures) // _TIMED_PICTURES)]:
        image = _read(picture, detector)
        # The first time, memory is taken and networks are compiled: a camera's frames all have one size.
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
