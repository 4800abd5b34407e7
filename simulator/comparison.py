"""What was measured beside what was true, stretch by stretch of a match. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crowdmood import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crowdmood.mood import Mood
    from simulator.truth import Truth


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time between two events of the script.

    Attributes:
        start_s: Its beginning, in seconds of the footage.
        end_s: Its end, exclusive.
        began_with: The event that began it; empty before the first one.
        true: Mean true share of each label among the visible people.
        measured: Mean measured share of each label; None when no mood of the stretch has shares.
    """

    start_s: float
    end_s: float
    began_with: str
    true: dict[str, float]
    measured: dict[str, float] | None

    @property
    def error(self) -> float | None:
        """Mean absolute error of a share; None when nothing was measured."""
        if self.measured is None:
            return None
        return sum(abs(self.measured[label] - self.true[label]) for label in LABELS) / len(LABELS)


def compare(truth: Truth, moods: Iterable[Mood]) -> list[Stretch]:
    """Sets the stadium's moods beside the truth.

    A mood of a window that ends at a second rests on the last frames before it, so it is compared with the truth of
    that second.

    Args:
        truth: What the simulator wrote.
        moods: What a replay of its footage published; other cameras' and zones' moods are left out.
    """
    measured = {mood.as_of_ms / 1000: mood.shares for mood in moods if mood.camera is None and mood.shares is not None}
    starts = [(0.0, ""), *((event.at_s, event.event) for event in sorted(truth.events, key=lambda event: event.at_s))]
    stretches = []
    for (start_s, name), (end_s, _) in zip(starts, [*starts[1:], (truth.duration_s, "")], strict=True):
        inside = [moment for moment in truth.seconds if start_s <= moment.at_s < end_s]
        true = [moment.stadium.shares for moment in inside if moment.stadium.shares is not None]
        seen = [measured[moment.at_s] for moment in inside if moment.at_s in measured]
        if true:
            stretches.append(Stretch(start_s, end_s, name, _mean(true), _mean(seen) if seen else None))
    return stretches


def _mean(shares: Sequence[dict[str, float]]) -> dict[str, float]:
    return {label: float(np.mean([one[label] for one in shares])) for label in LABELS}
