"""A limit on restarts."""

from app.restarts import RestartBudget


def test_allows_max_restarts_within_the_window() -> None:
    budget = RestartBudget(max_restarts=2, window_s=60)
    assert [budget.spend(now_s) for now_s in (0, 10, 20)] == [True, True, False]
    # The restart at 0 s has left the window.
    assert [budget.spend(now_s) for now_s in (60, 61)] == [True, False]
