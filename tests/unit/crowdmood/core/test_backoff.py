"""Pauses between attempts grow up to a bound."""

import hypothesis.strategies as st
from hypothesis import given

from crowdmood.core.backoff import Backoff


def test_pauses_double_up_to_their_bound_and_start_again_after_a_reset() -> None:
    backoff = Backoff(0.5, 3.0, uniform=lambda _low, high: high)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    backoff.reset()
    assert backoff.next_s() == 0.5
    assert Backoff(0.5, 0.1, uniform=lambda _low, high: high).next_s() == 0.1


@given(st.lists(st.floats(0.5, 1.0), min_size=1, max_size=10))
def test_jitter_only_shortens_a_pause(factors: list[float]) -> None:
    draws = iter(factors)
    backoff = Backoff(0.5, 2.0, uniform=lambda low, high: next(draws))
    assert all(0.25 <= backoff.next_s() <= 2.0 for _ in factors)
