"""The engines on the shipped networks and real faces: they agree, and values do not depend on the batch."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import openvino

from classifier import DEFAULT_MODEL
from classifier.card import GRAPH_FILE, NETWORK_FILE, file_entry, load_card, save_card
from classifier.engines import Engine, load_engine
from classifier.engines.openvino import precisions
from crowdmood.core.errors import ModelError
from crowdmood.core.settings import ClassifierSettings
from crowdmood.domain.labels import FER_LABELS, LABELS
from training.crowd_faces import NO_LABEL, UNREADABLE, load_crowd_faces
from training.graph import save_graph

SHIPPED = sorted(folder for folder in DEFAULT_MODEL.parent.iterdir() if folder.is_dir())
WAYS = [
    (folder, engine, precision)
    for folder in SHIPPED
    for engine, precision in (("tensorflow", "f32"), ("openvino", "f32"), ("openvino", "bf16"), ("openvino", "f16"))
    if engine == "tensorflow" or (folder / GRAPH_FILE).exists()
]
"""Every shipped network with every engine and precision that it is shipped for."""


def name_of(way: tuple[Path, str, str]) -> str:
    return f"{way[0].name}-{way[1]}-{way[2]}"


@pytest.fixture(scope="module", params=WAYS, ids=name_of)
def way(request: pytest.FixtureRequest) -> tuple[Path, str, str]:
    chosen: tuple[Path, str, str] = request.param
    return chosen


@pytest.fixture(scope="module")
def engine(way: tuple[Path, str, str]) -> Engine:
    model, engine, precision = way
    return load_engine(model, ClassifierSettings(engine=engine, precision=precision))


@pytest.fixture(scope="module")
def public_test(assets: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(assets / "data" / "fer2013.npz") as data:
        chosen = data["usage"] == 1
        return data["images"][chosen], data["labels"][chosen]


@pytest.fixture(scope="module")
def some(public_test: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Enough faces of PublicTest for several calls of a network."""
    return public_test[0][:1000]


@pytest.fixture(scope="module")
def reference(some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return load_engine(DEFAULT_MODEL, ClassifierSettings(engine="tensorflow")).predict(some)


@pytest.mark.parametrize(
    "way",
    # The network of the baseline is slow.
    [pytest.param(way, marks=() if way[0] == DEFAULT_MODEL else pytest.mark.soak, id=name_of(way)) for way in WAYS],
    indirect=True,
)
def test_accuracy_of_a_shipped_network_is_that_of_its_card(
    way: tuple[Path, str, str], engine: Engine, public_test: tuple[np.ndarray, np.ndarray], assets: Path
) -> None:
    card = load_card(way[0])
    if card.crowd is not None:
        crowd = load_crowd_faces(assets / "crowd_faces", "validation")
        chosen = (crowd.labels != NO_LABEL) & (crowd.labels != UNREADABLE)
        images, labels, known, least = crowd.crops()[chosen], crowd.labels[chosen], card.crowd.accuracy_readable, 0.86
    else:
        (images, labels), known, least = public_test, card.metrics.accuracy, 0.60
    probabilities, readable = engine.predict(images)
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    assert engine.model_id == card.model_id
    assert engine.name == f"{way[1]}-{way[2]}"
    assert known is not None
    if way[1] == "tensorflow":
        assert f"{accuracy:.4f}" == f"{known:.4f}"
    else:
        assert accuracy == pytest.approx(known, abs=0.003)
    assert known >= least
    assert sum(file.stat().st_size for file in way[0].iterdir()) <= 20e6
    assert engine.labels == card.labels
    # Nearly all of these faces are readable; without the output, every face is.
    assert ((readable > 0.5).mean() > 0.9) if card.readable_output else (readable == 1).all()


@pytest.mark.parametrize(
    ("precision", "least", "apart"), [("f32", 0.999, 0.005), ("f16", 0.996, 0.03), ("bf16", 0.994, 0.05)]
)
def test_openvino_agrees_with_tensorflow(
    precision: str,
    least: float,
    apart: float,
    reference: tuple[np.ndarray, np.ndarray],
    some: np.ndarray,
) -> None:
    expected, readable = reference
    engine = load_engine(DEFAULT_MODEL, ClassifierSettings(engine="openvino", precision=precision))
    found, fast_readable = engine.predict(some)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= least
    assert np.abs(found - expected).max() < apart
    assert np.abs(fast_readable - readable).max() < apart


def test_face_has_the_same_bits_in_every_batch(way: tuple[Path, str, str], engine: Engine, some: np.ndarray) -> None:
    # A network of the baseline takes far longer.
    faces = some if way[0] == DEFAULT_MODEL else some[:70]
    together, readable = engine.predict(faces)
    order = np.random.default_rng(0).permutation(len(faces))
    shuffled = np.empty_like(together)
    shuffled[order], mixed_readable = engine.predict(faces[order])
    in_frames = np.concatenate([engine.predict(part)[0] for part in np.array_split(faces[:300], 7)])
    alone = np.concatenate([engine.predict(faces[i : i + 1])[0] for i in range(10)])
    assert np.array_equal(shuffled, together)
    assert np.array_equal(mixed_readable, readable[order])
    assert np.array_equal(in_frames, together[: len(in_frames)])
    assert np.array_equal(alone, together[:10])


def test_neither_the_number_of_threads_nor_of_workers_changes_a_bit(some: np.ndarray) -> None:
    settings = (ClassifierSettings(threads=1), ClassifierSettings(threads=2), ClassifierSettings(threads=2))
    engines = [load_engine(DEFAULT_MODEL, one) for one in settings]
    first, *others = [engine.predict(some[:300])[0] for engine in engines]
    assert all(np.array_equal(first, other) for other in others)


def test_openvino_is_the_default_with_a_graph_and_loads_within_two_seconds_without_tensorflow() -> None:
    code = (
        "import sys, time; from classifier import DEFAULT_MODEL; from classifier.engines import load_engine; "
        "from crowdmood.core.settings import ClassifierSettings; "
        "print(type(load_engine(DEFAULT_MODEL, ClassifierSettings())).__name__, 'tensorflow' in sys.modules, "
        "[name for name in sys.modules if name.startswith('openvino_telemetry.')], time.process_time() < 2)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["OpenVINOEngine", "False", "[]", "True"]


@pytest.mark.parametrize(
    ("newest", "possible"),
    [
        ("AVX512_CORE_FP16", {"openvino-f32"}),  # without matrix units, half precision is slower
        ("AVX512_CORE_AMX", {"openvino-bf16", "openvino-f32"}),  # matrix units without f16
        ("AVX2", {"openvino-f32"}),
    ],
)
def test_half_precision_is_the_default_only_with_matrix_units_for_it(newest: str, possible: set[str]) -> None:
    done = on_processor(newest, "auto")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in possible


def on_processor(newest: str, precision: str) -> subprocess.CompletedProcess[str]:
    """Load the network in a process that uses no newer instructions; print the engine's name."""
    code = (
        "from classifier import DEFAULT_MODEL; from classifier.engines import load_engine; "
        "from crowdmood.core.settings import ClassifierSettings; "
        f"print(load_engine(DEFAULT_MODEL, ClassifierSettings(precision={precision!r})).name)"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": newest}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


def test_a_precision_that_the_processor_lists_and_cannot_run_is_one_line() -> None:
    if "bf16" not in precisions(openvino.Core()):
        return  # nor does this one list it
    fallen_back, refused = on_processor("AVX2", "auto"), on_processor("AVX2", "bf16")
    (line,) = fallen_back.stderr.splitlines()
    assert line == "this processor lists bf16 and cannot run the network so: f32 is used"
    assert refused.returncode == 1
    (line,) = [line for line in refused.stderr.splitlines() if "errors.ModelError:" in line]
    assert "this processor cannot run it in bf16; set another CROWDMOOD_CLASSIFIER__PRECISION" in line


def test_refuses_a_model_that_the_engine_cannot_run(tmp_path: Path) -> None:
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


def test_refuses_a_network_that_returns_nan(tmp_path: Path) -> None:
    broken = keras.saving.load_model(DEFAULT_MODEL / NETWORK_FILE, compile=False)
    layer = broken.get_layer("logits")
    layer.set_weights([np.full_like(weight, np.nan) for weight in layer.get_weights()])
    broken.save(tmp_path / NETWORK_FILE)
    save_graph(broken, tmp_path / GRAPH_FILE)
    files = tuple(file_entry(path) for path in sorted(tmp_path.iterdir()))
    save_card(tmp_path, load_card(DEFAULT_MODEL).model_copy(update={"files": files}))
    for name in ("openvino", "tensorflow"):
        with pytest.raises(ModelError, match="NaN or infinite values"):
            load_engine(tmp_path, ClassifierSettings(engine=name))


def test_no_faces_give_no_probabilities(engine: Engine) -> None:
    probabilities, readable = engine.predict(np.empty((0, 48, 48), np.uint8))
    assert (probabilities.shape, readable.shape) == ((0, len(engine.labels)), (0,))


def small_network(columns: int, second: str | None) -> Any:
    """Return a network of random weights with K columns of probabilities, and a second output if it has a name."""
    keras.utils.set_random_seed(0)
    image = keras.Input((48, 48, 1), dtype="uint8", name="image")
    pixels = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    emotions = keras.layers.Dense(columns, activation="softmax", name="emotions")(pixels)
    if second is None:
        return keras.Model(image, emotions)
    return keras.Model(image, {"emotions": emotions, second: keras.layers.Dense(1, "sigmoid", name=second)(pixels)})


def exported(folder: Path, network: Any, labels: tuple[str, ...], outputs: tuple[str, ...]) -> Path:
    """Write a model folder with this network, and a card with these labels and outputs."""
    network.save(folder / NETWORK_FILE)
    save_graph(network, folder / GRAPH_FILE)
    files = tuple(file_entry(path) for path in sorted(folder.iterdir()))
    card = {"files": files, "labels": labels, "outputs": outputs, "prevalence": None}
    save_card(folder, load_card(DEFAULT_MODEL).model_copy(update=card))
    return folder


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
@pytest.mark.parametrize("labels", [LABELS, FER_LABELS], ids=["eight", "seven"])
@pytest.mark.parametrize("second", ["readable", "face", None])
def test_runs_networks_of_seven_or_eight_labels_with_or_without_a_readable_output(
    name: str, labels: tuple[str, ...], second: str | None, tmp_path: Path
) -> None:
    network = small_network(len(labels), second)
    folder = exported(tmp_path, network, labels, ("emotions", second) if second else ("emotions",))
    engine = load_engine(folder, ClassifierSettings(engine=name, precision="f32", max_batch_size=4))
    faces = np.random.default_rng(0).integers(0, 256, (6, 48, 48), np.uint8)
    probabilities, readable = engine.predict(faces)
    own = network.predict(faces[..., None], verbose=0)
    assert engine.labels == labels
    assert probabilities == pytest.approx(own["emotions"] if second else own, abs=0.01)
    assert readable == pytest.approx(own[second][:, 0] if second else np.ones(6), abs=0.01)


@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
@pytest.mark.parametrize(
    ("labels", "outputs", "message"),
    [
        (LABELS, ("emotions", "face"), r"output emotions \(N, 8\), the network has \(N, 7\)"),
        (FER_LABELS, ("emotions", "readable"), r"output readable \(N, 1\), the network has none"),
    ],
)
def test_refuses_a_network_without_the_outputs_of_its_card(
    name: str, labels: tuple[str, ...], outputs: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    folder = exported(tmp_path, small_network(7, "face"), labels, outputs)
    with pytest.raises(ModelError, match=message):
        load_engine(folder, ClassifierSettings(engine=name))


@pytest.mark.parametrize(
    "faces",
    [
        np.zeros((2, 48, 40), np.uint8),
        np.zeros((48, 48), np.uint8),
        np.zeros((2, 48, 48, 1), np.uint8),
        np.zeros((2, 48, 48), np.float32),
        np.zeros((0, 40, 40), np.uint8),
    ],
    ids=lambda faces: f"{faces.dtype}-{faces.shape}",
)
def test_refuses_faces_of_another_shape_or_dtype(faces: np.ndarray, engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"faces must be uint8 \(N, 48, 48\)"):
        engine.predict(faces)
