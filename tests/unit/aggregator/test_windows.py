"""When windows close and what is in them, whatever the order of arrival.

Frames are drawn as camera letters over a time line in seconds; a window [start, end) holds its start, not its end.
"""

import itertools
import random

import pytest

from aggregator.windows import ClosedWindow, EventTimeWindows, WindowPolicy
from crowdmood.domain.messages import FrameRef

POLICY = WindowPolicy(window_ms=3000, hop_ms=1000, allowed_lateness_ms=2000, idle_timeout_ms=5000, max_wait_ms=60_000)


def ref(camera: str, frame_id: int, at_ms: int, *, recorded: bool = True, run: str = "r") -> FrameRef:
    return FrameRef(camera, run, frame_id, at_ms, 640, 480, recorded)


def windows(expected: dict[str, bool] | None = None, policy: WindowPolicy = POLICY) -> EventTimeWindows[str]:
    return EventTimeWindows(policy, expected)


def see(target: EventTimeWindows[str], camera: str, frame_id: int, at_ms: int, **more: object) -> str:
    """Add a frame that arrives when it is captured."""
    target.advance(at_ms)
    return target.observe(ref(camera, frame_id, at_ms, **more), f"{camera}{frame_id}")  # type: ignore[arg-type]


def spans(closed: list[ClosedWindow[str]]) -> list[tuple[int, int, str]]:
    return [(w.start_ms, w.end_ms, " ".join(itertools.chain(*w.frames.values()))) for w in closed]


def test_a_window_closes_when_a_frame_at_its_end_arrives_and_does_not_hold_it() -> None:
    # A0        A1        A2
    # 0         0.5       1.0
    target = windows({"A": True})
    see(target, "A", 0, 0)
    see(target, "A", 1, 500)
    assert target.close_ready() == []
    see(target, "A", 2, 1000)
    assert spans(target.close_ready()) == [(-2000, 1000, "A0 A1")]


def test_windows_slide_by_the_hop_and_overlap() -> None:
    target = windows({"A": True})
    for frame_id in range(5):
        see(target, "A", frame_id, frame_id * 1000)
    assert spans(target.close_ready()) == [
        (-2000, 1000, "A0"),
        (-1000, 2000, "A0 A1"),
        (0, 3000, "A0 A1 A2"),
        (1000, 4000, "A1 A2 A3"),
    ]


def test_the_slowest_camera_decides() -> None:
    target = windows({"A": True, "B": True})
    for frame_id in range(4):
        see(target, "A", frame_id, frame_id * 1000)
    assert target.close_ready() == []  # B is configured and has not been heard of
    see(target, "B", 0, 0)
    see(target, "B", 1, 2000)
    assert [w.end_ms for w in target.close_ready()] == [1000, 2000]


def test_a_gap_in_recorded_footage_is_waited_for_without_end() -> None:
    target = windows({"A": True})
    for frame_id in (0, 1, 3, 4, 50):  # 2 is missing
        see(target, "A", frame_id, frame_id * 1000)
    assert [w.end_ms for w in target.close_ready()] == [1000]
    see(target, "A", 2, 2000)
    assert spans(target.close_ready())[-1] == (1000, 4000, "A1 A2 A3")


def test_a_lost_frame_is_not_waited_for() -> None:
    target = windows({"A": True})
    for frame_id in (0, 1, 3, 4):
        see(target, "A", frame_id, frame_id * 1000)
    assert target.lose("A", "r", [2]) == 1
    assert target.lose("A", "r", [2]) == 0
    assert spans(target.close_ready())[-1] == (1000, 4000, "A1 A3")


def test_a_frame_millions_ahead_of_its_run_is_ignored_with_its_loss() -> None:
    target = windows({"A": False})
    see(target, "A", 0, 0, recorded=False)
    assert see(target, "A", 2**31 - 2, 1000, recorded=False) == "impossible"
    assert target.lose("A", "r", range(2**31 - 2, 2**31 - 1)) == 0
    assert see(target, "A", 1, 5000, recorded=False) == "counted"
    assert (target.accounts()["A"].accepted, target.accounts()["A"].missing) == (2, 0)


def test_a_gap_of_a_live_camera_is_waited_for_as_long_as_lateness_allows() -> None:
    target = windows({"A": False})
    for frame_id in (0, 1, 3):
        see(target, "A", frame_id, frame_id * 1000, recorded=False)
    assert [w.end_ms for w in target.close_ready()] == [1000]
    see(target, "A", 4, 4000, recorded=False)
    see(target, "A", 5, 5000, recorded=False)  # frame 3 is 2 s old now: 2 is given up
    assert [w.end_ms for w in target.close_ready()] == [2000, 3000, 4000, 5000]
    assert see(target, "A", 2, 2000, recorded=False) == "duplicate"  # accounted for as missing


def test_a_silent_live_camera_goes_idle_and_counts_again_when_it_returns() -> None:
    target = windows({"A": False, "B": False})
    see(target, "A", 0, 0, recorded=False)
    see(target, "B", 0, 0, recorded=False)
    for second in range(1, 6):
        see(target, "A", second, second * 1000, recorded=False)
    assert target.close_ready() == []
    see(target, "A", 6, 6000, recorded=False)
    closed = target.close_ready()
    assert [w.end_ms for w in closed] == [1000, 2000, 3000, 4000, 5000, 6000]
    assert closed[-1].cameras == {"A": "live", "B": "idle"}
    see(target, "B", 1, 6100, recorded=False)
    see(target, "A", 7, 7000, recorded=False)
    assert target.close_ready() == []  # B is waited for again
    see(target, "B", 2, 7100, recorded=False)
    assert target.close_ready()[-1].cameras == {"A": "live", "B": "live"}


def test_a_configured_live_camera_that_never_speaks_holds_nothing_up() -> None:
    target = windows({"A": False, "B": False})
    for second in range(7):
        see(target, "A", second, second * 1000, recorded=False)
    assert target.close_ready()[-1].cameras == {"A": "live", "B": "idle"}


def test_a_frame_is_counted_once() -> None:
    target = windows({"A": True})
    assert see(target, "A", 0, 0) == "counted"
    assert see(target, "A", 0, 0) == "duplicate"
    see(target, "A", 1, 1000)
    assert spans(target.close_ready()) == [(-2000, 1000, "A0")]
    assert see(target, "A", 0, 0) == "duplicate"


def test_a_frame_for_a_closed_window_is_late() -> None:
    target = windows({"A": False})
    see(target, "A", 0, 0, recorded=False)
    see(target, "A", 5, 5000, recorded=False)
    see(target, "A", 9, 9000, recorded=False)
    assert target.close_ready()[-1].end_ms == 3000
    assert see(target, "A", 6, 2900, recorded=False) == "late"
    assert see(target, "A", 7, 5500, recorded=False) == "counted"


def test_the_end_of_all_footage_closes_what_is_left() -> None:
    target = windows({"A": True, "B": True})
    see(target, "A", 0, 0)
    see(target, "A", 1, 1500)
    target.end("A", "r", 2, recorded=True)
    see(target, "B", 0, 400)
    assert target.close_ready() == []
    target.end("B", "r", 1, recorded=True)
    closed = target.close_ready()
    assert spans(closed) == [(-2000, 1000, "A0 B0"), (-1000, 2000, "A0 A1 B0")]
    assert closed[0].cameras == {"A": "live", "B": "ended"}
    assert closed[1].cameras == {"A": "ended", "B": "ended"}
    assert sorted(target.release()) == ["A0", "A1", "B0"]
    assert target.close_ready() == []


def test_the_end_waits_for_frames_that_are_still_on_their_way() -> None:
    target = windows({"A": True})
    target.end("A", "r", 3, recorded=True)
    see(target, "A", 2, 2000)
    see(target, "A", 0, 0)
    assert not target.ended("A")
    see(target, "A", 1, 1000)
    assert target.ended("A")
    assert [w.end_ms for w in target.close_ready()] == [1000, 2000, 3000]


def test_footage_without_frames_ends_without_windows() -> None:
    target = windows({"A": True})
    target.end("A", "r", 0, recorded=True)
    assert target.close_ready() == []
    assert target.ended("A")


def test_hours_of_silence_give_no_empty_windows() -> None:
    target = windows({"A": False})
    see(target, "A", 0, 0, recorded=False)
    see(target, "A", 1, 3_600_000, recorded=False)
    see(target, "A", 2, 3_601_000, recorded=False)
    assert spans(target.close_ready()) == [
        (-2000, 1000, "A0"),
        (-1000, 2000, "A0"),
        (0, 3000, "A0"),
        (3_598_000, 3_601_000, "A1"),
    ]


def test_a_new_run_of_a_camera_takes_over_and_stragglers_do_not_bring_the_old_one_back() -> None:
    target = windows({"A": False})
    see(target, "A", 0, 0, recorded=False, run="first")
    see(target, "A", 1, 1000, recorded=False, run="first")
    see(target, "A", 0, 2000, recorded=False, run="second")
    see(target, "A", 1, 9000, recorded=False, run="second")
    see(target, "A", 2, 12000, recorded=False, run="second")
    assert spans(target.close_ready())[1] == (-1000, 2000, "A0 A1")
    target.release()
    assert see(target, "A", 2, 13000, recorded=False, run="first") == "late"
    assert target.watermark_ms() == 12000


def test_what_no_window_needs_is_handed_back() -> None:
    target = windows({"A": True})
    for second in range(6):
        see(target, "A", second, second * 1000)
    target.close_ready()  # the last one ends at 5 s; the next one starts at 3 s
    assert target.release() == ["A0", "A1", "A2"]
    assert target.held() == ["A3", "A4", "A5"]


def footage() -> list[FrameRef]:
    return [ref(camera, i, i * 200 + shift) for camera, shift in (("A", 0), ("B", 70), ("C", 140)) for i in range(60)]


def run_through(frames: list[FrameRef], step: int = 1) -> list[ClosedWindow[str]]:
    target = windows({"A": True, "B": True, "C": True})
    for camera in "ABC":
        target.end(camera, "r", 60, recorded=True)
    closed: list[ClosedWindow[str]] = []
    for start in range(0, len(frames), step):
        for frame in frames[start : start + step]:
            target.observe(frame, f"{frame.camera_id}{frame.frame_id}")
        closed += target.close_ready()
        target.release()
    return closed


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_arrival_changes_nothing(seed: int) -> None:
    frames = footage()
    expected = run_through(sorted(frames, key=lambda frame: frame.captured_at_ms))
    random.Random(seed).shuffle(frames)
    assert run_through(frames, step=1 + seed * 7) == expected
    assert len(expected) == 12


@pytest.mark.parametrize("seed", range(5))
def test_a_successor_goes_on_as_if_nothing_had_happened(seed: int) -> None:
    chance = random.Random(seed)
    frames = footage()
    expected = run_through(frames)
    # Neighbours arrive out of order.
    frames.sort(key=lambda frame: frame.captured_at_ms + chance.uniform(0, 2000))
    target = windows({"A": True, "B": True, "C": True})
    closed: list[ClosedWindow[str]] = []
    unacknowledged: list[FrameRef] = []
    for frame in frames:
        target.observe(frame, f"{frame.camera_id}{frame.frame_id}")
        unacknowledged.append(frame)
        closed += target.close_ready()
        released = set(target.release())
        unacknowledged = [f for f in unacknowledged if f"{f.camera_id}{f.frame_id}" not in released]
        if chance.random() < 0.1:
            snapshot = target.snapshot()
            target = windows({"A": True, "B": True, "C": True})
            target.restore(snapshot)
            for again in unacknowledged:
                assert target.observe(again, f"{again.camera_id}{again.frame_id}") == "returned"
    for camera in "ABC":
        target.end(camera, "r", 60, recorded=True)
    closed += target.close_ready()
    assert closed == expected
