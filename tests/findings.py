"""What windows find, for tests of changes: crowds whose shares are known, and what is told of them."""

from collections.abc import Sequence
from dataclasses import replace

from aggregator.changes import Changes
from aggregator.moods import Finding
from crowdmood import LABELS, STADIUM
from crowdmood.mood import Mood, MoodChange, Shares
from crowdmood.settings import AggregatorSettings
from tests import timelines

SETTINGS = AggregatorSettings()
CALM = {"neutral": 0.6, "happy": 0.2, "sad": 0.2}
GOAL = {"happy": 0.7, "surprise": 0.2, "neutral": 0.1}
CHANCE = {"surprise": 0.5, "fear": 0.3, "neutral": 0.2}
CONCEDED = {"sad": 0.5, "angry": 0.3, "neutral": 0.2}
LEVEL = {"neutral": 0.46, "happy": 0.44, "sad": 0.1}
HALF_WIDTH = 0.12


def mood(second: int, shares: Shares, zone: str = STADIUM) -> Mood:
    """What sixty people showed, as far as it is known from so many."""
    every = {label: round(shares.get(label, 0.0), 4) for label in LABELS}
    first, next_to_it, *_ = sorted(LABELS, key=lambda label: -every[label])
    return replace(
        timelines.mood(second, zone),
        people=60,
        shares=every,
        low={label: round(max(0.0, share - HALF_WIDTH), 4) for label, share in every.items()},
        high={label: round(min(1.0, share + HALF_WIDTH), 4) for label, share in every.items()},
        raw=every,
        dominant=first if every[first] > every[next_to_it] + HALF_WIDTH else "mixed",
    )


def told(second: int, shares: Shares, zone: str = STADIUM) -> Finding:
    """A window in which nobody changes what they show."""
    constant = mood(second, shares, zone=zone)
    return Finding(constant, constant)


def sliding(script: Sequence[tuple[int, Shares]]) -> list[Finding]:
    """Windows of 10 s that end every second, over a crowd that follows the script of (seconds, shares)."""
    seconds = [shares for length, shares in script for _ in range(length)]
    return [
        Finding(mood(end, mean(seconds[max(0, end - 10) : end])), mood(end, seconds[end - 1]))
        for end in range(1, len(seconds) + 1)
    ]


def mean(parts: Sequence[Shares]) -> Shares:
    return {label: sum(part.get(label, 0.0) for part in parts) / len(parts) for label in LABELS}


def changes_of(findings: Sequence[Finding], settings: AggregatorSettings = SETTINGS) -> list[MoodChange]:
    machine = Changes(settings)
    return [change for finding in findings for change in machine.take([finding])]


def brief(changes: Sequence[MoodChange]) -> list[tuple[str, str]]:
    return [(change.from_label, change.to_label) for change in changes]
