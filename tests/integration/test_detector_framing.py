"""Faces that are found again and cut out lose next to nothing against those that are cut out where they truly are."""

from pathlib import Path

import numpy as np
import pytest

from classifier import DEFAULT_MODEL
from classifier.engines import Engine, load_engine
from crowdmood.core.settings import ClassifierSettings, DetectorSettings
from crowdmood.domain.framing import FRAMINGS, Framing
from detector.evaluation.framing import Seats, accuracy, redetect, seats_of_faces, seats_of_footage, sweep
from detector.loading import load_detector

MAX_LOSS = 0.02
"""Share of the faces."""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine(DEFAULT_MODEL, ClassifierSettings())


@pytest.fixture(scope="module")
def terraces(assets: Path) -> list[Seats]:
    clips = ("terrace-north.mp4", "terrace-south.mp4")
    return [seats for clip in clips for seats in seats_of_footage(assets / "footage" / clip, 5)]


@pytest.mark.parametrize(("kind", "least_found"), [("haar", 0.6), ("yunet", 0.85)])
def test_faces_found_again_on_the_terraces_lose_little(
    terraces: list[Seats], engine: Engine, assets: Path, kind: str, least_found: float
) -> None:
    model = assets / "models" / "face_detection_yunet_2023mar.onnx"
    # The faces are 80 px large: looking for smaller ones would only cost time.
    settings = DetectorSettings.model_validate({"kind": kind, "min_face_px": 40, "yunet_model": model})
    detector = load_detector(settings)
    found = [redetect(seats, detector) for seats in terraces]

    def judge(crops: np.ndarray) -> np.ndarray:
        return engine.predict(crops)[0].argmax(axis=1)

    assert sum(len(one.labels) for one in found) >= least_found * sum(len(seats.labels) for seats in terraces)
    truly, redetected = accuracy(found, judge, None), accuracy(found, judge, FRAMINGS[kind])
    assert truly > 0.5
    assert redetected >= truly - MAX_LOSS


class Shrunk:
    """Stands in for a detector: every face in a box that is a tenth too small and a little too high."""

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


def test_the_sweep_finds_the_framing_that_undoes_what_a_detector_does() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (70, 6, 6)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    full, rest = seats_of_faces(faces, np.arange(70))
    assert (len(full.labels), len(rest.labels)) == (60, 10)

    def judge(crops: np.ndarray) -> np.ndarray:
        """Which of the faces a crop is; some are recognised however they are cut out, others only when it is well."""
        apart = np.abs(crops[:, None].astype(int) - faces[None]).mean(axis=(2, 3))
        return np.where(apart.min(axis=1) < 10 + np.arange(70), apart.argmin(axis=1), -1)

    found = [redetect(seats, Shrunk(seats.squares)) for seats in (full, rest)]
    as_the_box_is, *others = sweep(found, judge)
    best = max(others, key=lambda each: each.accuracy)
    assert accuracy(found, judge, None) >= best.accuracy > as_the_box_is.accuracy + 0.2
    assert as_the_box_is.framing == Framing()
    assert best.framing.side in (1.1, 1.15)
    assert best.framing.down in (0.04, 0.06)
    assert abs(best.framing.right) <= 0.02
    assert not best.aligned
