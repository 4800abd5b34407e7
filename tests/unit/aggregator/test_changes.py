"""When a crowd's mood has changed, and when it has not."""

import json
from dataclasses import replace
from typing import Any

import pytest

from aggregator.changes import Changes
from aggregator.moods import Finding
from crowdmood.core.settings import STADIUM, AggregatorSettings
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange
from tests.findings import (
    CALM,
    CHANCE,
    CONCEDED,
    GOAL,
    LEVEL,
    SETTINGS,
    Mix,
    brief,
    changes_of,
    constant,
    mood,
    sliding,
)


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
        pytest.param([(30, CALM), (3, GOAL), (60, CALM)], [], id="a cheer shorter than the dwell"),
        pytest.param(
            [(60, LEVEL), (60, {"happy": 0.5, "neutral": 0.4, "sad": 0.1})], [], id="level, then a little ahead"
        ),
        pytest.param([(60, LEVEL), (60, CONCEDED)], [("neutral", "sad")], id="from a level mix to something else"),
        pytest.param([(60, LEVEL), (60, GOAL)], [("neutral", "happy")], id="one of two level labels takes the lead"),
        pytest.param([(60, GOAL), (60, CALM), (60, {"sad": 1.0})], [("happy", "neutral"), ("neutral", "sad")], id="on"),
        pytest.param([(30, GOAL), (3, CHANCE), (30, CALM)], [("happy", "neutral")], id="a moment on the way"),
        pytest.param(
            [(20, CALM), (6, GOAL), (4, CALM), (30, CONCEDED)],
            [("neutral", "happy"), ("happy", "sad")],
            id="another change in the cooldown",
        ),
    ],
)
def test_table_of_changes(script: list[tuple[int, Mix]], expected: list[tuple[str, str]]) -> None:
    assert brief(changes_of(sliding(script))) == expected


def test_a_true_change_is_published_within_eight_seconds() -> None:
    changes = changes_of(sliding([(20, CALM), (20, GOAL), (20, CONCEDED)]))
    assert [20_000 < changes[0].as_of_ms <= 28_000, 40_000 < changes[1].as_of_ms <= 48_000] == [True, True]


def test_a_change_carries_what_a_board_needs() -> None:
    findings = sliding([(20, CALM), (20, GOAL)])
    (change,) = changes_of(findings)
    mood = next(f.mood for f in findings if f.mood.as_of_ms == change.as_of_ms)
    until_ms = mood.valid_until_ms
    assert (change.sequence, change.zone, change.valid_until_ms) == (1, STADIUM, until_ms)
    assert (change.people, change.readable) == (70, 60)
    # The figures of each person's last expression are exact: they must not be published.
    assert (change.shares, change.low, change.high) == (mood.shares, mood.low, mood.high)
    assert MoodChange.from_json(change.to_json()) == change


def test_a_change_is_published_once_the_old_label_is_not_dominant() -> None:
    calm = [constant(i, CALM) for i in range(1, 21)]
    late = [Finding(mood(i, CALM if i < 27 else LEVEL), mood(i, GOAL)) for i in range(21, 40)]
    assert [change.as_of_ms for change in changes_of(calm + late)] == [27_000]


def test_who_hears_of_moods_and_changes_is_never_led_back() -> None:
    findings = sliding([(20, CALM), (20, GOAL), (20, CONCEDED)])
    changes = changes_of(findings)
    for change, until_ms in zip(changes, [changes[1].as_of_ms, 60_001], strict=True):
        after = [f.mood.dominant for f in findings if change.as_of_ms <= f.mood.as_of_ms < until_ms]
        assert change.from_label not in after


def test_of_two_labels_that_lead_by_turns_neither_hinders_the_change() -> None:
    angry, sad = {"angry": 0.42, "sad": 0.38, "neutral": 0.2}, {"angry": 0.36, "sad": 0.44, "neutral": 0.2}
    findings = [constant(i, GOAL) for i in range(1, 21)] + [constant(i, sad if i % 2 else angry) for i in range(21, 60)]
    # In the window that ends at 24 s the dwell is over; angry leads there, and throughout the dwell sad had more.
    assert [(change.as_of_ms, change.to_label) for change in changes_of(findings)] == [(25_000, "sad")]


def test_a_slow_drift_is_one_change() -> None:
    steps = [
        (1, {label: GOAL.get(label, 0.0) * i / 600 + CALM.get(label, 0.0) * (1 - i / 600) for label in LABELS})
        for i in range(600)
    ]
    assert brief(changes_of(sliding([(30, LEVEL), *steps, (60, GOAL)]))) == [("neutral", "happy")]


def test_what_is_clearly_ahead_for_three_windows_leads_even_without_a_turn() -> None:
    ahead = {"neutral": 0.28, "happy": 0.56, "sad": 0.16}
    (change,) = changes_of([*(constant(i, LEVEL) for i in range(1, 31)), *(constant(i, ahead) for i in range(31, 120))])
    assert (change.as_of_ms, change.to_label) == (31_000 + 30_000, "happy")
    assert changes_of([*(constant(i, LEVEL) for i in range(1, 31)), *(constant(i, ahead) for i in range(31, 60))]) == []


@pytest.mark.parametrize("dwell_s", [0, 1, 3, 8])
def test_a_new_mood_must_hold_for_the_dwell(dwell_s: float) -> None:
    settings = SETTINGS.model_copy(update={"change_dwell_s": dwell_s})
    moods = [*(constant(i, CALM) for i in range(1, 21)), *(constant(i, GOAL) for i in range(21, 60))]
    assert [change.as_of_ms for change in changes_of(moods, settings)] == [21_000 + dwell_s * 1000]


def test_one_level_window_delays_a_change_and_does_not_restart_it() -> None:
    settings = SETTINGS.model_copy(update={"change_dwell_s": 6})
    moods = [*(constant(i, CALM) for i in range(1, 21)), *(constant(i, GOAL) for i in range(21, 60))]
    moods[24] = constant(25, CALM)
    assert [change.as_of_ms for change in changes_of(moods, settings)] == [29_000]


def test_windows_that_hold_it_only_now_and_then_never_add_up() -> None:
    moods = [constant(i, GOAL if i > 20 and i % 2 else CALM) for i in range(1, 600)]
    assert changes_of(moods, SETTINGS.model_copy(update={"change_dwell_s": 2})) == []


def test_after_a_change_there_is_none_until_the_cooldown_is_over() -> None:
    settings = SETTINGS.model_copy(update={"change_cooldown_s": 60, "change_dwell_s": 0})
    moods = [*(constant(i, CALM) for i in range(1, 21)), *(constant(i, GOAL) for i in range(21, 31))]
    moods += [constant(i, CALM) for i in range(31, 120)]
    assert [change.as_of_ms for change in changes_of(moods, settings)] == [21_000, 81_000]


def test_windows_without_figures_neither_support_nor_hinder_a_change() -> None:
    settings = SETTINGS.model_copy(update={"change_dwell_s": 3})
    moods = [*(constant(i, CALM) for i in range(1, 21)), *(constant(i, GOAL) for i in range(21, 60))]
    moods[22:26] = [Finding(replace(f.mood.as_stale(), status="insufficient"), None) for f in moods[22:26]]
    moods[26:26] = [Finding(moods[25].mood.as_stale(), None)]
    # Held at 21, 22, 27 and 28 s; unheard from 23 s to 26 s.
    assert [change.as_of_ms for change in changes_of(moods, settings)] == [28_000]


def test_what_spoke_for_a_change_is_forgotten_after_a_window_of_silence() -> None:
    settings = SETTINGS.model_copy(update={"change_dwell_s": 3})
    moods = [*(constant(i, CALM) for i in range(1, 21)), *(constant(i, GOAL) for i in range(21, 24))]
    moods += [constant(i, GOAL) for i in range(40, 60)]
    assert [change.as_of_ms for change in changes_of(moods, settings)] == [43_000]


@pytest.mark.parametrize(
    ("dwell_s", "until_s", "expected"),
    [
        pytest.param(1, 200, [120], id="held for a hop"),
        pytest.param(20, 200, [130], id="held for two"),
        pytest.param(20, 130, [], id="not held for long enough"),
    ],
)
def test_windows_that_share_no_frame_show_changes_as_well(dwell_s: float, until_s: int, expected: list[int]) -> None:
    settings = AggregatorSettings(window_s=10, hop_s=10, change_dwell_s=dwell_s)
    moods = [constant(end, CALM if end <= 100 else GOAL) for end in range(10, until_s, 10)]
    assert [change.as_of_ms / 1000 for change in changes_of(moods, settings)] == expected
    # One window without an answer is a whole window's silence.
    del moods[11]
    assert [change.as_of_ms / 1000 for change in changes_of(moods, settings)] == [at + 20 for at in expected]


def test_a_mood_that_comes_again_counts_once() -> None:
    moods = [*(constant(i, CALM) for i in range(1, 21)), *([constant(21, GOAL)] * 50)]
    assert changes_of(moods, SETTINGS.model_copy(update={"change_dwell_s": 2})) == []


def test_zones_change_each_for_itself_and_cameras_do_not() -> None:
    home = [constant(i, GOAL if i > 40 else CALM, zone="home") for i in range(1, 80)]
    away = [constant(i, CONCEDED if i > 40 else CALM, zone="away") for i in range(1, 80)]
    machine = Changes(SETTINGS)
    changes = [change for pair in zip(home, away, strict=True) for change in machine.take(pair)]
    assert [(change.zone, change.sequence, change.to_label) for change in changes] == [
        ("home", 1, "happy"),
        ("away", 1, "sad"),
    ]
    assert changes_of([Finding(replace(f.mood, camera="north"), None) for f in home]) == []


def test_what_is_kept_stays_bounded() -> None:
    machine = Changes(SETTINGS)
    sizes = []
    for finding in sliding([(3_000, LEVEL)]):
        machine.take([finding])
        sizes.append(len(json.dumps(machine.snapshot())))
    assert max(sizes[2_000:]) <= max(sizes[:100]) + 100


def test_a_label_that_the_network_does_not_know_never_leads() -> None:
    def of_seven(mood: Mood) -> Mood:
        parts: dict[str, Any] = {name: {**getattr(mood, name), "cheering": None} for name in ("shares", "low", "high")}
        return replace(mood, **parts)

    seven = [of_seven(finding.mood) for finding in sliding([(20, CALM), (20, GOAL)])]
    (change,) = changes_of([Finding(mood, mood) for mood in seven])
    assert (change.to_label, change.shares["cheering"]) == ("happy", None)


def test_a_snapshot_from_before_cheering_is_continued() -> None:
    findings = sliding([(20, CALM), (20, GOAL)])
    machine = Changes(SETTINGS)
    machine.take(findings[:20])
    stored = json.loads(json.dumps(machine.snapshot()))
    for zone in stored.values():
        zone["before"] = [row[:7] for row in zone["before"]]
        zone["recent"] = [[at_ms, [row[:7] for row in estimate]] for at_ms, estimate in zone["recent"]]
    successor = Changes(SETTINGS)
    successor.restore(stored)
    assert successor.take(findings[20:]) == machine.take(findings[20:]) != []
