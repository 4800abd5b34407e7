"""Compare measured moods with the truth, for each phase of a match. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crowdmood.core.settings import STADIUM
from crowdmood.domain.labels import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crowdmood.domain.mood import Mood
    from simulator.truth import Moment, Truth


@dataclass(frozen=True, slots=True)
class Phase:
    """The time between two events of the script.

    Attributes:
        start_s: Start, in seconds of the footage.
        end_s: End, exclusive.
        began_with: The event at its start; empty before the first event.
        true: Mean true share of each label among the readable people, in the windows of the moods.
        measured: Mean measured share of each label that the network has; None if no mood of the phase has shares.
        true_readable: Mean number of people who were readable at least once in a window; None if no mood of the phase
            has shares.
        measured_readable: Mean number of people who were counted in a window; None if no mood has it.
    """

    start_s: float
    end_s: float
    began_with: str
    true: dict[str, float]
    measured: dict[str, float] | None
    true_readable: float | None = None
    measured_readable: float | None = None

    @property
    def error(self) -> float | None:
        """Mean absolute error of a share, over the measured labels; None if nothing was measured."""
        if self.measured is None:
            return None
        return float(np.mean([abs(self.measured[label] - self.true[label]) for label in self.measured]))


def compare(truth: Truth, moods: Iterable[Mood]) -> list[Phase]:
    """Compare the stadium's moods with the truth.

    A mood describes its window, so it is compared with the mean truth of the seconds in it. It belongs to the phase in
    which its window ends; shortly after an event, most of the window is before the event.

    Args:
        truth: The truth file of the footage.
        moods: Moods of a replay of the footage; those of zones and cameras are ignored.
    """
    published = [mood for mood in moods if (mood.zone, mood.camera) == (STADIUM, None) and mood.shares is not None]
    starts = [(0.0, ""), *((event.at_s, event.event) for event in sorted(truth.events, key=lambda event: event.at_s))]
    phases = []
    for (start_s, name), (end_s, _) in zip(starts, [*starts[1:], (truth.duration_s, "")], strict=True):
        inside = [mood for mood in published if start_s < mood.as_of_ms / 1000 <= end_s]
        phase = _phase(truth, inside, start_s, end_s, name)
        if phase is not None:
            phases.append(phase)
    return phases


def _phase(truth: Truth, moods: list[Mood], start_s: float, end_s: float, name: str) -> Phase | None:
    windows = [(_inside(truth, mood.window_start_ms / 1000, mood.as_of_ms / 1000), mood) for mood in moods]
    pairs = [(true, moments, mood) for moments, mood in windows if (true := _true(moments))]
    if not pairs:
        true = _true(_inside(truth, start_s, end_s))
        return None if true is None else Phase(start_s, end_s, name, true, None)
    readable = [mood.readable for _, _, mood in pairs if mood.readable is not None]
    true = _mean([true for true, _, _ in pairs])
    measured = _mean([mood.shares for _, _, mood in pairs if mood.shares is not None])
    return Phase(
        start_s,
        end_s,
        name,
        true,
        {label: share for label, share in measured.items() if label in true},
        float(np.mean([_readable(moments) for _, moments, _ in pairs])),
        float(np.mean(readable)) if readable else None,
    )


def _inside(truth: Truth, start_s: float, end_s: float) -> list[Moment]:
    return [moment for moment in truth.seconds if start_s <= moment.at_s < end_s]


def _true(moments: list[Moment]) -> dict[str, float] | None:
    """Return the mean true shares of moments, or None if no one was readable in any of them."""
    shown = [moment.stadium.shares for moment in moments if moment.stadium.shares is not None]
    return _mean(shown) if shown else None


def _readable(moments: list[Moment]) -> int:
    """Return how many people were readable in at least one of the moments."""
    return len(
        {
            person
            for moment in moments
            for camera in moment.cameras.values()
            for person, unreadable in zip(camera.persons, camera.unreadable, strict=True)
            if not unreadable
        }
    )


def _mean(shares: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Return the mean shares of the labels for which all of them have one."""
    known = {label: [one.get(label) for one in shares] for label in LABELS}
    return {
        label: float(np.mean([value for value in values if value is not None]))
        for label, values in known.items()
        if None not in values
    }
