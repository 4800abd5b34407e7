"""Recorded cameras advance together in event time."""

from collections.abc import Iterator

from crowdmood.core.errors import SourceError
from ingest.encoding import JpegImage
from ingest.recorded import merge
from ingest.sources.base import RecordedFrame


def frames(*times_ms: int, breaks: str = "") -> Iterator[RecordedFrame]:
    for at_ms in times_ms:
        yield RecordedFrame(at_ms, lambda: JpegImage(b"", 1, 1))
    if breaks:
        raise SourceError(breaks)


def steps(*footage: Iterator[RecordedFrame]) -> list[tuple[int, int, int | str]]:
    return [
        (s.camera, s.at_ms, s.frame_id if s.frame else f"end of {s.frame_id} {s.problem}".strip())
        for s in merge(footage)
    ]


def test_merges_cameras_by_event_time_and_then_by_their_order() -> None:
    # 0: 0     200     400
    # 1: 0 100 200 300
    assert steps(frames(0, 200, 400), frames(0, 100, 200, 300)) == [
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


def test_footage_that_breaks_off_ends_there_and_others_continue() -> None:
    assert steps(frames(0, 100, breaks="damaged"), frames(0, 200)) == [
        (0, 0, 0),
        (1, 0, 0),
        (0, 100, 1),
        (0, 100, "end of 2 damaged"),
        (1, 200, 1),
        (1, 200, "end of 2"),
    ]


def test_merges_no_footage_and_empty_footage() -> None:
    assert steps() == []
    assert steps(frames()) == [(0, 0, "end of 0")]
    assert steps(frames(breaks="gone")) == [(0, 0, "end of 0 gone")]
