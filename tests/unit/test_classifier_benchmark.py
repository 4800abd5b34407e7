"""Rates are middle figures of several rounds, and the worker is compared with its engine round by round."""

import pytest

from benchmarks.classify import ENGINE, REFERENCE, WORKER, figure_of, worker_over_engine
from benchmarks.timing import Rates, in_turns


def test_every_way_is_measured_once_a_round_after_a_first_call() -> None:
    calls: list[str] = []

    def way(name: str) -> int:
        calls.append(name)
        return 3

    rates = in_turns({"a": lambda: way("a"), "b": lambda: way("b")}, rounds=2, least_s=0)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert [len(rate.per_s) for rate in rates.values()] == [2, 2]


@pytest.mark.parametrize(
    ("per_s", "median", "spread"),
    [
        ([100.0], 100, 0),  # one round says nothing of noise
        ([100.0, 50.0, 400.0], 100, 3.5),  # one disturbed round moves the spread, not the figure
    ],
)
def test_one_disturbed_round_changes_no_figure(per_s: list[float], median: float, spread: float) -> None:
    rates = Rates(per_s)
    assert rates.median == median
    assert rates.spread == pytest.approx(spread)


def test_the_worker_is_compared_with_its_engine_round_by_round() -> None:
    rates = {REFERENCE: Rates([100.0, 100.0, 90.0]), ENGINE: Rates([2000.0, 1000.0, 2200.0])}
    # The machine was busy in the second round: its ratio counts, not its rate.
    rates[WORKER] = Rates([1800.0, 900.0, 1760.0])
    assert worker_over_engine(rates) == pytest.approx(0.9)
    figure = figure_of(rates)
    assert [(goal.wanted, goal.reached, goal.met) for goal in figure.goals] == [
        (10_000, 2000, False),
        (15, 20, True),
        (0.8, pytest.approx(0.9), True),
    ]
    assert [row["times the batched earlier network"] for row in figure.rows] == [1, 20, 17.6]
