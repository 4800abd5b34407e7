"""Recorded cameras advance together, and what is to be said of a live one stays bounded."""

from collections.abc import Iterator

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import CameraSettings
from crowdmood.domain.messages import FramesLost
from ingest.cameras import CameraRun, Tally
from ingest.encoding import Picture
from ingest.merging import merge
from ingest.outbox import Outbox
from ingest.sources.base import Shot


def shots(*times_ms: int, breaks: str = "") -> Iterator[Shot]:
    for at_ms in times_ms:
        yield Shot(at_ms, lambda: Picture(b"", 1, 1))
    if breaks:
        raise SourceError(breaks)


def told(*footage: Iterator[Shot]) -> list[tuple[int, int, int | str]]:
    return [
        (s.camera, s.at_ms, s.frame_id if s.shot else f"end of {s.frame_id} {s.problem}".strip())
        for s in merge(footage)
    ]


def test_cameras_are_merged_by_event_time_and_then_by_their_order() -> None:
    # 0: 0     200     400
    # 1: 0 100 200 300
    assert told(shots(0, 200, 400), shots(0, 100, 200, 300)) == [
        (0, 0, 0),
        (1, 0, 0),
        (1, 100, 1),
        (0, 200, 1),
        (1, 200, 2),
        (1, 300, 3),
        (1, 300, "end of 4"),
        (0, 400, 2),
        (0, 400, "end of 3"),
    ]


def test_footage_that_breaks_off_ends_there_and_the_others_go_on() -> None:
    assert told(shots(0, 100, breaks="torn"), shots(0, 200)) == [
        (0, 0, 0),
        (1, 0, 0),
        (0, 100, 1),
        (0, 100, "end of 2 torn"),
        (1, 200, 1),
        (1, 200, "end of 2"),
    ]


def test_no_footage_and_empty_footage_merge_too() -> None:
    assert told() == []
    assert told(shots()) == [(0, 0, "end of 0")]
    assert told(shots(breaks="gone")) == [(0, 0, "end of 0 gone")]


RUN = CameraRun(
    CameraSettings.model_validate({"id": "north", "uri": "rtsp://eye:secret@cam.example/1?key=secret"}), "7"
)


def test_losses_that_touch_become_one_range_and_only_the_newest_state_is_kept() -> None:
    outbox = Outbox()
    assert outbox.messages() == []
    outbox.announce(RUN.state("down", "gone"))
    for frame_id, reason in [(3, "overload"), (4, "overload"), (5, "bus_unavailable"), (7, "bus_unavailable")]:
        outbox.lose(RUN.lost(frame_id, reason))
    live = RUN.state("live")
    outbox.announce(live)
    assert outbox.messages() == [
        FramesLost("north", "7", 3, 4, "overload"),
        FramesLost("north", "7", 5, 5, "bus_unavailable"),
        FramesLost("north", "7", 7, 7, "bus_unavailable"),
        live,
    ]
    outbox.clear()
    assert outbox.messages() == []


def test_a_cameras_state_never_holds_its_credentials() -> None:
    state = RUN.state("opening")
    assert state.source == "rtsp://cam.example/1"
    assert not state.recorded
    assert b"secret" not in b"".join(state.to_fields().values())


def test_the_summary_counts_frames_and_losses_by_reason() -> None:
    tally = Tally()
    assert str(tally) == "0 frames, lost: none"
    tally.ingested("north")
    for reason in ("overload", "unreadable", "overload"):
        tally.lose(reason)
    assert str(tally) == "1 frames, lost: 2 overload, 1 unreadable"
