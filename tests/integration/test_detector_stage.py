"""The detector's stage on a real server: bad frames, crowds beyond measure, regions, and several workers."""

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
from detector.finder import FaceFinder
from detector.haar import HaarDetector
from detector.loading import load_finder
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


class Everywhere:
    """Stands in for a detector: a face at every tenth pixel, more certain from left to right."""

    name = "haar"
    colour = "gray"

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0, width, 10), np.arange(0, height, 10)))
        boxes = np.stack([x, y, x + 20, y + 20], axis=1).astype(np.int32)
        return boxes, (x / width).astype(np.float32)

    def searched_pixels(self, width: int, height: int) -> int:
        return width * height


def test_every_bad_frame_is_counted_by_its_reason_and_the_aggregator_hears_of_each(
    bus: Bus, bus_settings: BusSettings
) -> None:
    good = jpeg(np.full((480, 640, 1), 90, np.uint8), "GRAY")
    bad = [b"", b"GIF89a", good[: len(good) // 2], jpeg(np.zeros((8000, 8000, 1), np.uint8), "GRAY")]
    bus.publish([("frames", frame(i, data)) for i, data in enumerate([*bad, good])])
    work(bus, bus_settings, DetectorStage(finder(HaarDetector(DetectorSettings())), {}))
    assert [message.ref.frame_id for message in faces(bus)] == [4]
    letters = [fields for _, fields in bus.connection.client.xrange(bus.keys.stream("dead"))]
    assert [letter[b"reason"] for letter in letters] == [b"undecodable"] * 3 + [b"frame_too_large"]
    told = [decode(fields) for _, fields in bus.connection.client.xrange(bus.keys.stream("control"))]
    assert [lost.first_frame_id for lost in told if isinstance(lost, FramesLost)] == [0, 1, 2, 3]


def test_the_aggregator_hears_of_a_frame_that_claims_to_have_no_size(bus: Bus, bus_settings: BusSettings) -> None:
    fields = frame(7, b"").to_fields() | {b"width": b"0"}
    bus.connection.client.xadd(bus.keys.stream("frames"), fields)
    work(bus, bus_settings, DetectorStage(finder(HaarDetector(DetectorSettings())), {}))
    (told,) = [decode(fields) for _, fields in bus.connection.client.xrange(bus.keys.stream("control"))]
    assert told == FramesLost("north", "run-1", 7, 7, "undecodable")


@pytest.mark.parametrize(("channels", "space"), [(1, "GRAY"), (3, "BGR"), (4, "CMYK")])
def test_frames_of_one_three_and_four_channels_go_on(
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


def test_20_000_detections_are_cut_to_the_most_certain_and_the_frame_goes_on(
    bus: Bus, bus_settings: BusSettings
) -> None:
    picture = jpeg(np.full((1000, 2000, 1), 90, np.uint8), "GRAY")
    bus.publish([("frames", frame(0, picture, 2000, 1000))])
    before = dropped()
    work(bus, bus_settings, DetectorStage(finder(Everywhere()), {}))
    (message,) = faces(bus)
    assert message.boxes.shape == (5000, 4)
    assert message.crops.shape == (5000, 48, 48)
    assert message.boxes[:, 0].min() >= 1490  # the right quarter: the most certain
    assert dropped() - before == 15_000


def test_a_masked_half_is_neither_searched_nor_cropped(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(0, jpeg(np.full((480, 640, 1), 250, np.uint8), "GRAY")))])
    work(bus, bus_settings, DetectorStage(finder(Everywhere()), {"north": Region(mask=[LEFT_HALF])}))
    (message,) = faces(bus)
    middles = (message.boxes[:, 0] + message.boxes[:, 2]) / 2
    assert middles.min() >= 320
    assert middles.max() > 620
    assert message.crops[:, :, 24:].min() > 240


def test_a_camera_that_is_masked_altogether_has_nobody(bus: Bus, bus_settings: BusSettings) -> None:
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    bus.publish([("frames", frame(0, jpeg(np.full((480, 640, 1), 250, np.uint8), "GRAY")))])
    work(bus, bus_settings, DetectorStage(finder(Everywhere()), {"north": Region(mask=[everything])}))
    (message,) = faces(bus)
    assert len(message.boxes) == 0


def test_boxes_are_in_pixels_of_the_frame_when_it_was_decoded_smaller() -> None:
    data = jpeg(np.full((480, 640, 1), 250, np.uint8), "GRAY")
    whole = finder(Everywhere()).find(data, Region())
    reduced = finder(Everywhere(), reduction=2).find(data, Region())
    assert reduced.boxes.max() == pytest.approx(whole.boxes.max(), abs=40)
    assert len(reduced.boxes) == len(whole.boxes) // 4
    assert (reduced.boxes % 2 == 0).all()


class Tilted(Everywhere):
    """The same, each face turned by 0.3 radians."""

    def detect_with_eyes(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        boxes, scores = self.detect(image)
        right = boxes[:, :2].astype(np.float32)
        return boxes, scores, np.stack([right, right + np.array([np.cos(0.3), np.sin(0.3)], np.float32)], axis=1)


def test_faces_are_turned_upright_only_where_it_is_asked_for_and_the_eyes_are_known() -> None:
    stripes = np.tile((np.arange(640) // 8 % 2 * 200).astype(np.uint8)[None, :, None], (480, 1, 1))
    data = jpeg(stripes, "GRAY")
    as_it_is, not_asked, unknown, turned = (
        FaceFinder(detector, 50, 5000, align=align).find(data, Region(mask=[LEFT_HALF])).crops.astype(int)
        for detector, align in ((Everywhere(), False), (Tilted(), False), (Everywhere(), True), (Tilted(), True))
    )
    assert np.array_equal(as_it_is, not_asked)
    assert np.array_equal(as_it_is, unknown)
    # Turned, the stripes no longer stand upright.
    downward, turned_downward = (np.abs(np.diff(crops, axis=1)).mean() for crops in (as_it_is, turned))
    assert 5 * downward < turned_downward
    assert turned_downward > 1


@pytest.mark.parametrize("kind", ["haar", "yunet"])
def test_a_frame_gives_the_same_faces_in_whichever_worker(
    bus: Bus, bus_settings: BusSettings, assets: Path, kind: str
) -> None:
    photos = sorted((assets / "crowds" / "images").iterdir(), key=lambda photo: photo.stat().st_size)[:12:3]
    model = assets / "models" / "face_detection_yunet_2023mar.onnx"
    settings = load(detector={"kind": kind, "yunet_model": str(model)})
    answers = []
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
        answers.append({m.ref.frame_id: m.to_fields() for m in faces(bus)})
        bus.connection.client.delete(bus.keys.stream("faces"))
    assert len(answers[0]) == len(photos)
    assert sum(int(fields[b"n"]) for fields in answers[0].values()) > 2
    assert answers[0] == answers[1]
