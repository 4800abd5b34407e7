"""When a crowd's mood has changed, and when it has not."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from aggregator.changes import Changes
from crowdmood import LABELS, STADIUM
from crowdmood.mood import Mood, MoodChange, Shares
from crowdmood.settings import AggregatorSettings

SETTINGS = AggregatorSettings()
CALM = {"neutral": 0.6, "happy": 0.2, "sad": 0.2}
GOAL = {"happy": 0.7, "surprise": 0.2, "neutral": 0.1}
CONCEDED = {"sad": 0.5, "angry": 0.3, "neutral": 0.2}
LEVEL = {"neutral": 0.46, "happy": 0.44, "sad": 0.1}
TERRACE = (
    {"angry": 0.07, "fear": 0.05, "happy": 0.15, "sad": 0.12, "surprise": 0.05, "neutral": 0.56},
    {"angry": 0.02, "fear": 0.02, "happy": 0.62, "surprise": 0.25, "neutral": 0.09},
    {"angry": 0.3, "disgust": 0.05, "fear": 0.05, "sad": 0.4, "surprise": 0.05, "neutral": 0.15},
)
HALF_WIDTH = 0.12


def told(second: int, shares: Shares, half_width: float = HALF_WIDTH, zone: str = STADIUM) -> Mood:
    every = {label: round(shares.get(label, 0.0), 4) for label in LABELS}
    return Mood(
        as_of_ms=second * 1000,
        window_start_ms=(second - 10) * 1000,
        valid_until_ms=(second + 5) * 1000,
        status="ok",
        zone=zone,
        camera=None,
        people=60,
        shares=every,
        low={label: round(max(0.0, share - half_width), 4) for label, share in every.items()},
        high={label: round(min(1.0, share + half_width), 4) for label, share in every.items()},
        raw=every,
        dominant="mixed",
        valence=0.0,
        valence_low=-0.1,
        valence_high=0.1,
        method="pacc",
        model="crowdnet",
        detector="yunet",
        cameras={"north": "live"},
    )


def sliding(script: Sequence[tuple[int, Shares]]) -> list[Mood]:
    """Moods of windows of 10 s that end every second, over a crowd that follows the script of (seconds, shares)."""
    seconds = [shares for length, shares in script for _ in range(length)]
    return [told(end, mean(seconds[max(0, end - 10) : end])) for end in range(1, len(seconds) + 1)]


def mean(parts: Sequence[Shares]) -> Shares:
    return {label: sum(part.get(label, 0.0) for part in parts) / len(parts) for label in LABELS}


def changes_of(moods: Sequence[Mood], settings: AggregatorSettings = SETTINGS) -> list[MoodChange]:
    machine = Changes(settings)
    return [change for mood in moods for change in machine.take([mood])]


def brief(changes: Sequence[MoodChange]) -> list[tuple[str, str]]:
    return [(change.from_label, change.to_label) for change in changes]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([(60, CALM)], [], id="the first mood is no change"),
        pytest.param([(60, CALM), (60, GOAL)], [("neutral", "happy")], id="a goal"),
        pytest.param([(3, GOAL), (60, CALM)], [], id="the first mood is that of a whole window"),
        pytest.param(
            [(20, CALM), (20, GOAL), (20, CONCEDED)], [("neutral", "happy"), ("happy", "sad")], id="the terrace clips"
        ),
        pytest.param(
            [(30, CALM), (30, GOAL), (60, CALM)], [("neutral", "happy"), ("happy", "neutral")], id="there and back"
        ),
        pytest.param([(30, CALM), (4, GOAL), (60, CALM)], [], id="a short cheer does not lead a window"),
        pytest.param(
            [(60, LEVEL), (60, {"happy": 0.5, "neutral": 0.4, "sad": 0.1})], [], id="level, then a little ahead"
        ),
        pytest.param([(60, LEVEL), (60, CONCEDED)], [("neutral", "sad")], id="from a level mix to something else"),
        pytest.param([(60, LEVEL), (60, GOAL)], [("neutral", "happy")], id="one of two level labels takes the lead"),
        pytest.param([(60, GOAL), (60, CALM), (60, {"sad": 1.0})], [("happy", "neutral"), ("neutral", "sad")], id="on"),
    ],
)
def test_table_of_changes(script: list[tuple[int, Shares]], expected: list[tuple[str, str]]) -> None:
    assert brief(changes_of(sliding(script))) == expected


def test_a_true_change_is_told_within_eight_seconds() -> None:
    changes = changes_of(sliding([(20, CALM), (20, GOAL), (20, CONCEDED)]))
    assert [20_000 < changes[0].as_of_ms <= 28_000, 40_000 < changes[1].as_of_ms <= 48_000] == [True, True]


def test_a_change_carries_what_a_board_needs() -> None:
    moods = sliding([(20, CALM), (20, GOAL)])
    (change,) = changes_of(moods)
    mood = next(mood for mood in moods if mood.as_of_ms == change.as_of_ms)
    assert (change.sequence, change.zone, change.people, change.valid_until_ms) == (1, STADIUM, 60, mood.valid_until_ms)
    assert (change.shares, change.low, change.high) == (mood.shares, mood.low, mood.high)
    assert MoodChange.from_json(change.to_json()) == change


def test_a_crowd_that_drifts_slowly_is_told_to_have_changed_once() -> None:
    steps = [
        (1, {label: GOAL.get(label, 0.0) * i / 600 + CALM.get(label, 0.0) * (1 - i / 600) for label in LABELS})
        for i in range(600)
    ]
    assert brief(changes_of(sliding([(30, LEVEL), *steps, (60, GOAL)]))) == [("neutral", "happy")]


def test_what_is_clearly_ahead_for_three_windows_leads_even_without_a_turn() -> None:
    ahead = {"neutral": 0.28, "happy": 0.56, "sad": 0.16}
    (change,) = changes_of([*(told(i, LEVEL) for i in range(1, 31)), *(told(i, ahead) for i in range(31, 120))])
    assert (change.as_of_ms, change.to_label) == (31_000 + 30_000, "happy")
    assert changes_of([*(told(i, LEVEL) for i in range(1, 31)), *(told(i, ahead) for i in range(31, 60))]) == []


@pytest.mark.parametrize("dwell_s", [0, 1, 3, 8])
def test_a_new_mood_must_hold_for_the_dwell(dwell_s: float) -> None:
    settings = SETTINGS.model_copy(update={"change_dwell_s": dwell_s})
    moods = [*(told(i, CALM) for i in range(1, 21)), *(told(i, GOAL) for i in range(21, 60))]
    assert [change.as_of_ms for change in changes_of(moods, settings)] == [21_000 + dwell_s * 1000]


def test_one_level_window_delays_a_change_and_does_not_begin_it_anew() -> None:
    settings = SETTINGS.model_copy(update={"change_dwell_s": 6})
    moods = [*(told(i, CALM) for i in range(1, 21)), *(told(i, GOAL) for i in range(21, 60))]
    moods[24] = told(25, CALM)
    assert [change.as_of_ms for change in changes_of(moods, settings)] == [29_000]


def test_windows_that_hold_it_only_now_and_then_never_add_up() -> None:
    moods = [told(i, GOAL if i > 20 and i % 2 else CALM) for i in range(1, 600)]
    assert changes_of(moods, SETTINGS.model_copy(update={"change_dwell_s": 2})) == []


def test_after_a_change_there_is_none_until_the_cooldown_is_over() -> None:
    settings = SETTINGS.model_copy(update={"change_cooldown_s": 60, "change_dwell_s": 0})
    moods = [*(told(i, CALM) for i in range(1, 21)), *(told(i, GOAL) for i in range(21, 31))]
    moods += [told(i, CALM) for i in range(31, 120)]
    assert [change.as_of_ms for change in changes_of(moods, settings)] == [21_000, 81_000]


def test_windows_that_tell_nothing_neither_support_nor_hinder_a_change() -> None:
    settings = SETTINGS.model_copy(update={"change_dwell_s": 3})
    moods = [*(told(i, CALM) for i in range(1, 21)), *(told(i, GOAL) for i in range(21, 60))]
    moods[22:26] = [replace(mood.as_stale(), status="insufficient") for mood in moods[22:26]]
    moods[26:26] = [moods[25].as_stale()]
    # Held at 21, 22, 27 and 28 s; unheard from 23 s to 26 s.
    assert [change.as_of_ms for change in changes_of(moods, settings)] == [28_000]


def test_what_spoke_for_a_change_is_forgotten_after_a_window_of_silence() -> None:
    settings = SETTINGS.model_copy(update={"change_dwell_s": 3})
    moods = [*(told(i, CALM) for i in range(1, 21)), *(told(i, GOAL) for i in range(21, 24))]
    moods += [told(i, GOAL) for i in range(40, 60)]
    assert [change.as_of_ms for change in changes_of(moods, settings)] == [43_000]


@pytest.mark.parametrize(
    ("dwell_s", "until_s", "expected"),
    [
        pytest.param(1, 200, [120], id="held for a hop"),
        pytest.param(20, 200, [130], id="held for two"),
        pytest.param(20, 130, [], id="not held for long enough"),
    ],
)
def test_windows_that_share_no_frame_tell_changes_as_well(dwell_s: float, until_s: int, expected: list[int]) -> None:
    settings = AggregatorSettings(window_s=10, hop_s=10, change_dwell_s=dwell_s)
    moods = [told(end, CALM if end <= 100 else GOAL) for end in range(10, until_s, 10)]
    assert [change.as_of_ms / 1000 for change in changes_of(moods, settings)] == expected
    # One window without an answer is a whole window's silence.
    del moods[11]
    assert [change.as_of_ms / 1000 for change in changes_of(moods, settings)] == [at + 20 for at in expected]


def test_a_mood_that_comes_again_counts_once() -> None:
    moods = [*(told(i, CALM) for i in range(1, 21)), *([told(21, GOAL)] * 50)]
    assert changes_of(moods, SETTINGS.model_copy(update={"change_dwell_s": 2})) == []


def test_zones_change_each_for_itself_and_cameras_do_not() -> None:
    home = [told(i, GOAL if i > 40 else CALM, zone="home") for i in range(1, 80)]
    away = [told(i, CONCEDED if i > 40 else CALM, zone="away") for i in range(1, 80)]
    machine = Changes(SETTINGS)
    changes = [change for pair in zip(home, away, strict=True) for change in machine.take(pair)]
    assert [(change.zone, change.sequence, change.to_label) for change in changes] == [
        ("home", 1, "happy"),
        ("away", 1, "sad"),
    ]
    assert changes_of([replace(mood, camera="north") for mood in home]) == []


def test_whoever_goes_on_from_a_snapshot_tells_the_same_to_the_byte() -> None:
    chance = np.random.default_rng(3)
    script = [(40, CALM), (40, GOAL), (40, CONCEDED), (40, LEVEL), (40, GOAL)]
    moods = crowd([shares for length, shares in script for _ in range(length)], chance)
    expected = [change.to_json() for change in changes_of(moods)]
    assert len(expected) >= 3
    got: list[MoodChange] = []
    stored = "{}"
    for mood in moods:
        machine = Changes(SETTINGS)
        machine.restore(json.loads(stored))
        got += machine.take([mood])
        stored = json.dumps(machine.snapshot())
    assert [change.to_json() for change in got] == expected


def test_what_is_kept_stays_bounded() -> None:
    machine = Changes(SETTINGS)
    sizes = []
    for mood in sliding([(3_000, LEVEL)]):
        machine.take([mood])
        sizes.append(len(json.dumps(machine.snapshot())))
    assert max(sizes[2_000:]) <= max(sizes[:100]) + 100


def crowd(
    script: Sequence[Shares], chance: np.random.Generator, people: int = 60, *, stays: bool = False
) -> list[Mood]:
    """Moods of windows of 10 s over people of whom a tenth are others every second, or who stay and change their faces.

    Intervals are Agresti and Coull's of 90 % for that many people: 60 are known to 0.1 at a share of one half.
    """
    mixes = np.array([[shares.get(label, 0.0) for label in LABELS] for shares in script])
    seen = chance.multinomial(people if stays else people // 10, mixes)
    moods = []
    for end in range(1, len(seen) + 1):
        window = seen[max(0, end - 10) : end].sum(axis=0)
        count = people if stays else int(window.sum())
        shares: npt.NDArray[np.float64] = window / window.sum()
        near = (shares * count + 1.35) / (count + 2.7)
        half = 1.645 * np.sqrt(near * (1 - near) / (count + 2.7))
        mood = told(end, dict(zip(LABELS, shares.tolist(), strict=True)))
        low = {label: max(0.0, float(near[i] - half[i])) for i, label in enumerate(LABELS)}
        high = {label: min(1.0, float(near[i] + half[i])) for i, label in enumerate(LABELS)}
        moods.append(replace(mood, low=low, high=high))
    return moods


CONSTANT = [
    pytest.param({"neutral": 0.9, "happy": 0.1}, id="clear"),
    pytest.param({"neutral": 0.48, "happy": 0.36, "sad": 0.16}, id="ahead"),
    pytest.param({"neutral": 0.42, "happy": 0.40, "sad": 0.18}, id="nearly level"),
    pytest.param(LEVEL, id="level"),
    pytest.param({"neutral": 0.3, "happy": 0.3, "sad": 0.3, "angry": 0.1}, id="three level"),
]


@pytest.mark.parametrize("mix", CONSTANT)
def test_ten_minutes_of_a_constant_mix_with_noise_bring_no_change(mix: Shares) -> None:
    for seed in range(5):
        assert changes_of(crowd([mix] * 600, np.random.default_rng(seed))) == []


def test_intervals_of_one_moment_lie_apart_by_chance_and_are_no_change() -> None:
    """Why a change needs a turn: of two level labels each is clearly ahead at some time."""
    for seed in range(5):
        moods = crowd([LEVEL] * 600, np.random.default_rng(seed))
        ahead = {
            label
            for mood in moods
            for label, other in (("neutral", "happy"), ("happy", "neutral"))
            if (mood.low or {})[label] > (mood.high or {})[other]
        }
        assert ahead == {"neutral", "happy"}


@pytest.mark.parametrize("people", [60, 120])
def test_noise_does_not_hide_a_true_change(people: int) -> None:
    """The true shares of the terrace clips: 20 s calm, 20 s after a goal, 20 s after another."""
    late = []
    for seed in range(20):
        script = [shares for shares in TERRACE for _ in range(20)]
        changes = changes_of(crowd(script, np.random.default_rng(seed), people, stays=True))
        assert brief(changes) == [("neutral", "happy"), ("happy", "sad")]
        late += [changes[0].as_of_ms - 20_000, changes[1].as_of_ms - 40_000]
    assert np.mean(np.array(late) <= 8_000) >= 0.95
    assert max(late) <= 9_000
