"""Regions: what is left out is blotted out before anybody looks, and wrong polygons are refused."""

import numpy as np
import pytest

from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import CameraSettings, load
from detector.regions import Region

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
TOP = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.3), (0.0, 0.3))


def white(height: int = 100, width: int = 200) -> np.ndarray:
    return np.full((height, width), 255, np.uint8)


def test_without_regions_a_frame_stays_as_it_is() -> None:
    image = white()
    part, corner = Region().blot(image)
    assert part is image
    assert corner == (0, 0)
    assert (image == 255).all()


def test_what_is_masked_is_blotted_out_in_the_frame_itself() -> None:
    image = white()
    part, corner = Region(mask=[LEFT_HALF]).blot(image)
    assert np.shares_memory(part, image)
    assert not (image[:, :99] == 255).any()
    assert (image[:, 101:] == 255).all()
    assert corner == (100, 0)
    assert part.shape == (100, 100)


def test_only_what_is_included_is_searched_and_a_mask_is_stronger() -> None:
    image = white()
    part, corner = Region(include=[LEFT_HALF], mask=[TOP]).blot(image)
    assert corner == (0, 25)  # six eighths of the height hold what is left of it
    assert part.shape[0] == 75
    assert part.shape[1] <= 125
    assert (part[6:, :99] == 255).all()
    assert not (image[:28] == 255).any()


def test_a_slanting_border_leaves_a_blotted_corner_in_what_is_searched() -> None:
    image = np.full((100, 100, 3), 255, np.uint8)
    part, _ = Region(include=[((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))]).blot(image)
    assert part.shape == (100, 100, 3)
    assert (part[10, 10] == 255).all()
    assert (part[90, 90] == 127).all()


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (97, 203), (5, 3)])
def test_what_is_searched_has_few_sizes_wherever_regions_lie(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    shapes = set()
    for _ in range(300):
        (left, right), (top, bottom) = (sorted(rng.uniform(0, 1, 2)) for _ in range(2))
        region = Region(include=[((left, top), (right, top), (right, bottom), (left, bottom))])
        image = white(height, width)
        part, (x, y) = region.blot(image)
        assert (part == 255).sum() == region.allowed(width, height).sum() > 0  # nothing is cut off
        assert np.array_equal(part, image[y : y + part.shape[0], x : x + part.shape[1]])
        shapes.add(part.shape)
    assert len({rows for rows, _ in shapes}) <= 8
    assert len({columns for _, columns in shapes}) <= 8


def test_a_mask_over_everything_leaves_nothing_to_search() -> None:
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    part, _ = Region(mask=[everything]).blot(white())
    assert part.size == 0


def test_a_face_belongs_to_where_its_middle_is() -> None:
    boxes = np.array([[80, 10, 110, 40], [95, 10, 125, 40], [-30, 10, 0, 40], [500, 10, 530, 40]], np.int32)
    assert Region(mask=[LEFT_HALF]).holds(boxes, 200, 100).tolist() == [False, True, False, True]
    assert Region().holds(boxes, 200, 100).all()


def test_regions_follow_the_size_of_the_frame() -> None:
    region = Region(mask=[LEFT_HALF])
    for height, width in ((100, 200), (50, 60), (100, 200)):
        assert region.allowed(width, height).shape == (height, width)
        assert region.allowed(width, height).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("polygon", "text"),
    [
        ([], "at least 3 corners, this one has 0"),
        ([[0, 0], [1, 1]], "at least 3 corners, this one has 2"),
        ([[0, 0], [1.2, 0], [1, 1]], r"corner 1 is \(1.2, 0\)"),
        ([[0, 0], [1, -0.1], [1, 1]], "from 0 to 1"),
        ([[0, 0], [640, 0], [640, 480]], "fractions of the frame's width and height"),  # pixels
        ([[0, 0], [1, 1], [1, 0], [0, 1]], "cross"),  # a bow tie
        ([[0, 0], [0.5, 0.5], [1, 1]], "nearly no area"),
        ([["left", 0], [1, 1], [1, 0]], "valid number"),
        ([[0.1, float("nan")], [1, 1], [1, 0]], "from 0 to 1"),
    ],
)
@pytest.mark.parametrize("field", ["include", "mask"])
def test_a_wrong_polygon_is_refused_with_the_place_and_the_reason(field: str, polygon: list, text: str) -> None:
    with pytest.raises(SettingsError, match=text) as caught:
        load(cameras=[{"id": "north", "uri": "rtsp://me:hunter2@camera/1", field: [polygon]}])
    assert f"CROWDMOOD_CAMERAS__0__{field.upper()}__0" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_regions_come_from_a_camera_of_the_settings() -> None:
    camera = CameraSettings.model_validate({"id": "a", "uri": "a.mp4", "include": [LEFT_HALF], "mask": [TOP]})
    region = Region.of(camera)
    assert region.include == (LEFT_HALF,)
    assert region.mask == (TOP,)


def test_a_child_process_gets_the_regions_and_the_models_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from crowdmood.core.settings import to_environment

    settings = load(cameras=[{"id": "north", "uri": "rtsp://me:hunter2@camera/1", "mask": [LEFT_HALF, TOP]}])
    assert settings.detector.yunet_model == settings.data_dir / "models" / "face_detection_yunet_2023mar.onnx"
    for variable, value in to_environment(settings).items():
        monkeypatch.setenv(variable, value)
    assert load() == settings
