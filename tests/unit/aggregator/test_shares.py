"""From an estimate to the published figures."""

import numpy as np
import pytest

from aggregator.crowd import Crowd
from aggregator.estimate import Estimate, estimate
from aggregator.shares import dominant, published_figures, rounded
from crowdmood.domain.labels import FER_LABELS, LABELS
from tests.crowds import showing


def counted(*labels: str, known: tuple[str, ...] = LABELS) -> Estimate:
    return estimate(Crowd.of(showing(labels, known).astype(np.float64)), "raw", None)


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
        (["cheering"], 0.0),
        (["happy"] * 5 + ["fear"] * 2 + ["neutral"] * 3, 0.3),
    ],
)
def test_valence_balances_positive_and_negative(labels: list[str], balance: float) -> None:
    crowd = counted(*labels * 40)
    figures = published_figures(crowd, 100)
    assert figures["valence"] == balance
    assert -1 <= figures["valence_low"] <= balance <= figures["valence_high"] <= 1


@pytest.mark.parametrize(
    ("labels", "excited"),
    [
        (["cheering"], 1.0),
        (["happy", "neutral"], 0.0),
        (["cheering"] * 4 + ["surprise"] + ["happy"] * 5, 0.5),
    ],
)
def test_energy_is_the_share_of_cheering_and_surprise(labels: list[str], excited: float) -> None:
    figures = published_figures(counted(*labels * 40), 100)
    assert figures["energy"] == excited
    assert 0 <= figures["energy_low"] <= excited <= figures["energy_high"] <= 1


def test_a_network_of_seven_labels_gives_null_for_cheering_and_energy() -> None:
    figures = published_figures(counted(*["happy"] * 30, *["surprise"] * 10, known=FER_LABELS), 100)
    assert (figures["energy"], figures["energy_low"], figures["energy_high"]) == (None,) * 3
    for name in ("shares", "low", "high", "raw"):
        assert list(figures[name]) == list(LABELS)
        assert [label for label, value in figures[name].items() if value is None] == ["cheering"]
    assert sum(value for value in figures["shares"].values() if value is not None) == pytest.approx(1)
    assert figures["valence"] == 0.75


def test_rounded_shares_add_up() -> None:
    rng = np.random.default_rng(0)
    for shares in rng.dirichlet(np.ones(7), 200):
        for steps in (2, 7, 12, 100):
            figures = rounded(shares, steps)
            assert figures.sum() == pytest.approx(1, abs=1e-9)
            assert np.abs(figures - shares).max() < 1 / steps
            assert figures * steps == pytest.approx(np.rint(figures * steps))


@pytest.mark.parametrize("steps", [2, 9, 50, 1000])
@pytest.mark.parametrize("wrong_by", [0.0, 0.1])
def test_intervals_are_whole_half_steps_and_as_wide_as_a_share_may_be_wrong(steps: int, wrong_by: float) -> None:
    crowd = counted(*["happy"] * 37, *["sad"] * 26, *["neutral"] * 14)
    figures = published_figures(crowd, steps, wrong_by)
    for number, label in enumerate(LABELS):
        share, low, high = figures["shares"][label], figures["low"][label], figures["high"][label]
        exact = (crowd.high[number] - crowd.low[number]) / 2
        for away, end in ((share - low, low == 0), (high - share, high == 1)):
            assert end or away * 2 * steps == pytest.approx(round(away * 2 * steps), abs=2 * steps * 1e-4)
            assert end or away >= max(wrong_by, exact) - 1e-4
    assert figures["valence_low"] <= figures["valence"] - wrong_by
