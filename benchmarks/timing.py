"""Rates of several ways to do one thing, measured in turns so that a noisy machine is unfair to none."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(slots=True)
class Rates:
    """Items a second of one way, one figure a round.

    Attributes:
        per_s: The figures.
    """

    per_s: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle figure."""
        return statistics.median(self.per_s)

    @property
    def spread(self) -> float:
        """Distance between the quartiles over the median: how noisy the machine was."""
        if len(self.per_s) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.per_s, n=4)
        return (high - low) / self.median


def in_turns(ways: Mapping[str, Callable[[], int]], rounds: int, least_s: float = 0.5) -> dict[str, Rates]:
    """Measure each way once a round, each time for at least `least_s` seconds.

    Args:
        ways: What to call; each returns how many items it did. Called once before anything is measured.
        rounds: How often everything is measured.
        least_s: Shortest measurement, in seconds.
    """
    for way in ways.values():
        way()
    rates = {name: Rates() for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            items, started_s = 0, time.perf_counter()
            while (elapsed_s := time.perf_counter() - started_s) < least_s or not items:
                items += way()
            rates[name].per_s.append(items / elapsed_s)
    return rates
