"""While the network is at work on a batch, the last one is published and the next one is read; nothing waits for it."""

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
from tests.waiting import eventually

from .test_classifier import Marked, emotions, faces, stage

BATCH = 64


@pytest.fixture
def judging(server_url: str, bus_settings: BusSettings, request: pytest.FixtureRequest) -> ClassifierStage:
    wait_ms = getattr(request, "param", 5)
    settled = stage(server_url, bus_settings, ClassifierSettings(max_batch_size=BATCH, batch_wait_ms=wait_ms))
    settled.read_count = 1
    return settled


patient = pytest.mark.parametrize("judging", [10_000], indirect=True, ids=["waits 10 s for a full batch"])


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
    """How often each entry that is in somebody's hands was delivered, in the order of the stream."""
    pending = bus.connection.client.xpending_range(bus.keys.stream("faces"), "classifier", "-", "+", 100)
    return [row["times_delivered"] for row in pending]


def worked_s() -> float:
    """Return for how long classifiers of this process have worked, in seconds."""
    return REGISTRY.get_sample_value("crowdmood_work_seconds_sum", {"stage": "classifier"}) or 0


def fill(bus: Bus, frames: int) -> None:
    bus.publish([("faces", faces(number, [1 + number] * BATCH)) for number in range(frames)])


def test_the_next_batch_is_read_and_the_last_one_published_while_one_is_judged(
    bus: Bus, judging: ClassifierStage, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watching(Marked):
        def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            call = len(self.calls)
            if 0 < call < 4:  # of five
                # This batch and the next: the one before is done with.
                eventually(lambda: len(emotions(bus)) == call and deliveries(bus) == [1, 1])
            return super().predict(faces)

    network = Watching()
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: network)
    fill(bus, 5)
    Worker(judging, bus, bus_settings, "one", threading.Event()).run(drain=True)
    assert network.calls == [BATCH] * 5
    assert [message.ref.frame_id for message in emotions(bus)] == [0, 1, 2, 3, 4]


@patient
def test_what_is_judged_does_not_wait_for_a_batch_to_fill(
    bus: Bus, judging: ClassifierStage, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Marked):
        def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            time.sleep(0.05)
            return super().predict(faces)

    network = Slow()
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: network)
    # As long as a server is given for its answer: waiting for a batch is not waiting for that.
    before_s = worked_s()
    with running(Worker(judging, bus, bus_settings, "one", threading.Event())):
        bus.publish([("faces", faces(0, [1] * BATCH)), ("faces", faces(1, [1]))])
        eventually(lambda: emotions(bus))
        assert network.calls == [BATCH]  # the second frame waits for more
        eventually(lambda: worked_s() > before_s)
        bus.publish([("faces", faces(2, [1] * BATCH))])
        eventually(lambda: len(emotions(bus)) == 3)
    assert bus.connection.outages == 0


@patient
def test_a_worker_that_waits_for_a_batch_to_fill_stops_at_once(
    bus: Bus, judging: ClassifierStage, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: Marked())
    bus.publish([("faces", faces(0, [1]))])
    worker = Worker(judging, bus, bus_settings, "one", threading.Event())
    with running(worker):
        eventually(lambda: deliveries(bus) == [1], ignoring=(redis.ResponseError,))  # until the group is there
        stopped_s = time.monotonic()
    assert time.monotonic() - stopped_s < 5
    assert [message.ref.frame_id for message in emotions(bus)] == [0]


def test_a_worker_that_is_stopped_finishes_the_batch_in_hand(
    bus: Bus, judging: ClassifierStage, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    class Stopping(Marked):
        def predict(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            stop.set()
            return super().predict(faces)

    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: Stopping())
    fill(bus, 5)
    worker = Worker(judging, bus, bus_settings, "one", stop)
    worker.run()
    done = len(emotions(bus))
    assert 1 <= done < 5
    assert deliveries(bus) == []
    assert bus.backlog("faces") == 5 - done


def test_a_frame_that_was_tried_before_is_judged_alone_before_another_is_taken(
    bus: Bus, judging: ClassifierStage, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.model_swap.load_engine", lambda *_: Marked())
    fill(bus, 3)
    # Its former self had taken all of them and died.
    bus.connection.client.xgroup_create(bus.keys.stream("faces"), "classifier", id="0")
    bus.connection.client.xreadgroup("classifier", "one", {bus.keys.stream("faces"): ">"}, count=3)
    worker = Worker(judging, bus, bus_settings, "one", threading.Event())
    worker.start()
    for left in ([1, 1], [1], []):
        assert worker.poll() == 1
        assert deliveries(bus) == left
    assert len(emotions(bus)) == 3
    judging.close()
