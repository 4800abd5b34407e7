"""The classifier's stage on a real server: faces of many frames in one batch, and what becomes of bad ones."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from classifier import DEFAULT_MODEL
from classifier.engines import load_engine
from classifier.model_swap import ModelSwap
from classifier.service import ClassifierStage
from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import BusSettings, ClassifierSettings
from crowdmood.domain.labels import FER_LABELS, LABELS
from crowdmood.domain.messages import Emotions, Faces, FrameRef, decode
from crowdmood.store.model_choices import ModelChoices
from tests.waiting import eventually


class Marked:
    """Stands in for a network: a face's grey value decides its label.

    Black faces give probabilities that are no numbers; white ones are hardly readable; those of 254 give a `readable`
    that is no number.
    """

    model_id = "marked"
    name = "stand-in"
    labels: tuple[str, ...] = LABELS
    confusions = b""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append(len(faces))
        greys, k = faces[:, 0, 0], len(self.labels)
        probabilities = np.eye(k, dtype=np.float32)[greys % k]
        probabilities[greys == 0] = np.nan
        readable = np.ones(len(faces), np.float32)
        readable[greys == 255], readable[greys == 254] = 0.125, np.nan
        return probabilities, readable


def faces(frame_id: int, greys: list[int], side: int = 48) -> Faces:
    n = len(greys)
    boxes = np.tile(np.array([10, 10, 10 + side, 10 + side], np.int32), (n, 1))
    crops = np.tile(np.array(greys, np.uint8)[:, None, None], (1, 48, 48))
    crops[:, 1::2, ::2] ^= 128  # detail, so that they are sharp
    ref = FrameRef(f"camera-{frame_id % 3}", "run-1", frame_id, frame_id * 200, 640, 480, True)
    return Faces(ref, boxes, np.ones(n, np.float32), crops, "haar")


def stage(server_url: str, settings: BusSettings, classifier: ClassifierSettings) -> ClassifierStage:
    choices = ModelChoices(server_url, settings.key_prefix, "live")
    return ClassifierStage(ModelSwap(classifier, choices, lambda: classifier))


def classify(
    server_url: str,
    settings: BusSettings,
    frames: list[Faces],
    monkeypatch: pytest.MonkeyPatch,
    labels: tuple[str, ...] = LABELS,
) -> tuple[Bus, Marked]:
    network = Marked()
    network.labels = labels
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: network)
    bus = Bus(server_url, settings)
    bus.publish([("faces", frame) for frame in frames])
    marking = stage(server_url, settings, ClassifierSettings(max_batch_size=64, batch_wait_ms=5))
    Worker(marking, bus, settings, "one", threading.Event()).run(drain=True)
    return bus, network


def emotions(bus: Bus) -> list[Emotions]:
    found = [decode(fields) for _, fields in bus.connection.client.xrange(bus.keys.stream("emotions"))]
    return [message for message in found if isinstance(message, Emotions)]


def test_every_second_frame_is_seen_in_the_mirror(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [faces(number, [3]) for number in range(4)]
    for frame in frames:
        frame.crops[:, :, 24:] = 5
    bus, _ = classify(server_url, bus_settings, frames, monkeypatch)
    seen = {message.ref.frame_id: int(message.probabilities.argmax()) for message in emotions(bus)}
    assert seen == {0: 3, 1: 5, 2: 3, 3: 5}


def test_faces_of_many_frames_and_cameras_share_a_batch_and_come_out_by_frame(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [3, 0, 1, 7, 0, 2]
    frames = [faces(i, [1 + (i + face) % 200 for face in range(n)]) for i, n in enumerate(sizes)]
    bus, network = classify(server_url, bus_settings, frames, monkeypatch)
    assert network.calls == [sum(sizes)]
    out = emotions(bus)
    assert [message.ref for message in out] == [frame.ref for frame in frames]
    for message, frame in zip(out, frames, strict=True):
        assert np.array_equal(message.probabilities.argmax(axis=1), frame.crops[:, 0, 0] % 8)
        assert np.array_equal(message.boxes, frame.boxes)
        assert (message.model_id, message.detector) == ("marked/stand-in", "haar")


def test_a_frame_with_three_thousand_faces_is_split_and_comes_out_whole(
    server_url: str, bus_settings: BusSettings
) -> None:
    crowd = faces(0, [1 + face % 200 for face in range(3000)])
    crowd.crops[:] = np.random.default_rng(0).integers(0, 256, crowd.crops.shape)
    bus = Bus(server_url, bus_settings)
    bus.publish([("faces", crowd)])
    judging = stage(server_url, bus_settings, ClassifierSettings())
    Worker(judging, bus, bus_settings, "one", threading.Event()).run(drain=True)
    (message,) = emotions(bus)
    engine = load_engine(DEFAULT_MODEL, ClassifierSettings())
    in_pieces = np.concatenate([engine.predict(part)[0] for part in np.array_split(crowd.crops, 7)])
    assert np.array_equal(message.probabilities, in_pieces.astype(np.float16))
    assert np.array_equal(message.boxes, crowd.boxes)


def test_a_worker_is_ready_only_when_its_network_is_warm_and_tells_which_it_is(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = Bus(server_url, bus_settings)
    ready: list[dict[str, str]] = []

    class Watched(Marked):
        def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            ready.append(bus.workers("classifier"))
            return super().predict(faces)

    def loaded_slowly(*_: object) -> Watched:
        network = Watched()
        network.predict(np.zeros((1, 48, 48), np.uint8))  # as every engine warms itself
        return network

    monkeypatch.setattr("classifier.model_swap.load_engine", loaded_slowly)
    bus.publish([("faces", faces(0, [1]))])
    judging = stage(server_url, bus_settings, ClassifierSettings())
    Worker(judging, bus, bus_settings, "one", threading.Event()).run(drain=True)
    assert ready == [{}, {"one": "marked/stand-in"}]
    assert bus.workers("classifier") == {}


def test_the_network_in_use_shows_in_the_metrics_also_after_a_swap(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(Marked):
        model_id = "other"

    networks = {DEFAULT_MODEL: Marked(), Path("/other"): Other()}
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda folder, _: networks[folder])
    bus, stop = Bus(server_url, bus_settings), threading.Event()
    judging = stage(server_url, bus_settings, ClassifierSettings())
    worker = threading.Thread(target=Worker(judging, bus, bus_settings, "one", stop).run)

    def in_use(name: str) -> bool:
        return REGISTRY.get_sample_value("crowdmood_model", {"model": name, "engine": "stand-in"}) == 1

    worker.start()
    eventually(lambda: bus.healthy_workers("classifier"))
    assert in_use("marked") and not in_use("other")
    ModelChoices(server_url, bus_settings.key_prefix, "live").choose("/other", "other")
    eventually(lambda: in_use("other"))
    assert not in_use("marked")
    stop.set()
    worker.join()


def test_a_batch_waits_for_more_faces_only_so_long_and_not_at_all_when_it_is_full(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: Marked())
    bus = Bus(server_url, bus_settings)
    for greys, wait_ms, least_s, most_s in (([1] * 3, 300, 0.2, 5), ([1] * 64, 10_000, 0, 5)):
        judging = stage(server_url, bus_settings, ClassifierSettings(max_batch_size=64, batch_wait_ms=wait_ms))
        worker = Worker(judging, bus, bus_settings, "one", threading.Event())
        worker.start()
        bus.publish([("faces", faces(0, greys))])
        started = time.monotonic()
        assert worker.poll() == 1
        assert least_s <= time.monotonic() - started < most_s
        judging.close()


def test_values_that_are_no_numbers_cost_their_frame_and_no_other(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def figures() -> tuple[float, float]:
        labels = {"stage": "classifier", "reason": "not_finite"}
        letters = REGISTRY.get_sample_value("crowdmood_dead_letters_total", labels) or 0
        return letters, REGISTRY.get_sample_value("crowdmood_batch_confidence_ratio_sum") or 0

    letters_before, confidence_before = figures()
    frames = [faces(0, [1, 2]), faces(1, [3, 0]), faces(2, [4])]
    bus, _ = classify(server_url, bus_settings, frames, monkeypatch)
    assert [message.ref.frame_id for message in emotions(bus)] == [0, 2]
    (letter,) = bus.connection.client.xrange(bus.keys.stream("dead"))
    assert letter[1][b"reason"] == b"not_finite"
    assert sum(map(len, letter[1].values())) < 48 * 48  # no pixels
    assert bus.backlog("control") == 1
    assert figures() == (letters_before + 1, confidence_before + 1)  # of the faces with finite values


def test_a_readable_value_that_is_no_number_costs_its_frame_and_no_other(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, _ = classify(server_url, bus_settings, [faces(0, [1]), faces(1, [3, 254]), faces(2, [4])], monkeypatch)
    assert [message.ref.frame_id for message in emotions(bus)] == [0, 2]
    ((_, letter),) = bus.connection.client.xrange(bus.keys.stream("dead"))
    assert letter[b"reason"] == b"not_finite"


@pytest.mark.parametrize("labels", [LABELS, FER_LABELS], ids=["eight", "seven"])
def test_messages_hold_as_many_labels_as_the_network_knows_also_without_faces(
    labels: tuple[str, ...], server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, _ = classify(server_url, bus_settings, [faces(0, [6, 6]), faces(1, [])], monkeypatch, labels)
    assert [message.probabilities.shape for message in emotions(bus)] == [(2, len(labels)), (0, len(labels))]


@pytest.mark.parametrize("crops", [b"", bytes(2 * 48 * 40), bytes(4 * 2 * 48 * 48)], ids=["none", "narrow", "float"])
def test_crops_of_another_shape_or_dtype_cost_their_frame_and_no_other(
    crops: bytes, server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = faces(1, [1, 2]).to_fields() | {b"crops": crops}
    client = Bus(server_url, bus_settings).connection.client
    client.xadd(Bus(server_url, bus_settings).keys.stream("faces"), bad)
    bus, _ = classify(server_url, bus_settings, [faces(2, [3])], monkeypatch)
    assert [message.ref.frame_id for message in emotions(bus)] == [2]
    (letter,) = bus.connection.client.xrange(bus.keys.stream("dead"))
    assert letter[1][b"reason"] == b"undecodable"
    assert b"crops" not in letter[1]


def test_a_small_face_has_less_quality_and_a_doubtful_one_is_less_readable(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [faces(0, [1], side=12), faces(1, [1, 255], side=90)]
    bus, _ = classify(server_url, bus_settings, frames, monkeypatch)
    assert [message.quality.tolist() for message in emotions(bus)] == [[0.25], [1.0, 1.0]]
    assert [message.readable.tolist() for message in emotions(bus)] == [[1.0], [1.0, 0.125]]
