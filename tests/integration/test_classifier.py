"""The classifier on the real network, and its stage on a real server."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from classifier import DEFAULT_MODEL
from classifier.card import GRAPH_FILE, load_card
from classifier.engines import Engine, load_engine
from classifier.service import ClassifierStage
from crowdmood import LABELS, metrics
from crowdmood.errors import ModelError
from crowdmood.messages import Emotions, Faces, FrameRef, decode
from crowdmood.settings import BusSettings, ClassifierSettings
from crowdmood.streams.bus import Bus
from crowdmood.worker import Worker

SHIPPED = sorted(folder for folder in DEFAULT_MODEL.parent.iterdir() if folder.is_dir())


WAYS = [
    (folder, engine, precision)
    for folder in SHIPPED
    for engine, precision in (("tensorflow", "f32"), ("openvino", "f32"), ("openvino", "bf16"))
    if engine == "tensorflow" or (folder / GRAPH_FILE).exists()
]
"""Every shipped network in every engine and precision that it is shipped for."""


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: f"{way[0].name}-{way[1]}-{way[2]}")
def way(request: pytest.FixtureRequest) -> tuple[Path, str, str]:
    chosen: tuple[Path, str, str] = request.param
    return chosen


@pytest.fixture(scope="module")
def engine(way: tuple[Path, str, str]) -> Engine:
    model, engine, precision = way
    return load_engine(model, ClassifierSettings(engine=engine, precision=precision, max_batch_size=32))


@pytest.fixture(scope="module")
def public_test(assets: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(assets / "data" / "fer2013.npz") as data:
        chosen = data["usage"] == 1
        return data["images"][chosen], data["labels"][chosen]


def test_a_shipped_network_does_on_public_test_what_its_card_says(
    way: tuple[Path, str, str], engine: Engine, public_test: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = public_test
    probabilities, is_face = engine.predict(images)
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    card = load_card(way[0])
    assert engine.model_id == card.model_id
    if way[1] == "tensorflow":
        assert f"{accuracy:.4f}" == f"{card.metrics.accuracy:.4f}"
    else:
        assert accuracy == pytest.approx(card.metrics.accuracy, abs=0.002)
    assert card.metrics.accuracy >= 0.60
    assert sum(file.stat().st_size for file in way[0].iterdir()) <= 20e6
    # Nearly all of them are faces; a network that does not tell says so by ones.
    assert ((is_face > 0.5).mean() > 0.95) if "face" in card.outputs else (is_face == 1).all()


@pytest.mark.parametrize(("precision", "least"), [("f32", 0.999), ("bf16", 0.994)])
def test_openvino_sees_what_tensorflow_sees(
    precision: str, least: float, public_test: tuple[np.ndarray, np.ndarray]
) -> None:
    images, _ = public_test
    reference, is_face = load_engine(DEFAULT_MODEL, ClassifierSettings(engine="tensorflow")).predict(images)
    fast = load_engine(DEFAULT_MODEL, ClassifierSettings(engine="openvino", precision=precision))
    probabilities, fast_is_face = fast.predict(images)
    assert (probabilities.argmax(axis=1) == reference.argmax(axis=1)).mean() >= least
    assert np.abs(fast_is_face - is_face).max() < 0.1
    assert fast.name == f"openvino-{precision}"


def test_the_number_of_threads_changes_no_bit(public_test: tuple[np.ndarray, np.ndarray]) -> None:
    one, two = (load_engine(DEFAULT_MODEL, ClassifierSettings(threads=threads)) for threads in (1, 2))
    faces = public_test[0][:300]
    assert np.array_equal(one.predict(faces)[0], two.predict(faces)[0])


def test_openvino_is_taken_where_there_is_a_graph_and_needs_no_tensorflow() -> None:
    code = (
        "import sys; from classifier import DEFAULT_MODEL; from classifier.engines import load_engine; "
        "from crowdmood.settings import ClassifierSettings; "
        "print(type(load_engine(DEFAULT_MODEL, ClassifierSettings())).__name__, 'tensorflow' in sys.modules, "
        "[name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["OpenVINOEngine", "False", "[]"]


def test_what_an_engine_cannot_run_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(DEFAULT_MODEL, folder)
    card = json.loads((folder / "card.json").read_text())
    card["files"] = [entry for entry in card["files"] if entry["name"] != GRAPH_FILE]
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"holds no model\.xml"):
        load_engine(folder, ClassifierSettings(engine="openvino"))
    with pytest.raises(ModelError, match="float32 only"):
        load_engine(folder, ClassifierSettings(engine="tensorflow", precision="bf16"))
    (folder / "model.bin").write_bytes(b"cut short")
    with pytest.raises(ModelError, match="does not match its card"):
        load_engine(folder, ClassifierSettings())


def test_a_face_gets_the_same_bits_whatever_it_is_batched_with(
    engine: Engine, public_test: tuple[np.ndarray, np.ndarray]
) -> None:
    faces = public_test[0][:150]
    together, is_face = engine.predict(faces)
    order = np.random.default_rng(0).permutation(len(faces))
    shuffled = np.empty_like(together)
    shuffled[order], mixed_is_face = engine.predict(faces[order])
    alone = np.concatenate([engine.predict(faces[i : i + 1])[0] for i in range(40)])
    assert np.array_equal(shuffled, together)
    assert np.array_equal(mixed_is_face, is_face[order])
    assert np.array_equal(alone, together[:40])


def test_no_faces_give_no_probabilities(engine: Engine) -> None:
    probabilities, is_face = engine.predict(np.empty((0, 48, 48), np.uint8))
    assert (probabilities.shape, is_face.shape) == ((0, 7), (0,))


class Marked:
    """Stands in for a network: a face's grey decides its label; black ones give no numbers, white ones are no face."""

    model_id = "marked"
    name = "stand-in"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append(len(faces))
        probabilities = np.eye(7, dtype=np.float32)[faces[:, 0, 0] % 7]
        probabilities[faces[:, 0, 0] == 0] = np.nan
        return probabilities, np.where(faces[:, 0, 0] == 255, 0.125, 1).astype(np.float32)


def faces(frame_id: int, greys: list[int], side: int = 48) -> Faces:
    n = len(greys)
    boxes = np.tile(np.array([10, 10, 10 + side, 10 + side], np.int32), (n, 1))
    crops = np.tile(np.array(greys, np.uint8)[:, None, None], (1, 48, 48))
    crops[:, 1::2, ::2] ^= 128  # detail, so that they are sharp
    ref = FrameRef(f"camera-{frame_id % 3}", "run-1", frame_id, frame_id * 200, 640, 480, True)
    return Faces(ref, boxes, np.ones(n, np.float32), crops, "haar")


def classify(
    server_url: str, settings: BusSettings, frames: list[Faces], monkeypatch: pytest.MonkeyPatch
) -> tuple[Bus, Marked]:
    network = Marked()
    monkeypatch.setattr("classifier.service.load_engine", lambda *_: network)
    bus = Bus(server_url, settings)
    bus.publish([("faces", frame) for frame in frames])
    stage = ClassifierStage(ClassifierSettings(max_batch_size=64, batch_wait_ms=5))
    Worker(stage, bus, settings, "one", threading.Event()).run(drain=True)
    return bus, network


def emotions(bus: Bus) -> list[Emotions]:
    found = [decode(fields) for _, fields in bus.connection.client.xrange(bus.keys.stream("emotions"))]
    return [message for message in found if isinstance(message, Emotions)]


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
        assert np.array_equal(message.probabilities.argmax(axis=1), frame.crops[:, 0, 0] % 7)
        assert np.array_equal(message.boxes, frame.boxes)
        assert (message.model_id, message.detector) == ("marked/stand-in", "haar")


def test_a_frame_with_three_thousand_faces_comes_out_whole(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = faces(0, [1 + face % 200 for face in range(3000)])
    bus, _ = classify(server_url, bus_settings, [crowd], monkeypatch)
    (message,) = emotions(bus)
    assert message.probabilities.shape == (3000, 7)
    assert np.array_equal(message.probabilities.argmax(axis=1), crowd.crops[:, 0, 0] % 7)


def test_the_network_in_use_shows_in_the_metrics(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    classify(server_url, bus_settings, [], monkeypatch)
    assert metrics.MODEL.labels("marked", "stand-in")._value.get() == 1


def test_values_that_are_no_numbers_cost_their_frame_and_no_other(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [faces(0, [1, 2]), faces(1, [3, 0]), faces(2, [4])]
    bus, _ = classify(server_url, bus_settings, frames, monkeypatch)
    assert [message.ref.frame_id for message in emotions(bus)] == [0, 2]
    (letter,) = bus.connection.client.xrange(bus.keys.stream("dead"))
    assert letter[1][b"reason"] == b"not_finite"
    assert bus.backlog("control") == 1


def test_a_small_face_and_a_doubtful_one_have_less_quality(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [faces(0, [1], side=12), faces(1, [1, 255], side=90)]
    bus, _ = classify(server_url, bus_settings, frames, monkeypatch)
    assert [message.quality.tolist() for message in emotions(bus)] == [[0.25], [1.0, 0.125]]


def test_the_labels_order_is_fer2013s() -> None:
    assert load_card(DEFAULT_MODEL).labels == LABELS
