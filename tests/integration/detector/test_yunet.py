"""YuNet in OpenVINO compared with OpenCV's, and both detectors on real photographs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import openvino
import pytest

from crowdmood.core.errors import ModelError
from crowdmood.core.settings import DetectorSettings
from detector.base import Detector
from detector.boxes import iou
from detector.haar import HaarDetector
from detector.regions import Region
from detector.yunet import YuNetDetector, find
from detector.yunet_network import YuNetNetwork

_MIN_SCORE = 0.5
_MAX_IOU = 0.45


@pytest.fixture(scope="module")
def model(assets: Path) -> Path:
    return assets / "models" / "face_detection_yunet_2023mar.onnx"


@pytest.fixture(scope="module")
def photos(assets: Path) -> list[np.ndarray]:
    """Four photographs of different sizes, none of them a multiple of 32."""
    names = sorted(json.loads((assets / "crowds" / "boxes.json").read_text()))[3::40]
    return [cv2.imread(str(assets / "crowds" / "images" / name)) for name in names]


@pytest.fixture(scope="module")
def network(model: Path) -> YuNetNetwork:
    return YuNetNetwork(DetectorSettings(yunet_model=model, precision="f32"))


@pytest.fixture(scope="module")
def yunet(model: Path) -> YuNetDetector:
    return YuNetDetector(DetectorSettings(yunet_model=model))


@pytest.fixture(scope="module", params=["haar", "yunet"])
def detector(request: pytest.FixtureRequest, yunet: YuNetDetector) -> Detector:
    return yunet if request.param == "yunet" else HaarDetector(DetectorSettings())


def test_boxes_agree_with_opencvs_yunet_to_a_pixel(
    network: YuNetNetwork, model: Path, photos: list[np.ndarray]
) -> None:
    counts = []
    for photo in photos:
        height, width = photo.shape[:2]
        reference = cv2.FaceDetectorYN.create(str(model), "", (width, height), _MIN_SCORE, _MAX_IOU, 5000)
        expected = np.asarray(reference.detect(photo)[1], np.float32).reshape(-1, 15)
        found, scores = find(network, _MIN_SCORE, photo)
        boxes, eyes = found[:, :4], found[:, 4:]
        of_opencv = np.concatenate([expected[:, :2], expected[:, :2] + expected[:, 2:4]], axis=1)
        assert len(boxes) == len(of_opencv)
        nearest = iou(boxes, of_opencv).argmax(axis=1)
        assert sorted(nearest) == list(range(len(of_opencv)))
        assert np.abs(boxes - of_opencv[nearest]).max() < 1
        assert np.abs(eyes - expected[nearest, 4:8]).max() < 1
        assert np.abs(scores - expected[nearest, 14]).max() < 0.001
        counts.append(len(boxes))
    assert sum(counts) > 20


def test_bfloat16_finds_nearly_the_same_faces(model: Path, photos: list[np.ndarray], network: YuNetNetwork) -> None:
    auto = YuNetNetwork(DetectorSettings(yunet_model=model))
    if auto.precision == "f32":
        return  # this processor has no bfloat16, so `auto` does not use it
    for photo in photos:
        exact, fast = (find(each, _MIN_SCORE, photo)[0][:, :4] for each in (network, auto))
        assert abs(len(exact) - len(fast)) <= max(2, len(exact) // 10)
        assert (iou(exact, fast).max(axis=1) > 0.7).mean() > 0.9


def test_float32_is_used_on_a_processor_that_lists_bfloat16_and_cannot_run_it(model: Path) -> None:
    code = (
        "from pathlib import Path; from detector.yunet_network import YuNetNetwork; "
        "from crowdmood.core.settings import DetectorSettings; "
        f"print(YuNetNetwork(DetectorSettings(yunet_model=Path({str(model)!r}))).precision)"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "f32"
    assert done.stderr.count("\n") <= 1


def test_boxes_of_an_image_do_not_depend_on_earlier_images(detector: Detector, photos: list[np.ndarray]) -> None:
    first = [detector.detect(photo) for photo in photos]
    for photo, (boxes, scores) in reversed(list(zip(photos, first, strict=True))):
        again_boxes, again_scores = detector.detect(photo)
        assert np.array_equal(again_boxes, boxes)
        assert np.array_equal(again_scores, scores)
        assert boxes.dtype == np.int32
        assert scores.dtype == np.float32
        assert ((scores > 0) & (scores <= 1)).all()


def test_compiles_once_for_each_size_and_finds_the_same_faces_after_releasing_memory(
    model: Path, photos: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[tuple[int, ...]] = []
    really = openvino.Core.compile_model

    def counted(core: openvino.Core, model: openvino.Model, *options: object) -> object:
        compiled.append(tuple(model.input(0).shape))
        return really(core, model, *options)

    monkeypatch.setattr(openvino.Core, "compile_model", counted)
    photo = cv2.resize(photos[0], (640, 360), interpolation=cv2.INTER_AREA)
    bands = [Region(include=[((0, top), (1, top), (1, 1), (0, 1))]) for top in np.arange(10) / 25]
    stands = [Region(include=[((0, 0), (side, 0), (side, 1), (0, 1))]) for side in np.arange(4, 10) / 10]
    parts = [region.blot(photo.copy())[0] for region in (*bands, *stands)]
    shapes = {part.shape for part in parts}
    assert len(shapes) <= 8 < len(parts)
    found: dict[int, list[tuple[np.ndarray, ...]]] = {}
    for warm_px in (20_000_000, 500_000):
        monkeypatch.setattr("detector.yunet_network.WARM_PX", warm_px)
        yunet = YuNetDetector(DetectorSettings(yunet_model=model))
        compiled.clear()
        found[warm_px] = [yunet.detect(part) for _ in range(3) for part in parts]
        assert len(compiled) == len(set(compiled)) <= 1 + 2 * len(shapes)  # two levels, and one to check the file
    assert sum(len(boxes) for boxes, _ in found[500_000]) > 10
    for one, other in zip(*found.values(), strict=True):
        assert all(map(np.array_equal, one, other))


@pytest.mark.parametrize("channels", [1, 4])
def test_searches_images_of_one_and_four_channels(detector: Detector, photos: list[np.ndarray], channels: int) -> None:
    photo = photos[0]
    code = cv2.COLOR_BGR2GRAY if channels == 1 else cv2.COLOR_BGR2BGRA
    converted = np.asarray(cv2.cvtColor(photo, code), np.uint8).reshape(*photo.shape[:2], channels)
    usual, found = detector.detect(photo)[0], detector.detect(converted)[0]
    assert len(usual) > 0
    assert abs(len(found) - len(usual)) <= len(usual) // 3


def test_eyes_belong_to_their_faces_at_every_scale_and_in_every_tile(model: Path, photos: list[np.ndarray]) -> None:
    detector = YuNetDetector(DetectorSettings(yunet_model=model, tile_px=640))
    inside = []
    for photo in photos:
        boxes, scores, eyes = detector.detect_with_eyes(photo)
        assert np.array_equal(boxes, detector.detect(photo)[0])
        assert eyes.shape == (len(scores), 2, 2)
        in_box = (eyes > boxes[:, None, :2]) & (eyes < boxes[:, None, 2:])
        inside.append(in_box.all(axis=(1, 2)) & (eyes[:, 0, 0] < eyes[:, 1, 0]))
    assert np.concatenate(inside).mean() > 0.8


def test_finds_each_face_of_a_tiled_frame_once(model: Path, photos: list[np.ndarray], yunet: YuNetDetector) -> None:
    photo = max(photos, key=lambda each: len(yunet.detect(each)[0]))
    whole = yunet.detect(photo)[0].astype(np.float32)
    tiled_yunet = YuNetDetector(DetectorSettings(yunet_model=model, tile_px=640))
    tiled = tiled_yunet.detect(photo)[0].astype(np.float32)
    overlaps = iou(tiled, tiled)
    np.fill_diagonal(overlaps, 0)
    assert overlaps.max() < _MAX_IOU + 0.05  # boxes are rounded to pixels after the suppression
    assert abs(len(tiled) - len(whole)) <= max(2, len(whole) // 10)
    assert (iou(whole, tiled).max(axis=1) > 0.5).mean() > 0.9


@pytest.mark.parametrize("kind", ["haar", "yunet"])
def test_searches_a_4k_frame_in_bounded_memory(assets: Path, model: Path, kind: str) -> None:
    code = (
        "import cv2, numpy as np; from pathlib import Path\n"
        "from crowdmood.core.settings import DetectorSettings; from detector.finder import load_detector\n"
        f"photo = cv2.imread({str(min((assets / 'crowds' / 'images').iterdir()))!r})\n"
        "frame = np.tile(photo, (6, 4, 1))[:2160, :3840]\n"
        "assert frame.shape == (2160, 3840, 3)\n"
        f"settings = DetectorSettings(kind={kind!r}, yunet_model=Path({str(model)!r}))\n"
        "boxes, _ = load_detector(settings).detect(frame)\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(len(boxes), int(peak.split()[1]) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    faces, megabytes = map(int, done.stdout.split())
    assert faces > 10
    assert megabytes < 700


def test_memory_is_bounded_for_many_sizes(model: Path) -> None:
    code = (
        "import numpy as np; from pathlib import Path\n"
        "from crowdmood.core.settings import DetectorSettings; from detector.yunet_network import YuNetNetwork\n"
        f"network = YuNetNetwork(DetectorSettings(precision='f32', yunet_model=Path({str(model)!r})))\n"
        "for height in range(1728, 2049, 32):\n"
        "    network.run(np.zeros((height, 2048, 3), np.uint8))\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(int(peak.split()[1]) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1300  # all 11 networks with their memory take 1,700 MB


def test_profile_cascade_adds_faces_and_finds_none_twice(photos: list[np.ndarray]) -> None:
    photo = photos[0]
    front = HaarDetector(DetectorSettings()).detect(photo)[0]
    both = HaarDetector(DetectorSettings(profile=True)).detect(photo)[0].astype(np.float32)
    overlaps = iou(both, both)
    np.fill_diagonal(overlaps, 0)
    assert len(both) >= len(front)
    assert overlaps.max() < 0.35


@pytest.mark.parametrize("content", [b"", b"this is no network", b"\x08\x07" * 100])
def test_refuses_a_file_that_is_not_yunet(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other.onnx"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="is not YuNet"):
        YuNetNetwork(DetectorSettings(yunet_model=file))


def test_imports_openvino_without_its_telemetry(model: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from crowdmood.core.settings import DetectorSettings\n"
        "from detector.yunet_network import YuNetNetwork\n"
        f"YuNetNetwork(DetectorSettings(yunet_model=Path({str(model)!r})))\n"
        "print(sorted(m for m in sys.modules if m.startswith('openvino_telemetry.')), 'openvino' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"
