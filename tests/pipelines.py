"""The pipeline's stages in threads of the test, over real servers, and footage small enough for that."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import redis

import aggregator.service
import detector.service
import ingest.service
from classifier.model_swap import ModelSwap
from classifier.service import ClassifierStage
from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import Settings
from crowdmood.domain.mood import Mood
from crowdmood.store.model_choices import ModelChoices
from crowdmood.store.moods import START, MoodStore
from tests.waiting import eventually

STAGES = ("aggregator", "classifier", "detector", "ingest")
_AWAY = (redis.ConnectionError, redis.exceptions.ClusterDownError)


def small_footage(film: Path, folder: Path, cameras: int, frames: int) -> list[dict[str, str]]:
    """Small pieces of a film's first frames, side by side, as settings of so many cameras."""
    source = cv2.VideoCapture(str(film))
    for number in range(frames):
        _, picture = source.read()
        for camera in range(cameras):
            file = folder / f"camera-{camera}" / f"{number:03}.jpg"
            file.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(file), picture[240:400, 200 * camera : 200 * camera + 200])
    source.release()
    return [{"id": f"camera-{camera}", "uri": str(folder / f"camera-{camera}")} for camera in range(cameras)]


class Running:
    """A worker of a stage, until it is stopped as SIGTERM would stop it."""

    def __init__(self, stage: str, settings: Settings, name: str) -> None:
        self.name = name
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self.result: Future[Any] = self._pool.submit(_RUN[stage], settings, self._stop, name)

    def stop(self) -> None:
        """Stop it, and wait for that."""
        self._stop.set()
        self._pool.shutdown()
        assert not self.result.result()


def _classify(settings: Settings, stop: threading.Event, name: str) -> None:
    # `classifier.service.run` is for a process of its own: it waits for a signal.
    assert settings.bus_url and settings.state_url
    choices = ModelChoices(settings.state_url.get_secret_value(), settings.bus.key_prefix, settings.run_id, stop)
    stage = ClassifierStage(ModelSwap(settings.classifier, choices, lambda: settings.classifier))
    Worker(stage, Bus(settings.bus_url.get_secret_value(), settings.bus, stop), settings.bus, name, stop).run()


_RUN: dict[str, Callable[[Settings, threading.Event, str], Any]] = {
    "aggregator": aggregator.service.run,
    "classifier": _classify,
    "detector": detector.service.run,
    "ingest": lambda settings, stop, name: ingest.service.run(settings, stop, worker_name=name),
}


@contextmanager
def pipeline(settings: Callable[[str, int], Settings], partitions: int = 1) -> Iterator[list[Running]]:
    """One aggregator, and every other stage in each partition; `settings` are of a stage and a partition."""
    numbers = {stage: range(1 if stage == "aggregator" else partitions) for stage in STAGES}
    running = [Running(stage, settings(stage, n), f"{stage}-{n}") for stage in STAGES for n in numbers[stage]]
    try:
        yield running
    finally:
        for one in reversed(running):
            one.stop()


def wait_for(holds: Callable[[], object], running: Sequence[Running] = ()) -> None:
    """Wait through outages of the servers; fail at once when a worker has failed."""
    eventually(
        holds, ignoring=_AWAY, unless=lambda: [one.name for one in running if one.result.done() and one.result.result()]
    )


def complete(store: MoodStore, cameras: int, frames: int) -> bool:
    """Whether it is known of every frame of recorded footage what became of it."""
    table = store.cameras()
    return len(table) == cameras and all(
        row["state"] == "ended" and row["frames"] + sum(row["lost"].values()) == frames for row in table.values()
    )


def moods(store: MoodStore) -> list[Mood]:
    """All that was published."""
    return [mood for _, mood in store.since(START, 100_000)[1]]
