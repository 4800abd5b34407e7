"""The true shares of footage, and how far measured shares are from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from crowdmood.domain.labels import LABELS
from simulator.truth import TRUTH_FILE, load_truth

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Row

Shares: TypeAlias = Mapping[str, float]
"""Shares by label."""

TrueShares: TypeAlias = Callable[[float, float], Shares | None]
"""Returns the mean true shares of the readable people from one second of footage to another, exclusive, where known."""

ERROR: Final = "error of a share"
LEADS: Final = "label that leads"
TRULY_LEADS: Final = "in truth"
_NEGATIVE: Final = ("angry", "disgust", "fear", "sad")
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Answer:
    """Measured shares of a crowd or of a window.

    Attributes:
        shares: By label; 0 for a label that the network does not know.
        low: Lower ends of the 90 % intervals; empty for a method without them, None or missing for an unknown label.
        high: Upper ends.
        people: Number of people counted; None where it is unknown.
    """

    shares: Shares
    low: Mapping[str, float | None]
    high: Mapping[str, float | None]
    people: int | None


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a clip in which people keep their expressions.

    Attributes:
        start_s: Its start in seconds of footage.
        end_s: Its end, exclusive.
        shares: The true shares of the readable people.
    """

    start_s: float
    end_s: float
    shares: Shares

    def __str__(self) -> str:
        return f"{self.start_s:g}-{self.end_s:g} s"

    def truth(self, start_s: float, end_s: float) -> Shares | None:
        """Return the true shares of a window that lies wholly in the phase."""
        return self.shares if self.start_s <= start_s and end_s <= self.end_s else None


def phases_of(video: Path) -> list[Phase]:
    """Return the phases in the JSON file beside a clip; none without such a file."""
    beside = video.with_suffix(".json")
    given: list[dict[str, Any]] = json.loads(beside.read_text()).get("phases", []) if beside.is_file() else []
    return [Phase(one["start_s"], one["end_s"], one["shares"]) for one in given]


def truth_of(footage: Path) -> TrueShares | None:
    """Return the truth about a simulated match's folder or about a clip with phases; None where it is unknown."""
    if (footage / TRUTH_FILE).is_file():
        seconds = [(moment.at_s, moment.stadium.shares) for moment in load_truth(footage).seconds]
        return lambda start_s, end_s: _mean([shares for at_s, shares in seconds if start_s <= at_s < end_s and shares])
    phases = phases_of(footage)

    def of_phases(start_s: float, end_s: float) -> Shares | None:
        # The first windows begin before the footage.
        return next((known for phase in phases if (known := phase.truth(max(start_s, 0), end_s))), None)

    return of_phases if phases else None


def _mean(shares: Sequence[Shares]) -> Shares | None:
    known = [label for label in LABELS if all(label in one for one in shares)]
    return {label: float(np.mean([one[label] for one in shares])) for label in known} if shares else None


def with_truth(windows: Iterable[tuple[float, float, Answer]], true: TrueShares) -> list[tuple[Shares, Answer]]:
    """Return the answers whose truth is known, each with the true shares before it.

    Args:
        windows: Start and end in seconds of footage, and the answer.
        true: The truth.
    """
    return [(known, answer) for start_s, end_s, answer in windows if (known := true(start_s, end_s))]


def score(pairs: Sequence[tuple[Shares, Answer]]) -> Row:
    """Compare answers with the truth.

    Args:
        pairs: The true shares, of the same labels in each pair, and the answer.

    Returns:
        The figures; the error is None where there is no answer.
    """
    if not pairs:
        return {ERROR: None, "answers": 0}
    labels = list(pairs[0][0])
    true = np.array([[shares[label] for label in labels] for shares, _ in pairs])
    found = np.array([[answer.shares[label] for label in labels] for _, answer in pairs])
    negative = [label in _NEGATIVE for label in labels]
    held = [
        low - _ROUNDING <= share <= high + _ROUNDING
        for shares, answer in pairs
        for label, share in shares.items()
        if (low := answer.low.get(label)) is not None and (high := answer.high.get(label)) is not None
    ]
    people = [answer.people for _, answer in pairs if answer.people is not None]
    return {
        ERROR: float(np.abs(found - true).mean()),
        "error of the negative labels together": float(np.abs((found - true)[:, negative].sum(axis=1)).mean()),
        "true shares in their intervals": float(np.mean(held)) if held else None,
        LEADS: labels[int(found.mean(axis=0).argmax())],
        TRULY_LEADS: labels[int(true.mean(axis=0).argmax())],
        "people counted": float(np.mean(people)) if people else None,
        "answers": len(pairs),
    }


def with_zeros(shares: Mapping[str, float | None]) -> dict[str, float]:
    """Return shares of every label: 0 for one that the network does not know."""
    return {label: shares.get(label) or 0.0 for label in LABELS}
