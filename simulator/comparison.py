"""What was measured beside what was true, stretch by stretch of a match. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crowdmood import LABELS, STADIUM

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
        true: Mean true share of each label among the visible people, in the windows that were measured.
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

    A mood tells of its whole window, so it is compared with the mean truth of the seconds in it. It belongs to the
    stretch in which its window ends; soon after an event most of its window lies before.

    Args:
        truth: What the simulator wrote.
        moods: What a replay of its footage published; other cameras' and zones' moods are left out.
    """
    told = [mood for mood in moods if (mood.zone, mood.camera) == (STADIUM, None) and mood.shares is not None]
    starts = [(0.0, ""), *((event.at_s, event.event) for event in sorted(truth.events, key=lambda event: event.at_s))]
    stretches = []
    for (start_s, name), (end_s, _) in zip(starts, [*starts[1:], (truth.duration_s, "")], strict=True):
        inside = [mood for mood in told if start_s < mood.as_of_ms / 1000 <= end_s]
        windows = [_true_in(truth, mood.window_start_ms / 1000, mood.as_of_ms / 1000) for mood in inside]
        pairs = [(true, mood.shares) for true, mood in zip(windows, inside, strict=True) if true and mood.shares]
        true = _mean([true for true, _ in pairs]) if pairs else _true_in(truth, start_s, end_s)
        if true:
            measured = _mean([shares for _, shares in pairs]) if pairs else None
            stretches.append(Stretch(start_s, end_s, name, true, measured))
    return stretches


def _true_in(truth: Truth, start_s: float, end_s: float) -> dict[str, float] | None:
    """Mean true shares from `start_s` to `end_s`, exclusive; None when nobody was visible."""
    inside = [moment.stadium.shares for moment in truth.seconds if start_s <= moment.at_s < end_s]
    shown = [shares for shares in inside if shares is not None]
    return _mean(shown) if shown else None


def _mean(shares: Sequence[dict[str, float]]) -> dict[str, float]:
    return {label: float(np.mean([one[label] for one in shares])) for label in LABELS}
