"""How long windows wait for live cameras: by the time of arrival, whatever the cameras' clocks show.

Each line of a time line is a camera; columns are seconds of arrival.
"""

import pytest

from aggregator.windows import ClosedWindow, EventTimeWindows, WindowPolicy
from crowdmood.domain.messages import FrameRef

POLICY = WindowPolicy(window_ms=10_000, hop_ms=1000, allowed_lateness_ms=2000, idle_timeout_ms=5000, max_wait_ms=3000)
SECOND = 1000


class Live:
    """Windows over live cameras whose frames arrive at given times."""

    def __init__(self, *cameras: str, recorded: tuple[str, ...] = ()) -> None:
        self.windows: EventTimeWindows[str] = EventTimeWindows(
            POLICY, {name: name in recorded for name in (*cameras, *recorded)}
        )
        self.closed: list[tuple[int, ClosedWindow[str]]] = []
        self.verdicts: dict[str, list[str]] = {}
        self._next: dict[str, int] = {}

    def arrive(self, camera: str, now_ms: int, captured_at_ms: int, *, recorded: bool = False) -> None:
        """Add the camera's next frame, and close what may close then."""
        frame_id = self._next.get(camera, 0)
        self._next[camera] = frame_id + 1
        self.windows.advance(now_ms)
        ref = FrameRef(camera, "r", frame_id, captured_at_ms, 640, 480, recorded)
        self.verdicts.setdefault(camera, []).append(self.windows.observe(ref, f"{camera}{frame_id}"))
        self.close(now_ms)

    def close(self, now_ms: int) -> None:
        """Close what may close at a time."""
        self.windows.advance(now_ms)
        self.closed += [(now_ms, window) for window in self.windows.close_ready()]
        self.windows.release()


def test_slow_camera_delays_moods_by_the_longest_wait_and_all_its_frames_count() -> None:
    # A: every second;  S: every 7 s
    live = Live("A", "S")
    for second in range(60):
        live.arrive("A", second * SECOND, second * SECOND)
        if second % 7 == 0:
            live.arrive("S", second * SECOND + 500, second * SECOND + 400)
    delays = [now_ms - window.end_ms for now_ms, window in live.closed]
    assert len(delays) > 50
    assert max(delays) <= POLICY.max_wait_ms + SECOND
    assert set(live.verdicts["S"]) == {"counted"}
    assert {window.cameras["S"] for _, window in live.closed[10:]} == {"live"}
    assert all(window.waited_ms >= now_ms - window.end_ms - SECOND for now_ms, window in live.closed)


def test_camera_that_dies_is_waited_for_once_and_then_idle() -> None:
    live = Live("A", "B")
    for second in range(40):
        live.arrive("A", second * SECOND, second * SECOND)
        if second < 20:
            live.arrive("B", second * SECOND, second * SECOND)
    delays = {window.end_ms // SECOND: now_ms - window.end_ms for now_ms, window in live.closed}
    assert max(delays.values()) == POLICY.max_wait_ms
    assert delays[35] == 0  # nothing has arrived from B for longer than the idle timeout
    assert live.closed[-1][1].cameras == {"A": "live", "B": "idle"}


def test_windows_of_cameras_that_all_fall_silent_still_close() -> None:
    live = Live("A", "B")
    live.arrive("A", 0, 0)
    live.arrive("A", 1000, 1000)
    live.arrive("B", 1000, 500)
    assert live.closed == []
    live.close(4000)
    assert [(window.end_ms, window.waited_ms) for _, window in live.closed] == [(1000, 3000)]


@pytest.mark.parametrize("ends", [False, True])
def test_footage_is_waited_for_without_limit(*, ends: bool) -> None:
    live = Live("A", recorded=("F",))
    live.arrive("F", 0, 0, recorded=True)
    for second in range(60):
        live.arrive("A", second * SECOND, second * SECOND)
    assert live.closed == []
    if ends:
        live.windows.end("F", "r", 1, recorded=True)
        live.close(60 * SECOND)
        assert live.closed[-1][1].end_ms == 59 * SECOND


def test_successor_waits_as_long_as_at_first() -> None:
    live = Live("A", "B")
    for second in range(5):
        live.arrive("A", second * SECOND, second * SECOND)
        live.arrive("B", second * SECOND, second * SECOND)
    successor: EventTimeWindows[str] = EventTimeWindows(POLICY, {"A": False, "B": False})
    successor.restore(live.windows.snapshot())
    successor.advance(1_000_000)  # another process has another monotonic clock
    for name in live.windows.held():
        frame_id = int(name[1:])
        ref = FrameRef(name[0], "r", frame_id, frame_id * SECOND, 640, 480, recorded=False)
        assert successor.observe(ref, name) == "returned"
    successor.observe(FrameRef("A", "r", 5, 5000, 640, 480, recorded=False), "A5")
    assert successor.close_ready() == []
    successor.advance(1_002_999)
    assert successor.close_ready() == []
    successor.advance(1_003_000)
    assert [window.end_ms for window in successor.close_ready()] == [5000]


def test_jump_of_an_hour_costs_one_window() -> None:
    hour = 3_600 * SECOND
    live = Live("A", "B")
    for second in range(20):
        for camera in "AB":
            live.arrive(camera, second * SECOND, second * SECOND)
    for camera in "AB":  # for one second all clocks are an hour ahead, the aggregator's too
        live.arrive(camera, 20 * SECOND, 20 * SECOND + hour)
    assert live.windows.forget_after(20 * SECOND) is not None
    for second in range(21, 40):
        for camera in "AB":
            live.arrive(camera, second * SECOND, second * SECOND)
    assert set(live.verdicts["A"]) == set(live.verdicts["B"]) == {"counted"}
    ends = [window.end_ms // SECOND for _, window in live.closed if window.end_ms < hour]
    assert ends[-1] == 39
    assert set(range(1, 40)) - set(ends) <= {20, 21}
    assert live.windows.forget_after(42 * SECOND) is None
