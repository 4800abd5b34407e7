"""Findings of windows, for tests of changes: moods of crowds whose shares are given."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from aggregator.changes import Changes
from aggregator.moods import Finding
from crowdmood.core.settings import STADIUM, AggregatorSettings
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange
from tests import timelines

Mix: TypeAlias = Mapping[str, float]
"""Shares by label; those that are missing are 0."""

SETTINGS = AggregatorSettings()
CALM: Mix = {"neutral": 0.6, "happy": 0.2, "sad": 0.2}
GOAL: Mix = {"happy": 0.7, "surprise": 0.2, "neutral": 0.1}
CHANCE: Mix = {"surprise": 0.5, "fear": 0.3, "neutral": 0.2}
CONCEDED: Mix = {"sad": 0.5, "angry": 0.3, "neutral": 0.2}
LEVEL: Mix = {"neutral": 0.46, "happy": 0.44, "sad": 0.1}
HALF_WIDTH = 0.12


def mood(second: int, shares: Mix, zone: str = STADIUM) -> Mood:
    """Return the mood of sixty people, with the intervals of so many."""
    every = {label: round(shares.get(label, 0.0), 4) for label in LABELS}
    first, next_to_it, *_ = sorted(LABELS, key=lambda label: -every[label])
    return replace(
        timelines.mood(second, zone),
        people=70,
        readable=60,
        shares=dict(every),
        low={label: round(max(0.0, share - HALF_WIDTH), 4) for label, share in every.items()},
        high={label: round(min(1.0, share + HALF_WIDTH), 4) for label, share in every.items()},
        raw=dict(every),
        dominant=first if every[first] > every[next_to_it] + HALF_WIDTH else "mixed",
    )


def constant(second: int, shares: Mix, zone: str = STADIUM) -> Finding:
    """Return the finding of a window in which every person keeps their expression."""
    over_it = mood(second, shares, zone=zone)
    return Finding(over_it, over_it)


def sliding(script: Sequence[tuple[int, Mix]]) -> list[Finding]:
    """Return windows of 10 s that end every second, over a crowd that follows the script of (seconds, shares)."""
    seconds = [shares for length, shares in script for _ in range(length)]
    return [
        Finding(mood(end, mean(seconds[max(0, end - 10) : end])), mood(end, seconds[end - 1]))
        for end in range(1, len(seconds) + 1)
    ]


def mean(parts: Sequence[Mix]) -> Mix:
    return {label: sum(part.get(label, 0.0) for part in parts) / len(parts) for label in LABELS}


def changes_of(findings: Sequence[Finding], settings: AggregatorSettings = SETTINGS) -> list[MoodChange]:
    machine = Changes(settings)
    return [change for finding in findings for change in machine.take([finding])]


def brief(changes: Sequence[MoodChange]) -> list[tuple[str, str]]:
    return [(change.from_label, change.to_label) for change in changes]
