"""Timing rules: sampled frames, their event time, when they are due, pauses, and frozen cameras."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.timing import FootageClock, FreezeWatch, LiveClock, Pacer, Sampler


def taken(fps: float, times_ms: list[int]) -> list[int]:
    sampler = Sampler(fps)
    return [at_ms for at_ms in times_ms if sampler.take(at_ms)]


def film(fps: float, seconds: int) -> list[int]:
    return [round(n * 1000 / fps) for n in range(round(fps * seconds))]


@pytest.mark.parametrize(
    ("fps", "times_ms", "expected"),
    [
        (5, [], []),
        (5, film(5, 60), film(5, 60)),  # every frame
        (5, film(10, 60), film(5, 60)),  # every second one
        (5, film(25, 4), film(5, 4)),
        (30, film(30, 60), film(30, 60)),  # 33, 67, 100 ms: rounding loses none
        (120, film(120, 10), film(120, 10)),
        (5, film(2, 10), film(2, 10)),  # slower than the sampling rate: every frame
        (5, [0, 190, 410, 590, 805], [0, 190, 410, 590, 805]),  # a camera that is not exact
        (5, [0, 200, 150, 200, 400], [0, 200, 400]),  # sampled times never go back
        (5, [0, 5000, 5033, 5066, 5100, 5200], [0, 5000, 5200]),  # no burst after a gap
    ],
)
def test_samples_frames_by_their_times(fps: float, times_ms: list[int], expected: list[int]) -> None:
    assert taken(fps, times_ms) == expected


def test_samples_without_drift_at_a_rate_that_does_not_divide_the_cameras() -> None:
    hour = film(30_000 / 1001, 3600)
    times = taken(5, hour)
    assert len(times) == 5 * 3600
    # Each is the first frame of its fifth of a second.
    assert all(-20 <= at_ms - 200 * n < 34 for n, at_ms in enumerate(times))


def test_samples_a_drifting_camera_at_the_sampling_rate() -> None:
    # 5.01 frames per second, each up to 9 ms early or late: 3000 of the 3006 frames of ten minutes are sampled.
    times = [round(n * 1000 / 5.01) + (n * 7919) % 19 - 9 for n in range(1, 3007)]
    assert len(taken(5, times)) in range(2999, 3002)


@given(st.lists(st.integers(0, 10_000), max_size=200), st.floats(0.1, 120))
def test_sampled_times_increase_and_do_not_exceed_the_rate(times_ms: list[int], fps: float) -> None:
    times = taken(fps, times_ms)
    assert all(b > a for a, b in itertools.pairwise(times))
    # One for each interval begun, and one extra.
    assert len(times) <= 10_000 * fps / 1000 + 3


def at_ms(frame_s: str, pts: list[str | None]) -> list[int]:
    clock = FootageClock(Fraction(frame_s))
    return [clock.at_ms(None if text is None else Fraction(text)) for text in pts]


@pytest.mark.parametrize(
    ("pts", "expected"),
    [
        (["0", "1/5", "2/5"], [0, 200, 400]),
        (["1.4", "1.6", "1.8"], [0, 200, 400]),  # transport streams begin anywhere
        (["-0.2", "0", "0.2"], [0, 200, 400]),
        (["0", "1/30", "2/30"], [0, 33, 67]),
        ([None, None, None], [0, 200, 400]),  # an elementary stream has no times
        ([None, "7", "7.2"], [0, 200, 400]),
        (["0", "0.2", None, "0.6"], [0, 200, 400, 600]),
        (["0", "0.4", "0.2", "0.6"], [0, 400, 200, 600]),  # out of order is not a new clock
        (["90", "90.2", "3", "3.2"], [0, 200, 400, 600]),  # the recorder was restarted
        (["0", "0.2", "60"], [0, 200, 60_000]),  # a gap in the recording is a gap in event time
    ],
)
def test_event_time_of_footage_counts_from_the_first_frame(pts: list[str | None], expected: list[int]) -> None:
    assert at_ms("1/5", pts) == expected


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("speed", "expected_s"), [(1.0, 10.0), (4.0, 2.5), (0.5, 20.0), ("max", 0.0)])
def test_frame_is_due_when_its_event_time_at_this_speed_has_passed(speed: object, expected_s: float) -> None:
    pacer = Pacer(speed, Clock())  # type: ignore[arg-type]
    assert pacer.delay_s(0) == 0
    assert pacer.delay_s(10_000) == pytest.approx(expected_s)


def test_pacing_begins_with_the_first_frame_and_keeps_the_schedule_when_late() -> None:
    clock = Clock()
    pacer = Pacer(1.0, clock)
    assert pacer.delay_s(50_000) == 0  # resumed in the middle
    clock.now_s += 3
    assert pacer.delay_s(51_000) == 0  # two seconds late: catches up
    assert pacer.delay_s(54_000) == pytest.approx(1)
    assert pacer.delay_s(0) == 0  # published again from the start: already due


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        # One image a second; equal letters are equal images; frozen after two seconds.
        ("ABCDEF", "......"),
        ("AAAAAB", "..fff."),
        ("AABAAB", "......"),
        ("ABABAB", "......"),
        ("ABBBCB", "...f.."),
    ],
)
def test_camera_that_repeats_an_image_long_enough_is_frozen(images: str, expected: str) -> None:
    watch = FreezeWatch(2.0)
    seen = ["f" if watch.frozen(ord(image), second) else "." for second, image in enumerate(images)]
    assert "".join(seen) == expected


def test_event_time_of_live_cameras_follows_the_wall_clock_and_never_goes_back() -> None:
    hour_ms = 3_600_000
    clock = LiveClock()
    assert [clock.at_ms(1_000_000 + 200 * n, 0.2 * n) for n in range(3)] == [1_000_000, 1_000_200, 1_000_400]
    # Set forward: event time follows at once.
    assert clock.at_ms(1_000_600 + hour_ms, 0.6) == 1_000_600 + hour_ms
    # Set back: event time continues, a tenth more slowly, until the wall clock has caught up.
    back = [clock.at_ms(1_000_600 + 200 * n, 0.6 + 0.2 * n) for n in range(1, 6)]
    assert back == [1_000_600 + hour_ms + 180 * n for n in range(1, 6)]
    assert clock.at_ms(1_000_600 + hour_ms + 2_000, 1.7) == 1_000_600 + hour_ms + 2_000


def test_event_time_of_live_cameras_increases_with_every_frame() -> None:
    clock = LiveClock()
    assert [clock.at_ms(5, 0.0) for _ in range(4)] == [5, 6, 7, 8]
