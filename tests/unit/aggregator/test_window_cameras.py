"""Which cameras windows wait for when the settings name others than before.

Frames are drawn as camera letters over a time line in seconds: each is a second after the one before.
"""

import itertools
import json

from aggregator.windows import ClosedWindow, EventTimeWindows, WindowPolicy
from crowdmood.domain.messages import FrameRef

POLICY = WindowPolicy(window_ms=3000, hop_ms=1000, allowed_lateness_ms=2000, idle_timeout_ms=5000, max_wait_ms=60_000)


def see(
    target: EventTimeWindows[str], camera: str, frame_id: int, at_ms: int | None = None, *, recorded: bool = True
) -> str:
    at_ms = frame_id * 1000 if at_ms is None else at_ms
    target.advance(at_ms)
    return target.observe(FrameRef(camera, "r", frame_id, at_ms, 640, 480, recorded), f"{camera}{frame_id}")


def spans(closed: list[ClosedWindow[str]]) -> list[tuple[int, int, str]]:
    return [(w.start_ms, w.end_ms, " ".join(itertools.chain(*w.frames.values()))) for w in closed]


def restarted(before: EventTimeWindows[str], expected: dict[str, bool]) -> EventTimeWindows[str]:
    """A successor that has other cameras, and sees again what was held."""
    target: EventTimeWindows[str] = EventTimeWindows(POLICY, expected)
    target.restore(json.loads(json.dumps(before.snapshot())))
    for name in before.held():
        camera, frame_id = name[0], int(name[1:])
        recorded = next(run["recorded"] for run in before.snapshot()["runs"] if run["camera_id"] == camera)
        assert see(target, camera, frame_id, recorded=recorded) == "returned"
    return target


def two_cameras(*, recorded: bool) -> EventTimeWindows[str]:
    # A0    A1    A2    A3    A4
    # B0    B1    B2
    target: EventTimeWindows[str] = EventTimeWindows(POLICY, {"A": recorded, "B": recorded})
    for frame_id in range(5):
        see(target, "A", frame_id, recorded=recorded)
        if frame_id < 3:
            see(target, "B", frame_id, recorded=recorded)
    assert [w.end_ms for w in target.close_ready()] == [1000, 2000]
    target.release()
    return target


def test_footage_that_was_taken_away_is_waited_for_no_more() -> None:
    target = restarted(two_cameras(recorded=True), {"A": True})
    closed = target.close_ready()
    assert spans(closed) == [(0, 3000, "A0 A1 A2 B0 B1 B2"), (1000, 4000, "A1 A2 A3 B1 B2")]
    for frame_id in range(5, 8):
        see(target, "A", frame_id)
    closed = target.close_ready()
    assert spans(closed)[-1] == (4000, 7000, "A4 A5 A6")
    assert closed[-1].cameras == {"A": "live"}
    # What was still on its way is counted where there is time for it, and holds nothing up.
    see(target, "B", 7, 7500)
    see(target, "A", 8, 8000)
    assert spans(target.close_ready()) == [(5000, 8000, "A5 A6 A7 B7")]
    target.end("A", "r", 9, recorded=True)
    assert [w.end_ms for w in target.close_ready()] == [9000]


def test_footage_whose_first_word_comes_after_it_was_taken_away_holds_nothing_up() -> None:
    target: EventTimeWindows[str] = EventTimeWindows(POLICY, {"A": True})
    target.expect("B", "r", recorded=True)
    for frame_id in range(3):
        see(target, "A", frame_id)
    closed = target.close_ready()
    assert [w.end_ms for w in closed] == [1000, 2000]
    assert closed[-1].cameras == {"A": "live"}


def test_a_live_camera_that_was_taken_away_is_named_no_more() -> None:
    target = restarted(two_cameras(recorded=False), {"A": False})
    for frame_id in range(5, 12):
        see(target, "A", frame_id, recorded=False)
    assert target.close_ready()[-1].cameras == {"A": "live"}


def test_footage_that_was_added_is_waited_for() -> None:
    target = restarted(two_cameras(recorded=True), {"A": True, "B": True, "C": True})
    see(target, "B", 3, 3000)
    assert target.close_ready() == []
    see(target, "C", 0, 0)
    see(target, "C", 1, 3000)
    closed = target.close_ready()
    assert [w.end_ms for w in closed] == [3000]
    assert closed[0].cameras == {"A": "live", "B": "live", "C": "idle"}
    assert see(target, "C", 2, 3500) == "counted"


def test_footage_that_was_taken_away_and_brought_back_goes_on() -> None:
    target = restarted(restarted(two_cameras(recorded=True), {"A": True}), {"A": True, "B": True})
    assert target.close_ready() == []
    see(target, "B", 3, 3000)
    assert [w.end_ms for w in target.close_ready()] == [3000]


def test_without_a_list_of_cameras_those_that_sent_frames_are_waited_for() -> None:
    target = restarted(two_cameras(recorded=True), {})
    see(target, "A", 5, 5000)
    assert target.close_ready() == []
    see(target, "B", 3, 3000)
    assert [w.end_ms for w in target.close_ready()] == [3000]
