"""While the network works on a batch, the last one is published and the next one is read."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import redis
from prometheus_client import REGISTRY

from classifier.service import ClassifierStage
from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import BusSettings, ClassifierSettings
from tests.integration.classifier.stages import GreyNetwork, emotions, faces, stage
from tests.waiting import eventually

BATCH = 64


@pytest.fixture
def classifying(server_url: str, bus_settings: BusSettings, request: pytest.FixtureRequest) -> ClassifierStage:
    """A stage that reads one frame at a time; the parameter is its `batch_wait_ms`."""
    settings = ClassifierSettings(max_batch_size=BATCH, batch_wait_ms=getattr(request, "param", 5))
    found = stage(server_url, bus_settings, settings)
    found.read_count = 1
    return found


long_wait = pytest.mark.parametrize("classifying", [10_000], indirect=True, ids=["10 s"])
"""For tests in which a batch that is not full waits for more faces."""


@contextmanager
def running(worker: Worker) -> Iterator[None]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop.set()
        thread.join()


def deliveries(bus: Bus) -> list[int]:
    """Return the number of deliveries of each pending entry, in the order of the stream."""
    pending = bus.connection.client.xpending_range(bus.keys.stream("faces"), "classifier", "-", "+", 100)
    return [row["times_delivered"] for row in pending]


def worked_s() -> float:
    return REGISTRY.get_sample_value("crowdmood_work_seconds_sum", {"stage": "classifier"}) or 0


def fill(bus: Bus, frames: int) -> None:
    bus.publish([("faces", faces(number, [1 + number] * BATCH)) for number in range(frames)])


def test_reads_the_next_batch_and_publishes_the_last_one_while_the_network_works(
    bus: Bus, classifying: ClassifierStage, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watching(GreyNetwork):
        def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            call = len(self.calls)
            if 0 < call < 4:  # of five
                # This batch and the next are pending, the one before is published.
                eventually(lambda: len(emotions(bus)) == call and deliveries(bus) == [1, 1])
            return super().predict(faces)

    network = Watching()
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: network)
    fill(bus, 5)
    Worker(classifying, bus, bus_settings, "one", threading.Event()).run(drain=True)
    assert network.calls == [BATCH] * 5
    assert [message.ref.frame_id for message in emotions(bus)] == [0, 1, 2, 3, 4]


@long_wait
def test_publishes_a_batch_without_waiting_for_the_next_one_to_fill(
    bus: Bus, classifying: ClassifierStage, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(GreyNetwork):
        def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            time.sleep(0.05)
            return super().predict(faces)

    network = Slow()
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: network)
    before_s = worked_s()
    with running(Worker(classifying, bus, bus_settings, "one", threading.Event())):
        bus.publish([("faces", faces(0, [1] * BATCH)), ("faces", faces(1, [1]))])
        eventually(lambda: emotions(bus))
        assert network.calls == [BATCH]  # the second frame waits for more
        eventually(lambda: worked_s() > before_s)
        bus.publish([("faces", faces(2, [1] * BATCH))])
        eventually(lambda: len(emotions(bus)) == 3)
    # The wait for a batch is as long as the timeout of the server, and is no outage.
    assert bus.connection.outages == 0


@long_wait
def test_worker_that_waits_for_a_batch_to_fill_stops_at_once(
    bus: Bus, classifying: ClassifierStage, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: GreyNetwork())
    bus.publish([("faces", faces(0, [1]))])
    worker = Worker(classifying, bus, bus_settings, "one", threading.Event())
    with running(worker):
        eventually(lambda: deliveries(bus) == [1], ignoring=(redis.ResponseError,))  # until the group is there
        stopped_s = time.monotonic()
    assert time.monotonic() - stopped_s < 5
    assert [message.ref.frame_id for message in emotions(bus)] == [0]


def test_stopped_worker_finishes_the_pending_batch(
    bus: Bus, classifying: ClassifierStage, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    class Stopping(GreyNetwork):
        def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            stop.set()
            return super().predict(faces)

    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: Stopping())
    fill(bus, 5)
    worker = Worker(classifying, bus, bus_settings, "one", stop)
    worker.run()
    done = len(emotions(bus))
    assert 1 <= done < 5
    assert deliveries(bus) == []
    assert bus.backlog("faces") == 5 - done


def test_redelivered_frame_is_classified_alone_before_the_next_is_read(
    bus: Bus, classifying: ClassifierStage, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: GreyNetwork())
    fill(bus, 3)
    # Its predecessor read all of them and died.
    bus.connection.client.xgroup_create(bus.keys.stream("faces"), "classifier", id="0")
    bus.connection.client.xreadgroup("classifier", "one", {bus.keys.stream("faces"): ">"}, count=3)
    worker = Worker(classifying, bus, bus_settings, "one", threading.Event())
    worker.start()
    for left in ([1, 1], [1], []):
        assert worker.poll() == 1
        assert deliveries(bus) == left
    assert len(emotions(bus)) == 3
    classifying.close()
