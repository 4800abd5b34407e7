"""The detector's stage on a real server: bad frames, too many faces, regions, and several workers."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from prometheus_client import REGISTRY

from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import BusSettings, DetectorSettings, load
from crowdmood.domain.messages import Faces, Frame, FrameRef, FramesLost, decode
from detector.finder import FaceFinder, load_finder
from detector.haar import HaarDetector
from detector.regions import Region
from detector.service import DetectorStage

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


def frame(frame_id: int, jpeg: bytes, width: int = 640, height: int = 480) -> Frame:
    return Frame(FrameRef("north", "run-1", frame_id, frame_id * 200, width, height, True), jpeg)


def jpeg(image: np.ndarray, space: str) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), 90, space))


def work(bus: Bus, settings: BusSettings, stage: DetectorStage, name: str = "one") -> None:
    Worker(stage, bus, settings, name, threading.Event()).run(drain=True)


def faces(bus: Bus) -> list[Faces]:
    found = [decode(fields) for _, fields in bus.connection.client.xrange(bus.keys.stream("faces"))]
    return [message for message in found if isinstance(message, Faces)]


def finder(detector: Any, **more: Any) -> FaceFinder:
    return FaceFinder(detector, max_megapixels=50, **({"max_faces": 5000} | more))


class GridDetector:
    """Returns a face at every tenth pixel, with scores that rise from left to right."""

    name = "haar"
    colour = "gray"

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0, width, 10), np.arange(0, height, 10)))
        boxes = np.stack([x, y, x + 20, y + 20], axis=1).astype(np.int32)
        return boxes, (x / width).astype(np.float32)

    def searched_pixels(self, width: int, height: int) -> int:
        return width * height


def test_bad_frames_become_dead_letters_by_reason_and_their_loss_is_published(
    bus: Bus, bus_settings: BusSettings
) -> None:
    good = jpeg(np.full((480, 640, 1), 90, np.uint8), "GRAY")
    bad = [b"", b"GIF89a", good[: len(good) // 2], jpeg(np.zeros((8000, 8000, 1), np.uint8), "GRAY")]
    bus.publish([("frames", frame(i, data)) for i, data in enumerate([*bad, good])])
    work(bus, bus_settings, DetectorStage(finder(HaarDetector(DetectorSettings())), {}))
    assert [message.ref.frame_id for message in faces(bus)] == [4]
    letters = [fields for _, fields in bus.connection.client.xrange(bus.keys.stream("dead"))]
    assert [letter[b"reason"] for letter in letters] == [b"undecodable"] * 3 + [b"frame_too_large"]
    published = [decode(fields) for _, fields in bus.connection.client.xrange(bus.keys.stream("control"))]
    assert [lost.first_frame_id for lost in published if isinstance(lost, FramesLost)] == [0, 1, 2, 3]


def test_publishes_the_loss_of_a_frame_without_a_size(bus: Bus, bus_settings: BusSettings) -> None:
    fields = frame(7, b"").to_fields() | {b"width": b"0"}
    bus.connection.client.xadd(bus.keys.stream("frames"), fields)
    work(bus, bus_settings, DetectorStage(finder(HaarDetector(DetectorSettings())), {}))
    (published,) = [decode(fields) for _, fields in bus.connection.client.xrange(bus.keys.stream("control"))]
    assert published == FramesLost("north", "run-1", 7, 7, "undecodable")


@pytest.mark.parametrize(("channels", "space"), [(1, "GRAY"), (3, "BGR"), (4, "CMYK")])
def test_processes_frames_of_one_three_and_four_channels(
    bus: Bus, bus_settings: BusSettings, channels: int, space: str
) -> None:
    bus.publish([("frames", frame(0, jpeg(np.full((48, 64, channels), 90, np.uint8), space)))])
    work(bus, bus_settings, DetectorStage(finder(HaarDetector(DetectorSettings())), {}))
    (message,) = faces(bus)
    assert message.crops.shape == (0, 48, 48)
    assert message.detector == "haar"


def dropped() -> float:
    labels = {"stage": "detector", "reason": "too_many"}
    return REGISTRY.get_sample_value("crowdmood_faces_dropped_total", labels) or 0


def test_drops_the_least_certain_of_20_000_detections(bus: Bus, bus_settings: BusSettings) -> None:
    image = jpeg(np.full((1000, 2000, 1), 90, np.uint8), "GRAY")
    bus.publish([("frames", frame(0, image, 2000, 1000))])
    before = dropped()
    work(bus, bus_settings, DetectorStage(finder(GridDetector()), {}))
    (message,) = faces(bus)
    assert message.boxes.shape == (5000, 4)
    assert message.crops.shape == (5000, 48, 48)
    assert message.boxes[:, 0].min() >= 1490  # the right quarter has the highest scores
    assert dropped() - before == 15_000


def test_frames_with_few_faces_do_not_count_in_metrics(bus: Bus, bus_settings: BusSettings) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("crowdmood_faces_total", {"stage": "detector"}) or 0

    sizes = [(100, 30), (100, 40), (100, 20), (30, 10)]  # 30, 40, 20 and 3 faces
    images = [jpeg(np.full((height, width, 1), 90, np.uint8), "GRAY") for width, height in sizes]
    bus.publish([("frames", frame(i, image, *sizes[i])) for i, image in enumerate(images)])
    before = counted()
    work(bus, bus_settings, DetectorStage(finder(GridDetector()), {}, min_faces=30))
    assert [len(message.boxes) for message in faces(bus)] == [30, 40, 20, 3]
    assert counted() - before == 70


def test_masked_half_is_neither_searched_nor_cropped(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(0, jpeg(np.full((480, 640, 1), 250, np.uint8), "GRAY")))])
    work(bus, bus_settings, DetectorStage(finder(GridDetector()), {"north": Region(mask=[LEFT_HALF])}))
    (message,) = faces(bus)
    middles = (message.boxes[:, 0] + message.boxes[:, 2]) / 2
    assert middles.min() >= 320
    assert middles.max() > 620
    assert message.crops[:, :, 24:].min() > 240


def test_finds_no_faces_in_a_frame_that_is_masked_completely(bus: Bus, bus_settings: BusSettings) -> None:
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    bus.publish([("frames", frame(0, jpeg(np.full((480, 640, 1), 250, np.uint8), "GRAY")))])
    work(bus, bus_settings, DetectorStage(finder(GridDetector()), {"north": Region(mask=[everything])}))
    (message,) = faces(bus)
    assert len(message.boxes) == 0


def test_boxes_are_in_pixels_of_the_frame_when_it_is_decoded_at_half_size() -> None:
    data = jpeg(np.full((480, 640, 1), 250, np.uint8), "GRAY")
    whole = finder(GridDetector()).find(data, Region())
    reduced = finder(GridDetector(), reduction=2).find(data, Region())
    assert reduced.boxes.max() == pytest.approx(whole.boxes.max(), abs=40)
    assert len(reduced.boxes) == len(whole.boxes) // 4
    assert (reduced.boxes % 2 == 0).all()


class TiltedGridDetector(GridDetector):
    """Returns the same faces, tilted by 0.3 radians."""

    def detect_with_eyes(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        boxes, scores = self.detect(image)
        right = boxes[:, :2].astype(np.float32)
        return boxes, scores, np.stack([right, right + np.array([np.cos(0.3), np.sin(0.3)], np.float32)], axis=1)


def test_rotates_faces_upright_only_with_align_and_a_detector_of_eyes() -> None:
    stripes = np.tile((np.arange(640) // 8 % 2 * 200).astype(np.uint8)[None, :, None], (480, 1, 1))
    data = jpeg(stripes, "GRAY")
    unaligned, align_off, no_eyes, aligned = (
        FaceFinder(detector, 50, 5000, align=align).find(data, Region(mask=[LEFT_HALF])).crops.astype(int)
        for detector, align in (
            (GridDetector(), False),
            (TiltedGridDetector(), False),
            (GridDetector(), True),
            (TiltedGridDetector(), True),
        )
    )
    assert np.array_equal(unaligned, align_off)
    assert np.array_equal(unaligned, no_eyes)
    # In rotated crops the stripes are not vertical.
    change, aligned_change = (np.abs(np.diff(crops, axis=1)).mean() for crops in (unaligned, aligned))
    assert 5 * change < aligned_change
    assert aligned_change > 1


@pytest.mark.parametrize("kind", ["haar", "yunet"])
def test_frame_has_the_same_faces_in_every_worker(bus: Bus, bus_settings: BusSettings, assets: Path, kind: str) -> None:
    photos = sorted((assets / "crowds" / "images").iterdir(), key=lambda photo: photo.stat().st_size)[:12:3]
    model = assets / "models" / "face_detection_yunet_2023mar.onnx"
    settings = load(detector={"kind": kind, "yunet_model": str(model)})
    results = []
    for names in (["one"], ["two", "three"]):
        bus.publish([("frames", frame(i, photo.read_bytes())) for i, photo in enumerate(photos)])
        workers = [
            threading.Thread(target=work, args=(bus, bus_settings, DetectorStage(load_finder(settings), {}), name))
            for name in names
        ]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()
        results.append({m.ref.frame_id: m.to_fields() for m in faces(bus)})
        bus.connection.client.delete(bus.keys.stream("faces"))
    assert len(results[0]) == len(photos)
    assert sum(int(fields[b"n"]) for fields in results[0].values()) > 2
    assert results[0] == results[1]
