"""Regions: everything outside is blotted out before the search, and wrong polygons are refused."""

import numpy as np
import pytest

from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import CameraSettings, load
from detector.regions import Region

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
TOP = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.3), (0.0, 0.3))


def white(height: int = 100, width: int = 200) -> np.ndarray:
    return np.full((height, width), 255, np.uint8)


def test_empty_region_keeps_the_frame_unchanged() -> None:
    image = white()
    part, corner = Region().blot(image)
    assert part is image
    assert corner == (0, 0)
    assert (image == 255).all()


def test_blots_out_masked_parts_in_the_frame_itself() -> None:
    image = white()
    part, corner = Region(mask=[LEFT_HALF]).blot(image)
    assert np.shares_memory(part, image)
    assert not (image[:, :99] == 255).any()
    assert (image[:, 101:] == 255).all()
    assert corner == (100, 0)
    assert part.shape == (100, 100)


def test_searches_only_included_parts_and_masks_have_priority() -> None:
    image = white()
    part, corner = Region(include=[LEFT_HALF], mask=[TOP]).blot(image)
    assert corner == (0, 25)  # the rest needs six eighths of the height
    assert part.shape[0] == 75
    assert part.shape[1] <= 125
    assert (part[6:, :99] == 255).all()
    assert not (image[:28] == 255).any()


def test_blots_out_the_corner_beyond_a_diagonal_border() -> None:
    image = np.full((100, 100, 3), 255, np.uint8)
    part, _ = Region(include=[((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))]).blot(image)
    assert part.shape == (100, 100, 3)
    assert (part[10, 10] == 255).all()
    assert (part[90, 90] == 127).all()


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (97, 203), (5, 3)])
def test_searched_parts_of_many_regions_have_few_sizes(height: int, width: int) -> None:
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


def test_mask_over_the_whole_frame_leaves_no_pixels() -> None:
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    part, _ = Region(mask=[everything]).blot(white())
    assert part.size == 0


def test_face_belongs_to_the_region_of_its_centre() -> None:
    boxes = np.array([[80, 10, 110, 40], [95, 10, 125, 40], [-30, 10, 0, 40], [500, 10, 530, 40]], np.int32)
    assert Region(mask=[LEFT_HALF]).holds(boxes, 200, 100).tolist() == [False, True, False, True]
    assert Region().holds(boxes, 200, 100).all()


def test_a_region_cannot_exceed_its_floor() -> None:
    floor = Region(include=[LEFT_HALF], mask=[TOP])
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    boxes = np.array([[10, 60, 30, 80], [10, 5, 30, 15], [150, 60, 170, 80]], np.int32)
    for drawn in (Region(floor=floor), Region(include=[everything], floor=floor)):
        assert (drawn.allowed(200, 100) == floor.allowed(200, 100)).all()
        assert drawn.holds(boxes, 200, 100).tolist() == [True, False, False]
        image = white()
        drawn.blot(image)
        assert (image[~floor.allowed(image.shape[1], image.shape[0])] == 127).all()
    assert not Region(mask=[LEFT_HALF], floor=floor).allowed(200, 100).any()


def test_region_scales_with_the_frame() -> None:
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
def test_refuses_a_wrong_polygon_with_the_place_and_the_reason(field: str, polygon: list, text: str) -> None:
    with pytest.raises(SettingsError, match=text) as caught:
        load(cameras=[{"id": "north", "uri": "rtsp://me:hunter2@camera/1", field: [polygon]}])
    assert f"CROWDMOOD_CAMERAS__0__{field.upper()}__0" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_reads_the_region_of_a_camera_from_the_settings() -> None:
    camera = CameraSettings.model_validate({"id": "a", "uri": "a.mp4", "include": [LEFT_HALF], "mask": [TOP]})
    region = Region.of(camera)
    assert region.include == (LEFT_HALF,)
    assert region.mask == (TOP,)


def test_child_process_gets_the_regions_and_the_path_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from crowdmood.core.settings import to_environment

    settings = load(cameras=[{"id": "north", "uri": "rtsp://me:hunter2@camera/1", "mask": [LEFT_HALF, TOP]}])
    assert settings.detector.yunet_model == settings.data_dir / "models" / "face_detection_yunet_2023mar.onnx"
    for variable, value in to_environment(settings).items():
        monkeypatch.setenv(variable, value)
    assert load() == settings
