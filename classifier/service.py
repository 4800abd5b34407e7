"""The classifier's process: faces of many frames and cameras share a batch. Frames without faces are published too."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from classifier.engines import Engine
from classifier.model_swap import ModelSwap
from classifier.quality import quality
from crowdmood.bus.keys import CLASSIFIER_GROUP, StreamName
from crowdmood.bus.partitions import Reader
from crowdmood.bus.streams import Bus, DeadLetter, Entry
from crowdmood.bus.worker import Outcome, Stage, Worker
from crowdmood.core import metrics
from crowdmood.core.process import on_hang_up
from crowdmood.core.settings import Settings, load, required_url
from crowdmood.domain.messages import Emotions, Faces, Message
from crowdmood.store.model_choices import ModelChoices

log = logging.getLogger("crowdmood.classifier")


@dataclass(frozen=True, slots=True)
class RunningBatch:
    """A batch that a network is working on.

    Attributes:
        work: Its frames.
        engine: The network.
        prediction: The future result of `Engine.predict`.
    """

    work: Sequence[tuple[Entry, Faces]]
    engine: Engine
    prediction: Future[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]


class ClassifierStage(Stage[Faces]):
    """Classifies faces in batches. While the network works on one, the last one is published and the next one is read.

    Args:
        swap: Loads the network, and later ones in the background.
        min_faces: Frames with fewer faces do not count in metrics, which would otherwise show the number of few people.
    """

    name: ClassVar[str] = CLASSIFIER_GROUP
    inputs: ClassVar[tuple[StreamName, ...]] = ("faces",)
    background: ClassVar[tuple[StreamName, ...]] = ("photo_faces",)
    accepts: ClassVar[tuple[type[Faces]]] = (Faces,)
    output: ClassVar[StreamName | None] = "emotions"
    drops: ClassVar[bool] = True
    read_count: int = 16

    _engine: Engine

    def __init__(self, swap: ModelSwap, min_faces: int = 1) -> None:
        self._swap = swap
        self._min_faces = min_faces
        self._network = ThreadPoolExecutor(1, "network")
        self._running: RunningBatch | None = None
        self._faces = 0

    def start(self, inbox: Reader) -> None:  # noqa: ARG002 (only other stages use it)
        """Load and warm the network."""
        self._use(self._swap.start())

    def close(self) -> None:
        """Stop following the choice of a network, and end the threads."""
        self._swap.close()
        self._network.shutdown()

    def using(self) -> str:
        """Return the name of the network in use and, if the last new network was refused, why."""
        model = _full_name(self._engine)
        return f"{model}; {self._swap.refused}" if self._swap.refused else model

    def full(self, entries: Sequence[Entry]) -> bool:
        """Return whether these frames have enough faces for a call of the network."""
        counts = (entry.fields.get(b"n", b"") for entry in entries)
        return sum(int(n) for n in counts if n.isdigit()) >= self._swap.settings.max_batch_size

    def handle(self, work: Sequence[tuple[Entry, Faces]]) -> Outcome:
        """Start to classify the faces of all frames, and return the outcome of the batch before."""
        if engine := self._swap.next_engine():
            metrics.MODEL.labels(self._engine.model_id, self._engine.name).set(0)
            log.info("%s replaces %s", engine.model_id, _full_name(self._engine))
            self._use(engine)
        before, self._running = self._running, self._begin(work) if work else None
        self.pending = self._running is not None
        return self._outcome(before) if before else Outcome()

    def _begin(self, work: Sequence[tuple[Entry, Faces]]) -> RunningBatch:
        crops = np.concatenate([_crops(frame) for _, frame in work])
        return RunningBatch(work, self._engine, self._network.submit(self._engine.predict, crops))

    def _outcome(self, batch: RunningBatch) -> Outcome:
        work, engine = batch.work, batch.engine
        qualities = [quality(frame.boxes, frame.crops) for _, frame in work]  # while the network works
        probabilities, readable = batch.prediction.result()
        finite = np.isfinite(probabilities).all(axis=1) & np.isfinite(readable)
        if counted := sum(self._counted(frame) for _, frame in work):
            metrics.BATCH_FACES.observe(counted)
            metrics.FACES.labels(self.name).inc(counted)
        if counted and finite.any():
            metrics.BATCH_CONFIDENCE_RATIO.observe(float(probabilities[finite].max(axis=1).mean()))
        published: list[tuple[StreamName, Message]] = []
        done: list[Entry] = []
        dead: list[DeadLetter] = []
        ends = np.cumsum([len(frame.boxes) for _, frame in work])
        for (entry, frame), of_frame, end in zip(work, qualities, ends, strict=True):
            rows = slice(end - len(frame.boxes), end)
            if not finite[rows].all():
                dead.append(DeadLetter(entry, "not_finite", f"{engine.model_id} returned NaN or infinite values"))
                continue
            message = Emotions(
                frame.ref,
                frame.boxes,
                probabilities[rows].astype(np.float16),
                readable[rows].astype(np.float16),
                of_frame,
                _full_name(engine),
                frame.detector,
                engine.confusions,
            )
            published.append(("emotions", message))
            done.append(entry)
            self._faces += len(frame.boxes)
        return Outcome(publish=published, done=done, dead=dead)

    def _counted(self, frame: Faces) -> int:
        """Return the number of faces of a frame for metrics."""
        return len(frame.boxes) if len(frame.boxes) >= self._min_faces else 0

    def summary(self) -> str:
        """Return how many faces were classified."""
        return f"{self._faces} faces"

    def _use(self, engine: Engine) -> None:
        self._engine = engine
        self.batch_wait_ms = self._swap.settings.batch_wait_ms
        metrics.MODEL.labels(engine.model_id, engine.name).set(1)


def _full_name(engine: Engine) -> str:
    return f"{engine.model_id}/{engine.name}"


def _crops(frame: Faces) -> npt.NDArray[np.uint8]:
    """Return the crops of a frame; every second frame is mirrored.

    The frames of a person are averaged, and the mean of both views is right more often: on PublicTest for 70.2 % of the
    faces instead of 69.2 %. It costs nothing.
    """
    return frame.crops[:, :, ::-1] if frame.ref.frame_id % 2 else frame.crops


def run(settings: Settings, stop: threading.Event, worker_name: str, *, drain: bool = False) -> None:
    """Run a classifier until `stop` is set."""
    bus = Bus(required_url(settings.bus_url, "bus"), settings.bus, stop)
    choices = ModelChoices(required_url(settings.state_url, "state"), settings.bus.key_prefix, settings.run_id, stop)
    swap = ModelSwap(settings.classifier, choices, lambda: load().classifier)
    with on_hang_up(swap.reload_settings):
        Worker(ClassifierStage(swap, settings.aggregator.min_faces), bus, settings.bus, worker_name, stop).run(
            drain=drain
        )
