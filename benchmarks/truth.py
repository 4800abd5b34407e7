"""What the people of footage truly show, and how far from it measured shares are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from crowdmood.domain.labels import LABELS
from simulator.truth import TRUTH_FILE, load_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

Shares: TypeAlias = "Mapping[str, float | None]"
"""By label; a label that is None or missing is not known."""
TrueShares: TypeAlias = "Callable[[float, float], Shares | None]"
"""The mean shares of the readable people from one second of footage to another, exclusive; None where unknown."""


def truth_of(footage: Path) -> TrueShares | None:
    """Return the truth about a simulated match's folder, or about a clip with its phases in a JSON file beside it."""
    if (footage / TRUTH_FILE).is_file():
        seconds = [(moment.at_s, moment.stadium.shares) for moment in load_truth(footage).seconds]
        return lambda start_s, end_s: _mean([shares for at_s, shares in seconds if start_s <= at_s < end_s and shares])
    beside = footage.with_suffix(".json")
    phases: list[dict[str, Any]] = json.loads(beside.read_text()).get("phases", []) if beside.is_file() else []
    if not phases:
        return None

    def of_phase(start_s: float, end_s: float) -> Shares | None:
        inside = (phase for phase in phases if phase["start_s"] <= start_s and end_s <= phase["end_s"])
        return next((phase["shares"] for phase in inside), None)

    return of_phase


def error(windows: Iterable[tuple[float, float, Shares]], true: TrueShares) -> float | None:
    """Return the mean absolute error of a share, over the labels that both sides know.

    Args:
        windows: Seconds from, to, and the measured shares.
        true: The truth.

    Returns:
        The error, 0-1; None when no window has a truth.
    """
    pairs = [(shares, known) for start_s, end_s, shares in windows if (known := true(max(start_s, 0), end_s))]
    errors = [
        abs(measured - actual)
        for shares, known in pairs
        for label in LABELS
        if (measured := shares.get(label)) is not None and (actual := known.get(label)) is not None
    ]
    return float(np.mean(errors)) if errors else None


def _mean(shares: list[dict[str, float]]) -> Shares | None:
    known = [label for label in LABELS if all(label in one for one in shares)]
    return {label: float(np.mean([one[label] for one in shares])) for label in known} if shares else None
