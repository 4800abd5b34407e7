"""Crops of detected faces are classified nearly as well as crops at the true positions."""

from pathlib import Path

import numpy as np
import pytest

from classifier import DEFAULT_MODEL
from classifier.engines import Engine, load_engine
from crowdmood.core.settings import ClassifierSettings, DetectorSettings
from crowdmood.domain.framing import FRAMINGS, Framing
from detector.evaluation.framing import Seats, accuracy, redetect, seats_of_faces, seats_of_footage, sweep
from detector.finder import load_detector

MAX_LOSS = 0.02
"""Largest loss of accuracy, as a share of the faces."""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine(DEFAULT_MODEL, ClassifierSettings())


@pytest.fixture(scope="module")
def terraces(assets: Path) -> list[Seats]:
    clips = ("terrace-north.mp4", "terrace-south.mp4")
    return [seats for clip in clips for seats in seats_of_footage(assets / "footage" / clip, 5)]


@pytest.mark.parametrize(("kind", "least_found"), [("haar", 0.6), ("yunet", 0.85)])
def test_detected_faces_of_the_terraces_lose_little_accuracy(
    terraces: list[Seats], engine: Engine, assets: Path, kind: str, least_found: float
) -> None:
    model = assets / "models" / "face_detection_yunet_2023mar.onnx"
    # The faces are 80 px large: do not spend time on smaller ones.
    settings = DetectorSettings.model_validate({"kind": kind, "min_face_px": 40, "yunet_model": model})
    detector = load_detector(settings)
    found = [redetect(seats, detector) for seats in terraces]

    def classify(crops: np.ndarray) -> np.ndarray:
        return engine.predict(crops)[0].argmax(axis=1)

    assert sum(len(one.labels) for one in found) >= least_found * sum(len(seats.labels) for seats in terraces)
    truly, redetected = accuracy(found, classify, None), accuracy(found, classify, FRAMINGS[kind])
    assert truly > 0.5
    assert redetected >= truly - MAX_LOSS


class ShrinkingDetector:
    """Returns the box of every face, a tenth too small and a little too high."""

    name = "haar"
    colour = "bgr"

    def __init__(self, squares: np.ndarray) -> None:
        self._squares = squares

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        side = self._squares[0, 2] - self._squares[0, 0]
        boxes = self._squares + np.rint(np.array([0.05, 0.0, -0.05, -0.1]) * side).astype(np.int32)
        return boxes, np.ones(len(boxes), np.float32)

    def searched_pixels(self, width: int, height: int) -> int:
        return width * height


def test_sweep_finds_the_framing_that_corrects_the_boxes() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (70, 6, 6)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    full, rest = seats_of_faces(faces, np.arange(70))
    assert (len(full.labels), len(rest.labels)) == (60, 10)

    def classify(crops: np.ndarray) -> np.ndarray:
        """Return the index of the face in each crop; later faces are recognised with larger errors of the crop."""
        apart = np.abs(crops[:, None].astype(int) - faces[None]).mean(axis=(2, 3))
        return np.where(apart.min(axis=1) < 10 + np.arange(70), apart.argmin(axis=1), -1)

    found = [redetect(seats, ShrinkingDetector(seats.squares)) for seats in (full, rest)]
    of_the_box, *others = sweep(found, classify)
    best = max(others, key=lambda each: each.accuracy)
    assert accuracy(found, classify, None) >= best.accuracy > of_the_box.accuracy + 0.2
    assert of_the_box.framing == Framing()
    assert best.framing.side in (1.1, 1.15)
    assert best.framing.down in (0.04, 0.06)
    assert abs(best.framing.right) <= 0.02
    assert not best.aligned
