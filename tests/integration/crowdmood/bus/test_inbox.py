"""Delivery of entries against a real server: each is processed, whichever process dies in between."""

import time
from typing import Any

import pytest

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.streams import Bus
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Frame, FrameRef


def frame(frame_id: int) -> Frame:
    return Frame(FrameRef("north", "run-1", frame_id, frame_id * 200, 64, 48, recorded=True), b"pixels")


def ids(entries: list) -> list[int]:
    return [int(entry.fields[b"frame_id"]) for entry in entries]


def inbox(bus: Bus, settings: BusSettings, consumer: str = "one", **more: Any) -> Inbox:
    return Inbox(bus, ["frames"], "detector", consumer, settings, **more)


def test_reads_entries_published_before_the_group_existed(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(0)), ("frames", frame(1))])
    assert ids(inbox(bus, bus_settings).read(10, 0)) == [0, 1]


def test_is_idle_when_every_entry_is_acknowledged(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(0)), ("frames", frame(1))])
    reader = inbox(bus, bus_settings)
    first, second = reader.read(10, 0)
    bus.publish(done=[first], group="detector")
    assert not reader.idle()
    bus.publish(done=[second], group="detector")
    assert reader.idle()


def test_each_entry_goes_to_one_worker_of_a_group(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(4)])
    one, two = inbox(bus, bus_settings, "one"), inbox(bus, bus_settings, "two")
    assert ids(one.read(2, 0)) == [0, 1]
    assert ids(two.read(9, 0)) == [2, 3]


def test_restarted_worker_gets_its_pending_entries_one_at_a_time(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(3)])
    assert len(inbox(bus, bus_settings).read(2, 0)) == 2  # and this worker dies
    restarted = inbox(bus, bus_settings)
    deliveries = [restarted.read(10, 0) for _ in range(3)]
    assert [ids(entries) for entries in deliveries] == [[0], [1], [2]]
    assert [entries[0].deliveries for entries in deliveries] == [2, 2, 1]


def test_claims_the_entries_of_a_dead_worker(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(3)])
    inbox(bus, bus_settings, "dead").read(3, 0)
    now_s = 0.0
    alive = inbox(bus, bus_settings.model_copy(update={"claim_idle_s": 0.2}), "alive", clock=lambda: now_s)
    assert alive.read(3, 0) == []  # too early: the other worker may still be working
    time.sleep(0.25)  # the server measures how long entries have been idle
    now_s = 1.0
    claimed = [alive.read(3, 0) for _ in range(3)]
    assert [ids(entries) for entries in claimed] == [[0], [1], [2]]
    assert alive.claimed == 3
    assert claimed[0][0].deliveries == 2


def test_claiming_continues_at_its_cursor_and_skips_finished_entries(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(5)])
    held = inbox(bus, bus_settings, "dead").read(5, 0)
    bus.publish(done=held[1:3], group="detector")
    now_s = 0.0
    alive = inbox(bus, bus_settings.model_copy(update={"claim_idle_s": 0.2}), "alive", clock=lambda: now_s)
    time.sleep(0.25)
    now_s = 1.0
    assert [ids(alive.read(3, 0)) for _ in range(4)] == [[0], [3], [4], []]


def test_new_leader_claims_all_entries_at_once(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(i)) for i in range(5)])
    inbox(bus, bus_settings, "old", claims=False).read(4, 0)
    leader = inbox(bus, bus_settings, "new", claims=False)
    leader.claim_all()
    assert ids(leader.read(100, 0)) == [0, 1, 2, 3]
    assert ids(leader.read(100, 0)) == [4]


def test_recreates_a_lost_group(bus: Bus, bus_settings: BusSettings) -> None:
    reader = inbox(bus, bus_settings)
    assert reader.read(1, 0) == []
    bus.connection.client.xgroup_destroy(bus.keys.stream("frames"), "detector")
    bus.publish([("frames", frame(0))])
    assert ids(reader.read(1, 0)) == [0]


def test_recreates_a_lost_stream(bus: Bus, bus_settings: BusSettings) -> None:
    reader = inbox(bus, bus_settings)
    assert reader.read(1, 0) == []
    bus.connection.client.delete(bus.keys.stream("frames"))
    assert reader.read(1, 0) == []
    bus.publish([("frames", frame(0))])
    assert ids(reader.read(1, 0)) == [0]


def test_leaving_deletes_the_consumer_unless_it_has_pending_entries(bus: Bus, bus_settings: BusSettings) -> None:
    def consumers() -> list[bytes]:
        return [row["name"] for row in bus.connection.client.xinfo_consumers(bus.keys.stream("frames"), "detector")]

    bus.publish([("frames", frame(0))])
    reader = inbox(bus, bus_settings, "gone")
    (entry,) = reader.read(1, 0)
    reader.leave()
    assert consumers() == [b"gone"]
    bus.publish(done=[entry], group="detector")
    reader.leave()
    assert consumers() == []


def test_entries_of_a_lost_reply_are_delivered_again(bus: Bus, bus_settings: BusSettings) -> None:
    reader = inbox(bus, bus_settings)
    reader.read(1, 0)
    bus.publish([("frames", frame(0)), ("frames", frame(1))])
    inbox(bus, bus_settings).read(1, 0)  # delivered to the same consumer, as if the reply had been lost
    bus.connection.outages += 1
    assert [ids(reader.read(1, 0)) for _ in range(2)] == [[0], [1]]


def test_deletes_the_names_of_consumers_that_are_gone_and_hold_nothing(
    bus: Bus, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crowdmood.bus.inbox._GONE_AFTER_MS", 300)
    settings = bus_settings.model_copy(update={"claim_idle_s": 0.05})
    bus.publish([("frames", frame(0))])
    inbox(bus, settings, "former", claims=False).read(1, 0)
    inbox(bus, settings, "idle", claims=False).read(1, 0)
    now_s = 0.0
    alive = inbox(bus, settings.model_copy(update={"claim_idle_s": 0.06}), "alive", clock=lambda: now_s)

    def names() -> set[bytes]:
        key = bus.keys.stream("frames")
        return {row["name"] for row in bus.connection.client.xinfo_consumers(key, "detector")}

    time.sleep(0.7)
    alive.read(1, 0)
    assert names() == {b"former", b"idle", b"alive"}  # it cleans once a minute
    now_s = 61.0
    (claimed,) = alive.read(1, 0)  # from the former one, which holds nothing now
    bus.publish(done=[claimed], group="detector")
    alive.read(1, 0)
    assert names() == {b"alive"}
