"""Goals of the detectors on all photographs of crowds; takes minutes, run by `make soak`."""

from pathlib import Path
from typing import Any

import pytest

from crowdmood.core.settings import DetectorSettings
from detector.evaluation.labels import LabelledImage, labelled_images
from detector.evaluation.matching import HeightRange
from detector.evaluation.run import Candidate, Evaluation, evaluate

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

ALL, FROM_20 = HeightRange(12), HeightRange(20)


@pytest.fixture(scope="module")
def images(assets: Path) -> list[LabelledImage]:
    return labelled_images(assets / "crowds")


@pytest.fixture(scope="module")
def settings(assets: Path) -> DetectorSettings:
    model = assets / "models" / "face_detection_yunet_2023mar.onnx"
    return DetectorSettings(yunet_model=model, min_face_px=12, precision="f32")


def test_haar_finds_twice_the_faces_of_the_baseline(images: list[LabelledImage], settings: DetectorSettings) -> None:
    haar, baseline = evaluate(images, "haar", settings), evaluate(images, "hobby-haar", settings)
    for heights in (ALL, FROM_20):
        recall, precision = haar.curves[heights].at(haar.min_score)
        assert precision >= 0.85
        assert recall >= 2 * baseline.curves[heights].at(baseline.min_score)[0]


def test_yunet_finds_most_faces_and_few_others(images: list[LabelledImage], settings: DetectorSettings) -> None:
    found = evaluate(images, "yunet", settings)
    recall, precision = found.curves[FROM_20].at(found.min_score)
    assert recall >= 0.85
    assert precision >= 0.9


def test_yunet_takes_a_fraction_of_the_time_of_haar_at_equal_scale(
    images: list[LabelledImage], settings: DetectorSettings
) -> None:
    some = images[::26]

    def cost(candidate: Candidate, **changes: Any) -> tuple[Evaluation, float]:
        done = evaluate(some, candidate, settings.model_copy(update=changes))
        return done, done.cpu_ms_per_megapixel / done.searched

    _, haar = cost("haar", min_face_px=20)
    yunet, fast = cost("yunet", min_face_px=40, precision="auto")
    assert haar / fast >= (15 if yunet.precision == "bf16" else 8)
