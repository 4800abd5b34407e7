"""From an estimate to the figures that are told."""

import numpy as np
import pytest

from aggregator.crowd import Crowd
from aggregator.estimate import Estimate, estimate
from aggregator.shares import dominant, resolution, rounded, told
from crowdmood import LABELS
from tests.crowds import showing


def counted(*labels: str) -> Estimate:
    return estimate(Crowd.of(showing(labels).astype(np.float64)), "raw", None)


@pytest.mark.parametrize(
    ("labels", "leading"),
    [
        (["happy"] * 30, "happy"),
        (["happy"] * 10 + ["sad"] * 40, "sad"),
        (["happy"] * 20 + ["sad"] * 20, "mixed"),
        (["happy"] * 21 + ["sad"] * 19, "mixed"),  # a lead of two people may be chance
    ],
)
def test_the_largest_share_leads_unless_its_lead_may_be_chance(labels: list[str], leading: str) -> None:
    assert dominant(counted(*labels)) == leading


@pytest.mark.parametrize(
    ("labels", "balance"),
    [
        (["happy"], 1.0),
        (["angry", "sad"], -1.0),
        (["neutral", "surprise"], 0.0),
        (["happy"] * 5 + ["fear"] * 2 + ["neutral"] * 3, 0.3),
    ],
)
def test_valence_balances_positive_and_negative(labels: list[str], balance: float) -> None:
    crowd = counted(*labels * 40)
    figures = told(crowd)
    assert figures["valence"] == balance
    assert -1 <= figures["valence_low"] <= balance <= figures["valence_high"] <= 1


@pytest.mark.parametrize(
    ("width", "digits"), [(1.0, 1), (0.4, 1), (0.39, 2), (0.1, 2), (0.04, 2), (0.03, 3), (1e-9, 4), (0, 4)]
)
def test_figures_are_told_as_finely_as_they_are_known(width: float, digits: int) -> None:
    assert resolution(width) == digits


def test_rounded_shares_add_up() -> None:
    rng = np.random.default_rng(0)
    for shares in rng.dirichlet(np.ones(7), 200):
        for digits in (1, 2, 3):
            told_shares = rounded(shares, digits)
            assert sum(told_shares) == pytest.approx(1, abs=1e-9)
            assert np.abs(told_shares - shares).max() < 10.0**-digits


def test_what_is_told_holds_what_is_known_and_no_more() -> None:
    crowd = counted(*["happy"] * 37, *["sad"] * 26, *["neutral"] * 14)
    figures = told(crowd)
    for number, label in enumerate(LABELS):
        assert figures["low"][label] <= crowd.low[number] + 1e-9
        assert figures["high"][label] >= crowd.high[number] - 1e-9
        assert figures["low"][label] <= figures["shares"][label] <= figures["high"][label]
    assert {len(f"{share:g}".partition(".")[2]) <= 2 for share in figures["shares"].values()} == {True}
