"""Changes of crowds that are noisy: true ones are published, and chance is not."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from aggregator.changes import Changes
from aggregator.moods import Finding
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange, Shares
from tests.findings import CALM, CONCEDED, GOAL, LEVEL, SETTINGS, Mix, changes_of, mood

TERRACE = (
    {"angry": 0.07, "fear": 0.05, "happy": 0.15, "sad": 0.12, "surprise": 0.05, "neutral": 0.56},
    {"angry": 0.02, "fear": 0.02, "happy": 0.62, "surprise": 0.25, "neutral": 0.09},
    {"angry": 0.3, "disgust": 0.05, "fear": 0.05, "sad": 0.4, "surprise": 0.05, "neutral": 0.15},
)


def crowd(
    script: Sequence[Mix], chance: np.random.Generator, people: int = 60, *, stays: bool = False
) -> list[Finding]:
    """Windows of 10 s over people of whom a tenth is others every second, or who stay and draw new faces.

    Intervals are Agresti and Coull's of 90 % for that many people: 60 are known to 0.1 at a share of one half.
    """
    mixes = np.array([[shares.get(label, 0.0) for label in LABELS] for shares in script])
    seen = chance.multinomial(people if stays else people // 10, mixes)
    findings = []
    for end in range(1, len(seen) + 1):
        window = seen[max(0, end - 10) : end].sum(axis=0)
        count = people if stays else int(window.sum())
        over_it = measured(end, window / window.sum(), count)
        findings.append(Finding(over_it, measured(end, seen[end - 1] / people, count) if stays else over_it))
    return findings


def measured(second: int, shares: npt.NDArray[np.float64], people: int) -> Mood:
    near = (shares * people + 1.35) / (people + 2.7)
    half = 1.645 * np.sqrt(near * (1 - near) / (people + 2.7))
    of_labels = mood(second, dict(zip(LABELS, shares.tolist(), strict=True)))
    low: Shares = {label: max(0.0, float(near[i] - half[i])) for i, label in enumerate(LABELS)}
    high: Shares = {label: min(1.0, float(near[i] + half[i])) for i, label in enumerate(LABELS)}
    return replace(of_labels, low=low, high=high)


CONSTANT = [
    pytest.param({"neutral": 0.9, "happy": 0.1}, id="clear"),
    pytest.param({"neutral": 0.48, "happy": 0.36, "sad": 0.16}, id="ahead"),
    pytest.param({"neutral": 0.42, "happy": 0.40, "sad": 0.18}, id="nearly level"),
    pytest.param(LEVEL, id="level"),
    pytest.param({"neutral": 0.3, "happy": 0.3, "sad": 0.3, "angry": 0.1}, id="three level"),
]


@pytest.mark.parametrize("stays", [False, True], ids=["others come", "all stay"])
@pytest.mark.parametrize("mix", CONSTANT)
def test_ten_minutes_of_a_constant_mix_with_noise_bring_no_change(mix: Mix, stays: bool) -> None:
    for seed in range(5):
        assert changes_of(crowd([mix] * 600, np.random.default_rng(seed), stays=stays)) == []


def test_intervals_of_one_moment_lie_apart_by_chance_and_are_no_change() -> None:
    """Why a change needs a turn: of two level labels each is clearly ahead at some time."""
    for seed in range(5):
        findings = crowd([LEVEL] * 600, np.random.default_rng(seed))
        ahead = {
            label
            for window in (finding.mood for finding in findings)
            for label, other in (("neutral", "happy"), ("happy", "neutral"))
            if ((window.low or {})[label] or 0.0) > ((window.high or {})[other] or 0.0)
        }
        assert ahead == {"neutral", "happy"}


@pytest.mark.parametrize("people", [60, 120])
def test_noise_does_not_hide_a_true_change(people: int) -> None:
    """The true shares of the terrace clips: 20 s calm, 20 s after a goal, 20 s after another."""
    named = []
    for seed in range(20):
        script = [shares for shares in TERRACE for _ in range(20)]
        changes = changes_of(crowd(script, np.random.default_rng(seed), people, stays=True))
        assert [change.from_label for change in changes] == ["neutral", "happy"]
        assert changes[0].as_of_ms <= 28_000
        assert changes[1].as_of_ms <= 48_000
        named.append((changes[0].to_label, changes[1].to_label))
    # People draw new faces each second: of 60, now and then more are angry than sad.
    assert named.count(("happy", "sad")) >= 18


def test_a_successor_with_a_snapshot_publishes_the_same_bytes() -> None:
    chance = np.random.default_rng(3)
    script = [(40, CALM), (40, GOAL), (40, CONCEDED), (40, LEVEL), (40, GOAL)]
    moods = crowd([shares for length, shares in script for _ in range(length)], chance)
    expected = [change.to_json() for change in changes_of(moods)]
    assert len(expected) >= 3
    got: list[MoodChange] = []
    stored = "{}"
    for finding in moods:
        machine = Changes(SETTINGS)
        machine.restore(json.loads(stored))
        got += machine.take([finding])
        stored = json.dumps(machine.snapshot())
    assert [change.to_json() for change in got] == expected
