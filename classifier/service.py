"""The classifier's process: faces of many frames and cameras fill one batch; a frame without faces goes on too."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from classifier.engines import Engine
from classifier.quality import detail, quality
from classifier.swapping import ModelSwap
from crowdmood import metrics
from crowdmood.messages import Emotions, Faces, Message
from crowdmood.process import on_hang_up
from crowdmood.settings import Settings, load, required_url
from crowdmood.streams.bus import Bus, DeadLetter, Entry
from crowdmood.streams.keys import StreamName
from crowdmood.streams.models import ModelChoices
from crowdmood.streams.partitions import Inboxes
from crowdmood.worker import Outcome, Stage, Worker

log = logging.getLogger("crowdmood.classifier")


@dataclass(frozen=True, slots=True)
class Judging:
    """A batch that a network is at work on.

    Attributes:
        work: Its frames.
        engine: The network.
        answer: What `Engine.predict` will give.
    """

    work: Sequence[tuple[Entry, Faces]]
    engine: Engine
    answer: Future[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]


class ClassifierStage(Stage[Faces]):
    """Judges faces in batches: while the network is at work on one, the last is published and the next is read.

    Args:
        swap: Loads the network, and others while it is at work.
    """

    name: ClassVar[str] = "classifier"
    inputs: ClassVar[tuple[StreamName, ...]] = ("faces",)
    accepts: ClassVar[tuple[type[Faces]]] = (Faces,)
    # The aggregator keeps entries as long as windows need them: emotions have no room to wait for.
    output: ClassVar[StreamName | None] = None
    read_count: int = 16

    _engine: Engine

    def __init__(self, swap: ModelSwap) -> None:
        self._swap = swap
        self._judge = ThreadPoolExecutor(1, "judge")
        self._judging: Judging | None = None
        self._faces = 0

    def start(self, inbox: Inboxes) -> None:  # noqa: ARG002 (other stages read there)
        """Load and warm the network."""
        self._use(self._swap.start())

    def close(self) -> None:
        """Look for no other network, and end our threads."""
        self._swap.close()
        self._judge.shutdown()

    def using(self) -> str:
        """The network in use, and why the last one that should take its place was refused."""
        model = _full_name(self._engine)
        return f"{model}; {self._swap.refused}" if self._swap.refused else model

    def full(self, entries: Sequence[Entry]) -> bool:
        """Whether the frames at hand hold enough faces for a call of the network."""
        counts = (entry.fields.get(b"n", b"") for entry in entries)
        return sum(int(n) for n in counts if n.isdigit()) >= self._swap.settings.max_batch_size

    def handle(self, work: Sequence[tuple[Entry, Faces]]) -> Outcome:
        """Begin to judge the faces of all frames at once; hand out by frame what was judged of the batch before."""
        if engine := self._swap.take():
            metrics.MODEL.labels(self._engine.model_id, self._engine.name).set(0)
            log.info("%s takes the place of %s", engine.model_id, _full_name(self._engine))
            self._use(engine)
        before, self._judging = self._judging, self._begin(work) if work else None
        self.in_hand = self._judging is not None
        return self._outcome(before) if before else Outcome()

    def _begin(self, work: Sequence[tuple[Entry, Faces]]) -> Judging:
        crops = np.concatenate([_seen(frame) for _, frame in work])
        return Judging(work, self._engine, self._judge.submit(self._engine.predict, crops))

    def _outcome(self, judging: Judging) -> Outcome:
        work, engine = judging.work, judging.engine
        details = [detail(frame.boxes, frame.crops) for _, frame in work]  # meanwhile
        probabilities, is_face = judging.answer.result()
        finite = np.isfinite(probabilities).all(axis=1) & np.isfinite(is_face)
        metrics.BATCH_FACES.observe(len(probabilities))
        if finite.any():
            metrics.BATCH_CONFIDENCE_RATIO.observe(float(probabilities[finite].max(axis=1).mean()))
        published: list[tuple[StreamName, Message]] = []
        done: list[Entry] = []
        dead: list[DeadLetter] = []
        ends = np.cumsum([len(frame.boxes) for _, frame in work])
        for (entry, frame), seen, end in zip(work, details, ends, strict=True):
            rows = slice(end - len(frame.boxes), end)
            part, belief = probabilities[rows], is_face[rows]
            if not finite[rows].all():
                dead.append(DeadLetter(entry, "not_finite", f"{engine.model_id} gave values that are no numbers"))
                continue
            message = Emotions(
                frame.ref,
                frame.boxes,
                part.astype(np.float16),
                quality(seen, belief),
                _full_name(engine),
                frame.detector,
                engine.confusions,
            )
            published.append(("emotions", message))
            done.append(entry)
            self._faces += len(part)
            metrics.FACES.labels(self.name).inc(len(part))
        return Outcome(publish=published, done=done, dead=dead)

    def summary(self) -> str:
        """How many faces were judged."""
        return f"{self._faces} faces"

    def _use(self, engine: Engine) -> None:
        self._engine = engine
        self.batch_wait_ms = self._swap.settings.batch_wait_ms
        metrics.MODEL.labels(engine.model_id, engine.name).set(1)


def _full_name(engine: Engine) -> str:
    return f"{engine.model_id}/{engine.name}"


def _seen(frame: Faces) -> npt.NDArray[np.uint8]:
    """A frame's crops as the network sees them: every second frame in the mirror.

    A person's frames are averaged, and a network is right more often of a face that it saw both ways: on PublicTest
    70.2 % of the time instead of 69.2 %. So this costs nothing.
    """
    return frame.crops[:, :, ::-1] if frame.ref.frame_id % 2 else frame.crops


def run(settings: Settings, stop: threading.Event, worker_name: str, *, drain: bool = False) -> None:
    """Run a classifier until told to stop."""
    bus = Bus(required_url(settings.bus_url, "bus"), settings.bus, stop)
    choices = ModelChoices(required_url(settings.state_url, "state"), settings.bus.key_prefix, settings.run_id, stop)
    swap = ModelSwap(settings.classifier, choices, lambda: load().classifier)
    with on_hang_up(swap.hang_up):
        Worker(ClassifierStage(swap), bus, settings.bus, worker_name, stop).run(drain=drain)
