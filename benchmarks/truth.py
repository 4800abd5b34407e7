"""What the people of footage truly show, and how far from it somebody's shares are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from crowdmood import LABELS
from simulator.truth import TRUTH_FILE, load_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

Shares: TypeAlias = "Mapping[str, float]"
TrueShares: TypeAlias = "Callable[[float, float], Shares | None]"
"""The mean shares from one second of footage to another, exclusive; None where nobody knows."""


def truth_of(footage: Path) -> TrueShares | None:
    """The truth about a simulated match's folder, or about a clip that has its phases in a JSON file beside it."""
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
    """Mean absolute error of a share.

    Args:
        windows: Seconds from, to, and the shares that somebody tells.
        true: The truth.

    Returns:
        The error, 0-1; None when no window has a truth.
    """
    pairs = [(shares, known) for start_s, end_s, shares in windows if (known := true(max(start_s, 0), end_s))]
    if not pairs:
        return None
    return float(np.mean([abs(told[label] - known[label]) for told, known in pairs for label in LABELS]))


def _mean(told: list[dict[str, float]]) -> Shares | None:
    return {label: float(np.mean([one[label] for one in told])) for label in LABELS} if told else None
