"""Rates are medians of several rounds, and the worker is compared with its engine round by round."""

import statistics

import pytest

from benchmarks.classify import ENGINE, REFERENCE, WORKER, figure_of, in_turns, spread


def test_every_way_is_measured_once_a_round_after_a_first_call() -> None:
    calls: list[str] = []

    def way(name: str) -> int:
        calls.append(name)
        return 3

    rates = in_turns({"a": lambda: way("a"), "b": lambda: way("b")}, rounds=2, least_s=0)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert [len(of_way) for of_way in rates.values()] == [2, 2]


@pytest.mark.parametrize(
    ("per_s", "expected"),
    [
        ([100.0], 0),  # one round has no spread
        ([100.0, 50.0, 400.0], 3.5),
    ],
)
def test_the_spread_shows_a_disturbed_round(per_s: list[float], expected: float) -> None:
    assert spread(per_s) == pytest.approx(expected)


def test_the_worker_is_compared_with_its_engine_round_by_round() -> None:
    rates = {REFERENCE: [100.0, 100.0, 90.0], ENGINE: [2000.0, 1000.0, 2200.0]}
    # The machine was busy in the second round: its ratio counts, not its rate.
    rates[WORKER] = [1800.0, 900.0, 1760.0]
    figure = figure_of(rates)
    assert [(goal.wanted, goal.reached, goal.met) for goal in figure.goals] == [
        (10_000, statistics.median(rates[ENGINE]), False),
        (15, 20, True),
        (0.8, pytest.approx(0.9), True),
    ]
    assert [row["times the baseline's network in batches"] for row in figure.rows] == [1, 20, 17.6]
