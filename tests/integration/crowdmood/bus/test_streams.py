"""Publishing against a real server: results, acknowledgements, dead letters, replies to photos, cursors, heartbeats."""

import numpy as np
import pytest

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.streams import Bus, DeadLetter, Entry
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import PHOTO_CAMERA, Emotions, Fields, Frame, FrameRef, FramesLost, Message, decode
from tests.waiting import eventually


def frame(frame_id: int) -> Frame:
    return Frame(FrameRef("north", "run-1", frame_id, frame_id * 200, 64, 48, recorded=True), b"pixels")


def photo(reply_to: str) -> FrameRef:
    return FrameRef(PHOTO_CAMERA, "one", 0, 0, 64, 48, recorded=False, reply_to=reply_to)


def emotions(ref: FrameRef) -> Emotions:
    none = np.empty(0, np.float16)
    return Emotions(ref, np.empty((0, 4), np.int32), np.empty((0, 8), np.float16), none, none, "model", "haar")


def read(bus: Bus, settings: BusSettings, count: int = 10) -> list[Entry]:
    return Inbox(bus, ["frames", "photos"], "detector", "one", settings).read(count, 0)


def messages(bus: Bus, key: str) -> list[Message]:
    return [decode(fields) for _, fields in bus.connection.client.xrange(key)]


def dead_letters(bus: Bus) -> list[Fields]:
    return [fields for _, fields in bus.connection.client.xrange(bus.keys.stream("dead"))]


def test_acknowledged_entry_is_deleted(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(0)), ("frames", frame(1))])
    first, _ = read(bus, bus_settings)
    bus.publish([("faces", frame(0))], done=[first], group="detector")
    assert (bus.backlog("frames"), bus.backlog("faces")) == (1, 1)


def test_dead_letter_has_the_cause_and_no_pixels_and_the_loss_is_published(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", frame(7))])
    (entry,) = read(bus, bus_settings)
    bus.publish(dead=[DeadLetter(entry, "undecodable", "the frame is no JPEG")], group="detector")
    (letter,) = dead_letters(bus)
    assert letter[b"stage"] == b"detector"
    assert letter[b"reason"] == b"undecodable"
    assert letter[b"frame_id"] == b"7"
    assert b"pixels" not in b"".join(letter.values())
    assert messages(bus, bus.keys.stream("control")) == [FramesLost("north", "run-1", 7, 7, "undecodable")]
    assert bus.backlog("frames") == 0


def test_dead_letter_without_the_identity_of_a_frame_is_kept_and_no_loss_is_published(
    bus: Bus, bus_settings: BusSettings
) -> None:
    bus.connection.client.xadd(bus.keys.stream("frames"), {b"noise": b"\xff" * 100})
    (entry,) = read(bus, bus_settings)
    bus.publish(dead=[DeadLetter(entry, "undecodable", "unknown message kind")], group="detector")
    assert [letter[b"reason"] for letter in dead_letters(bus)] == [b"undecodable"]
    assert bus.backlog("control") == 0


def test_only_the_newest_dead_letters_are_kept(server_url: str, bus_settings: BusSettings) -> None:
    bus = Bus(server_url, bus_settings.model_copy(update={"dead_letters_kept": 3}))
    bus.publish([("frames", frame(i)) for i in range(5)])
    for entry in read(bus, bus_settings):
        bus.publish(dead=[DeadLetter(entry, "undecodable", "")], group="detector")
    assert [letter[b"frame_id"] for letter in dead_letters(bus)] == [b"2", b"3", b"4"]
    bus.close()


@pytest.mark.parametrize("reply_to", ["here", "there"])
def test_result_of_a_photo_goes_to_the_reply_stream_that_it_names_and_expires(bus: Bus, reply_to: str) -> None:
    bus.publish([("emotions", result := emotions(photo(reply_to)))])
    (found,) = messages(bus, bus.keys.reply(reply_to))
    assert isinstance(found, Emotions)
    assert found.ref == result.ref
    assert 0 < bus.connection.client.pttl(bus.keys.reply(reply_to)) <= 10_000
    assert bus.backlog("emotions") == 0


def test_loss_of_a_photo_goes_to_its_reply_stream(bus: Bus, bus_settings: BusSettings) -> None:
    bus.publish([("frames", Frame(photo("here"), b"pixels"))])
    (entry,) = read(bus, bus_settings)
    bus.publish(dead=[DeadLetter(entry, "undecodable", "")], group="detector")
    (lost,) = messages(bus, bus.keys.reply("here"))
    assert isinstance(lost, FramesLost)
    assert (lost.reason, lost.reply_to) == ("undecodable", "here")
    assert bus.backlog("control") == 0


def test_photo_of_an_api_without_reply_to_is_answered_in_the_stream_of_its_run(bus: Bus) -> None:
    older = FrameRef.from_fields(photo("").to_fields())
    bus.publish([("emotions", emotions(older))])
    assert len(messages(bus, bus.keys.reply("one"))) == 1
    assert bus.backlog("emotions") == 0


def test_results_of_a_camera_stay_on_the_streams_between_the_stages(bus: Bus) -> None:
    bus.publish([("emotions", emotions(frame(0).ref)), ("control", FramesLost("north", "run-1", 1, 1, "overload"))])
    assert (bus.backlog("emotions"), bus.backlog("control")) == (1, 1)


def test_cursor_belongs_to_a_run(bus: Bus) -> None:
    assert bus.cursor("north", "run-1") == -1
    bus.publish([("frames", frame(41))], cursors={"north": ("run-1", 41)})
    assert bus.cursor("north", "run-1") == 41
    assert bus.cursor("north", "run-2") == -1
    assert bus.published_frames() == {"north": ("run-1", 42)}


def test_worker_is_healthy_until_its_heartbeat_expires_or_ends(bus: Bus) -> None:
    bus.beat("detector", "one", ttl_s=600)
    bus.beat("detector", "two", ttl_s=2)
    assert bus.healthy_workers("detector") == ["one", "two"]
    eventually(lambda: bus.healthy_workers("detector") == ["one"])
    bus.end_heartbeat("detector", "one")
    assert bus.healthy_workers("detector") == []
