"""The classifier's stage on a real server: faces of many frames in one batch, and invalid values."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from classifier import DEFAULT_MODEL
from classifier.engines import load_engine
from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import BusSettings, ClassifierSettings
from crowdmood.domain.labels import FER_LABELS, LABELS
from crowdmood.domain.messages import Faces
from crowdmood.store.model_choices import ModelChoices
from tests.integration.classifier.stages import GreyNetwork, emotions, faces, stage
from tests.waiting import eventually


def classify(
    server_url: str,
    settings: BusSettings,
    frames: list[Faces],
    monkeypatch: pytest.MonkeyPatch,
    labels: tuple[str, ...] = LABELS,
    min_faces: int = 1,
) -> tuple[Bus, GreyNetwork]:
    network = GreyNetwork()
    network.labels = labels
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: network)
    bus = Bus(server_url, settings)
    bus.publish([("faces", frame) for frame in frames])
    classifying = stage(server_url, settings, ClassifierSettings(max_batch_size=64, batch_wait_ms=5), min_faces)
    Worker(classifying, bus, settings, "one", threading.Event()).run(drain=True)
    return bus, network


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_mirrors_every_second_frame(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [faces(number, [3]) for number in range(4)]
    for frame in frames:
        frame.crops[:, :, 24:] = 5
    bus, _ = classify(server_url, bus_settings, frames, monkeypatch)
    seen = {message.ref.frame_id: int(message.probabilities.argmax()) for message in emotions(bus)}
    assert seen == {0: 3, 1: 5, 2: 3, 3: 5}


def test_frames_with_few_faces_do_not_count_in_metrics(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("crowdmood_faces_total", "crowdmood_batch_faces_sum", "crowdmood_batch_confidence_ratio_count")

    def counted() -> list[float]:
        return [sample(name, **({"stage": "classifier"} if "total" in name else {})) or 0 for name in names]

    before = counted()
    classify(server_url, bus_settings, [faces(0, [1] * 9), faces(1, [1] * 3)], monkeypatch, min_faces=10)
    assert counted() == before
    again = bus_settings.model_copy(update={"key_prefix": f"{bus_settings.key_prefix}-again"})
    classify(server_url, again, [faces(0, [1] * 12), faces(1, [1] * 9)], monkeypatch, min_faces=10)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [12, 12, 1]


def test_faces_of_many_frames_and_cameras_share_a_batch_and_are_published_by_frame(
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
        assert (message.model_id, message.detector) == ("grey/test", "haar")


def test_splits_a_frame_with_three_thousand_faces_and_publishes_one_message(
    server_url: str, bus_settings: BusSettings
) -> None:
    crowd = faces(0, [1 + face % 200 for face in range(3000)])
    crowd.crops[:] = np.random.default_rng(0).integers(0, 256, crowd.crops.shape)
    bus = Bus(server_url, bus_settings)
    bus.publish([("faces", crowd)])
    classifying = stage(server_url, bus_settings, ClassifierSettings())
    Worker(classifying, bus, bus_settings, "one", threading.Event()).run(drain=True)
    (message,) = emotions(bus)
    engine = load_engine(DEFAULT_MODEL, ClassifierSettings())
    in_pieces = np.concatenate([engine.predict(part)[0] for part in np.array_split(crowd.crops, 7)])
    assert np.array_equal(message.probabilities, in_pieces.astype(np.float16))
    assert np.array_equal(message.boxes, crowd.boxes)


def test_worker_is_healthy_when_its_network_is_warm_and_its_heartbeat_names_the_network(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = Bus(server_url, bus_settings)
    ready: list[dict[str, str]] = []

    class Watched(GreyNetwork):
        def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            ready.append(bus.workers("classifier"))
            return super().predict(faces)

    def loaded_slowly(*_: object) -> Watched:
        network = Watched()
        network.predict(np.zeros((1, 48, 48), np.uint8))  # as every engine does when it is loaded
        return network

    monkeypatch.setattr("classifier.model_swap.load_engine", loaded_slowly)
    bus.publish([("faces", faces(0, [1]))])
    classifying = stage(server_url, bus_settings, ClassifierSettings())
    Worker(classifying, bus, bus_settings, "one", threading.Event()).run(drain=True)
    assert ready == [{}, {"one": "grey/test"}]
    assert bus.workers("classifier") == {}


def test_metric_names_the_network_in_use_after_a_swap(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(GreyNetwork):
        model_id = "other"

    networks = {DEFAULT_MODEL: GreyNetwork(), Path("/other"): Other()}
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda folder, _: networks[folder])
    bus, stop = Bus(server_url, bus_settings), threading.Event()
    classifying = stage(server_url, bus_settings, ClassifierSettings())
    worker = threading.Thread(target=Worker(classifying, bus, bus_settings, "one", stop).run)

    def in_use() -> list[float | None]:
        return [sample("crowdmood_model", model=name, engine="test") for name in ("grey", "other")]

    worker.start()
    eventually(lambda: bus.healthy_workers("classifier"))
    assert in_use() == [1, None]
    ModelChoices(server_url, bus_settings.key_prefix, "live").choose("/other", "other")
    eventually(lambda: in_use() == [0, 1])
    stop.set()
    worker.join()


def test_batch_waits_for_more_faces_up_to_a_limit_and_not_when_it_is_full(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: GreyNetwork())
    bus = Bus(server_url, bus_settings)
    for greys, wait_ms, least_s, most_s in (([1] * 3, 300, 0.2, 5), ([1] * 64, 10_000, 0, 5)):
        classifying = stage(server_url, bus_settings, ClassifierSettings(max_batch_size=64, batch_wait_ms=wait_ms))
        worker = Worker(classifying, bus, bus_settings, "one", threading.Event())
        worker.start()
        bus.publish([("faces", faces(0, greys))])
        started = time.monotonic()
        assert worker.poll() == 1
        assert least_s <= time.monotonic() - started < most_s
        classifying.close()


def test_nan_probabilities_make_a_dead_letter_of_their_frame_only(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead_letters() -> float:
        return sample("crowdmood_dead_letters_total", stage="classifier", reason="not_finite") or 0

    def confidence() -> float:
        return sample("crowdmood_batch_confidence_ratio_sum") or 0

    before = dead_letters(), confidence()
    frames = [faces(0, [1, 2]), faces(1, [3, 0]), faces(2, [4])]
    bus, _ = classify(server_url, bus_settings, frames, monkeypatch)
    assert [message.ref.frame_id for message in emotions(bus)] == [0, 2]
    (letter,) = bus.connection.client.xrange(bus.keys.stream("dead"))
    assert letter[1][b"reason"] == b"not_finite"
    assert sum(map(len, letter[1].values())) < 48 * 48  # no pixels
    assert bus.backlog("control") == 1
    assert dead_letters() == before[0] + 1
    assert confidence() == before[1] + 1  # of the faces with finite values


def test_nan_readable_makes_a_dead_letter_of_its_frame_only(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, _ = classify(server_url, bus_settings, [faces(0, [1]), faces(1, [3, 254]), faces(2, [4])], monkeypatch)
    assert [message.ref.frame_id for message in emotions(bus)] == [0, 2]
    ((_, letter),) = bus.connection.client.xrange(bus.keys.stream("dead"))
    assert letter[b"reason"] == b"not_finite"


@pytest.mark.parametrize("labels", [LABELS, FER_LABELS], ids=["eight", "seven"])
def test_messages_have_the_labels_of_the_network_also_without_faces(
    labels: tuple[str, ...], server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, _ = classify(server_url, bus_settings, [faces(0, [6, 6]), faces(1, [])], monkeypatch, labels)
    assert [message.probabilities.shape for message in emotions(bus)] == [(2, len(labels)), (0, len(labels))]


@pytest.mark.parametrize("crops", [b"", bytes(2 * 48 * 40), bytes(4 * 2 * 48 * 48)], ids=["none", "narrow", "float"])
def test_crops_of_another_shape_or_dtype_make_a_dead_letter_of_their_frame_only(
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


def test_small_face_has_a_lower_quality_and_doubtful_face_is_less_readable(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [faces(0, [1], side=12), faces(1, [1, 255], side=90)]
    bus, _ = classify(server_url, bus_settings, frames, monkeypatch)
    assert [message.quality.tolist() for message in emotions(bus)] == [[0.25], [1.0, 1.0]]
    assert [message.readable.tolist() for message in emotions(bus)] == [[1.0], [1.0, 0.125]]
