"""How the offset to the bus server's clock follows measurements."""

import pytest

from crowdmood.bus.clock import RoundTrip, SteadyOffset


def test_round_trip_puts_the_server_time_into_its_middle() -> None:
    trip = RoundTrip(sent_s=10.0, server_ms=5_000.0, received_s=10.2)
    assert trip.offset_ms == pytest.approx(5_000 - 10_100)
    assert trip.took_s == pytest.approx(0.2)


def test_is_unknown_before_the_first_measurement() -> None:
    assert SteadyOffset().at(1.0) is None


def test_follows_small_errors_at_a_steady_pace() -> None:
    offset = SteadyOffset()
    offset.measured(1000.0, 0.0)
    assert offset.at(5.0) == 1000.0
    assert not offset.measured(1500.0, 5.0)
    assert offset.at(6.0) == pytest.approx(1050.0)
    assert offset.at(15.0) == pytest.approx(1500.0)
    assert offset.at(60.0) == pytest.approx(1500.0)


def test_ignores_a_glitch_of_an_hour() -> None:
    offset = SteadyOffset()
    offset.measured(0.0, 0.0)
    for second in range(2, 8, 2):
        assert not offset.measured(3_600_000.0, float(second))
    offset.measured(3.0, 8.0)
    assert offset.at(9.0) == pytest.approx(3.0)


def test_follows_a_clock_that_was_set_once_it_stays() -> None:
    offset = SteadyOffset()
    offset.measured(0.0, 0.0)
    leaps = [offset.measured(-3_600_000.0 + second, float(second)) for second in range(2, 12, 2)]
    assert leaps == [False, False, False, False, True]
    assert offset.at(11.0) == pytest.approx(-3_599_990.0)
