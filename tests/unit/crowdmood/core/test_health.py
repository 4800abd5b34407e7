"""Readiness of a process."""

from crowdmood.core.health import READY_FOR_S, Readiness


def test_readiness_expires_when_it_is_not_renewed() -> None:
    now_s = 100.0
    readiness = Readiness(lambda: now_s)
    assert not readiness
    readiness.renew()
    now_s += READY_FOR_S - 0.1
    assert readiness
    now_s += 0.1
    assert not readiness


def test_is_not_ready_after_the_end() -> None:
    readiness = Readiness(lambda: 100.0)
    readiness.renew()
    readiness.end()
    assert not readiness
