"""Measured shares beside the true ones, in the phases of a clip or of drawn crowds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Row

Shares: TypeAlias = Mapping[str, float]

ERROR: Final = "error of a share"
LEADS: Final = "label that leads"
TRULY_LEADS: Final = "in truth"
_NEGATIVE: Final = ("angry", "disgust", "fear", "sad")
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a clip in which people keep their expressions.

    Attributes:
        start_s: Its start in seconds of footage.
        end_s: Its end, exclusive.
        shares: The true shares of the readable people, by label.
    """

    start_s: float
    end_s: float
    shares: Shares

    def __str__(self) -> str:
        return f"{self.start_s:g}-{self.end_s:g} s"


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


def phases_of(video: Path) -> list[Phase]:
    """Return the phases in the JSON file beside a clip; none without such a file."""
    beside = video.with_suffix(".json")
    given: list[dict[str, Any]] = json.loads(beside.read_text()).get("phases", []) if beside.is_file() else []
    return [Phase(one["start_s"], one["end_s"], one["shares"]) for one in given]


def inside(windows: Sequence[tuple[float, float, Answer]], phase: Phase) -> list[tuple[Shares, Answer]]:
    """Return the answers whose whole window lies in a phase, each with the true shares before it.

    Args:
        windows: Start and end in seconds of footage, and the answer.
        phase: The phase.
    """
    return [(phase.shares, one) for start_s, end_s, one in windows if phase.start_s <= start_s and end_s <= phase.end_s]


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
