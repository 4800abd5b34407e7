"""Decoding of YuNet's outputs, and the choice of the detector."""

import numpy as np
import pytest

from crowdmood.core.errors import ModelError
from crowdmood.core.settings import DetectorSettings
from detector.finder import detector_kind, load_detector
from detector.yunet_decoding import OUTPUTS, STRIDES, Outputs, decode

WIDTH, HEIGHT = 96, 64


def no_faces() -> dict[str, np.ndarray]:
    """Return outputs without a face."""
    channels = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    return {
        name: np.zeros((1, (WIDTH // stride) * (HEIGHT // stride), channels[kind]), np.float32)
        for name in OUTPUTS
        for kind, stride in [(name.split("_")[0], int(name.split("_")[1]))]
    }


def test_finds_no_faces_in_outputs_of_zeros() -> None:
    faces = decode(Outputs(no_faces(), WIDTH), 0.5)
    assert (faces.boxes.shape, faces.scores.shape, faces.points.shape) == ((0, 4), (0,), (0, 5, 2))


@pytest.mark.parametrize("stride", STRIDES)
def test_cell_gives_the_position_the_size_and_the_points_of_a_face(stride: int) -> None:
    arrays = no_faces()
    columns = WIDTH // stride
    cell = columns + 2  # row 1, column 2
    arrays[f"cls_{stride}"][0, cell] = 0.9
    arrays[f"obj_{stride}"][0, cell] = 0.4
    arrays[f"bbox_{stride}"][0, cell] = [0.5, 0.25, np.log(2), np.log(3)]
    arrays[f"kps_{stride}"][0, cell] = np.arange(10) / 10
    faces = decode(Outputs(arrays, WIDTH), 0.5)
    middle = np.array([2.5, 1.25]) * stride
    half = np.array([2, 3]) * stride / 2
    assert faces.boxes[0] == pytest.approx([*(middle - half), *(middle + half)], rel=1e-5)
    assert faces.scores[0] == pytest.approx(0.6)
    assert faces.points[0, 1] == pytest.approx([(2 + 0.2) * stride, (1 + 0.3) * stride], rel=1e-5)
    assert len(decode(Outputs(arrays, WIDTH), 0.61).boxes) == 0


def test_clips_outputs_to_0_and_1() -> None:
    arrays = no_faces()
    arrays["cls_8"][0, 0], arrays["obj_8"][0, 0] = 7, 1
    arrays["cls_8"][0, 1], arrays["obj_8"][0, 1] = -7, -1
    assert decode(Outputs(arrays, WIDTH), 0.5).scores.tolist() == [1]


def test_boxes_of_extreme_outputs_are_finite() -> None:
    arrays = no_faces()
    arrays["cls_8"][:] = arrays["obj_8"][:] = 1
    arrays["bbox_8"][:] = 1e6
    assert np.isfinite(decode(Outputs(arrays, WIDTH), 0.5).boxes).all()


def test_auto_selects_yunet_only_if_its_model_exists(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = tmp_path / "yunet.onnx"
    assert detector_kind(DetectorSettings(yunet_model=model)) == "haar"
    assert detector_kind(DetectorSettings()) == "haar"
    model.write_bytes(b"anything")
    assert detector_kind(DetectorSettings(yunet_model=model)) == "yunet"
    assert detector_kind(DetectorSettings(yunet_model=model, kind="haar")) == "haar"


@pytest.mark.parametrize("model", [None, "missing.onnx"])
def test_error_for_a_missing_model_says_how_to_get_it(model: str | None) -> None:
    with pytest.raises(ModelError, match="crowdmood models pull yunet"):
        load_detector(DetectorSettings.model_validate({"kind": "yunet", "yunet_model": model}))
