"""The loop of a stage against a real server: no entry is lost or counted twice when its process dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import ClassVar

import pytest
from pydantic import SecretStr

from app import check
from crowdmood.bus.keys import StreamName
from crowdmood.bus.streams import Bus, Entry
from crowdmood.bus.worker import Outcome, Stage, Worker
from crowdmood.core.settings import BusSettings, Settings
from crowdmood.domain.messages import Faces, Frame, FrameRef, FramesLost, decode
from tests.waiting import eventually


def frame(frame_id: int) -> Frame:
    return Frame(FrameRef("north", "run-1", frame_id, frame_id * 200, 64, 48, recorded=True), b"pixels")


class Copying(Stage[Frame]):
    """Publishes frames in the next stream, and raises for those in `deadly`."""

    name: ClassVar[str] = "copying"
    inputs: ClassVar[tuple[StreamName, ...]] = ("frames",)
    accepts = (Frame,)
    output: ClassVar[StreamName | None] = "faces"

    def __init__(self, deadly: Sequence[int] = (), read_count: int = 1, batch_wait_ms: int = 0) -> None:
        self.deadly = deadly
        self.read_count = read_count
        self.batch_wait_ms = batch_wait_ms
        self.batches: list[int] = []

    def handle(self, work: Sequence[tuple[Entry, Frame]]) -> Outcome:
        if work:
            self.batches.append(len(work))
        for _, message in work:
            if message.ref.frame_id in self.deadly:
                raise RuntimeError("a bug")
        return Outcome(publish=[("faces", message) for _, message in work], done=[entry for entry, _ in work])


def worker(bus: Bus, settings: BusSettings, stage: Stage, name: str = "one") -> Worker:
    return Worker(stage, bus, settings, name, threading.Event())


def arrived(bus: Bus, stream: StreamName = "faces") -> list[int]:
    return [int(fields[b"frame_id"]) for _, fields in bus.connection.client.xrange(bus.keys.stream(stream))]


def test_draining_worker_stops_when_no_entries_are_left(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(5)])
    copying = worker(bus, bus_settings, Copying())
    copying.run(drain=True)
    assert arrived(bus) == [0, 1, 2, 3, 4]
    assert copying.finished == 5
    assert bus.healthy_workers("copying") == []


def test_entries_of_several_reads_fill_one_batch(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(7)])
    stage = Copying(read_count=4, batch_wait_ms=1)
    worker(bus, bus_settings, stage).run(drain=True)
    assert stage.batches == [4, 3]


def test_neither_publishes_nor_acknowledges_when_the_transaction_fails(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(0))])
    bus.connection.client.set(bus.keys.stream("faces"), "not a stream")
    with pytest.raises(Exception, match="WRONGTYPE"):
        worker(bus, bus_settings, Copying()).loop(drain=True)
    bus.connection.client.delete(bus.keys.stream("faces"))
    assert bus.backlog("frames") == 1
    worker(bus, bus_settings, Copying()).run(drain=True)
    assert arrived(bus) == [0]


def test_entry_that_crashes_every_worker_becomes_a_dead_letter_and_others_are_processed(
    bus: Bus, bus_settings: BusSettings
) -> None:
    bus.publish([("frames", frame(i)) for i in range(6)])
    deaths = 0
    while bus.backlog("frames"):
        try:
            worker(bus, bus_settings, Copying(deadly=[2], read_count=6)).run(drain=True)
        except RuntimeError:
            deaths += 1
    assert deaths == bus_settings.max_deliveries
    assert sorted(arrived(bus)) == [0, 1, 3, 4, 5]
    assert [decode(fields) for _, fields in bus.connection.client.xrange(bus.keys.stream("control"))] == [
        FramesLost("north", "run-1", 2, 2, "max_deliveries")
    ]


def test_entry_that_does_not_belong_in_a_stream_becomes_a_dead_letter(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", FramesLost("north", "run-1", 0, 0, "overload")), ("frames", frame(1))])
    bus.connection.client.xadd(bus.keys.stream("frames"), {b"noise": b"\xff"})
    worker(bus, bus_settings, Copying()).run(drain=True)
    assert arrived(bus) == [1]
    letters = bus.connection.client.xrange(bus.keys.stream("dead"))
    assert [fields[b"reason"] for _, fields in letters] == [b"misplaced", b"undecodable"]


def test_waits_until_its_output_has_room(bus: Bus, bus_settings: BusSettings) -> None:
    settings = bus_settings.model_copy(update={"max_backlog": 2})
    bus.publish([("frames", frame(i)) for i in range(3)] + [("faces", frame(i)) for i in (90, 91)])
    stage = Copying()
    copying = worker(bus, settings, stage)
    running = threading.Thread(target=copying.run, kwargs={"drain": True})
    running.start()
    time.sleep(0.2)  # long enough to work on a frame, if it did not wait
    assert stage.batches == []
    bus.connection.client.delete(bus.keys.stream("faces"))
    eventually(lambda: len(stage.batches) == 2)  # its own results fill the stream again
    copying.stop.set()
    running.join(60)
    assert not running.is_alive()


def start_detector(server_url: str, settings: BusSettings, name: str = "one", **more: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "CROWDMOOD_BUS_URL": server_url,
        "CROWDMOOD_STATE_URL": server_url,
        "CROWDMOOD_BUS__KEY_PREFIX": settings.key_prefix,
        "CROWDMOOD_LOG__FORMAT": "json",
        **more,
    }
    command = [sys.executable, "-m", "app", "detect", "--name", name]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_ready(bus: Bus) -> None:
    eventually(lambda: bus.healthy_workers("detector"))


def test_signal_stops_a_worker_with_a_summary_and_exit_code_0(
    bus: Bus, server_url: str, bus_settings: BusSettings
) -> None:
    process = start_detector(server_url, bus_settings)
    eventually(lambda: bus.healthy_workers("detector"), unless=lambda: process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert log.count("stops after") == 1
    assert bus.healthy_workers("detector") == []


def test_supervised_worker_stops_when_its_parent_has_ended(
    bus: Bus, server_url: str, bus_settings: BusSettings
) -> None:
    process = start_detector(server_url, bus_settings, CROWDMOOD_SUPERVISED="1")
    eventually(lambda: bus.healthy_workers("detector"), unless=lambda: process.poll() is not None)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_frames_that_cannot_be_decoded_become_dead_letters_and_others_are_processed(
    bus: Bus, server_url: str, bus_settings: BusSettings, assets: object
) -> None:
    import numpy as np
    import simplejpeg

    from crowdmood.core.settings import DetectorSettings
    from detector.finder import FaceFinder
    from detector.haar import HaarDetector
    from detector.service import DetectorStage

    def sized(frame_id: int, height: int, width: int) -> Frame:
        jpeg = simplejpeg.encode_jpeg(np.zeros((height, width, 1), np.uint8), colorspace="GRAY")
        return Frame(FrameRef("north", "run-1", frame_id, frame_id * 200, width, height, True), bytes(jpeg))

    good = sized(3, 48, 64)
    huge = sized(1, 10_000, 10_000)  # 100 megapixels
    cut = Frame(frame(2).ref, good.jpeg[: len(good.jpeg) // 2])
    bus.publish([("frames", message) for message in (frame(0), huge, cut, good)])
    stage = DetectorStage(FaceFinder(HaarDetector(DetectorSettings()), max_megapixels=50, max_faces=5000), {})
    worker(bus, bus_settings, stage).run(drain=True)
    (entry,) = bus.connection.client.xrange(bus.keys.stream("faces"))
    faces = decode(entry[1])
    assert isinstance(faces, Faces)
    assert (faces.ref.frame_id, len(faces.boxes)) == (3, 0)
    letters = bus.connection.client.xrange(bus.keys.stream("dead"))
    assert [fields[b"reason"] for _, fields in letters] == [b"undecodable", b"frame_too_large", b"undecodable"]


def test_health_of_a_host_is_that_of_its_own_workers(server_url: str, bus_settings: BusSettings) -> None:

    settings = Settings(bus_url=SecretStr(server_url), state_url=SecretStr(server_url), bus=bus_settings)
    bus = Bus(server_url, bus_settings)
    bus.beat("detector", "one-7", 60)
    assert [finding.healthy for finding in check.check(settings, ["detector"], "one")] == [True]
    assert [finding.healthy for finding in check.check(settings, ["detector"], "other")] == [False]
    assert [finding.healthy for finding in check.check(settings, ["detector"])] == [True]
