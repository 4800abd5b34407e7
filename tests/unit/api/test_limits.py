"""Limits on what is open at the same time."""

from api.limits import Slots


def test_a_name_takes_no_more_slots_than_there_are() -> None:
    slots = Slots(2)
    assert [slots.acquire(["a"]) for _ in range(3)] == [True, True, False]
    assert slots.acquire(["b"])
    slots.release(["a"])
    assert slots.acquire(["a"])


def test_several_names_take_a_slot_each_or_none() -> None:
    slots = Slots(1)
    assert slots.acquire(["key", "address"])
    assert not slots.acquire(["other key", "address"])
    assert slots.acquire(["other key"])


def test_without_a_limit_all_are_taken() -> None:
    slots = Slots(0)
    assert all(slots.acquire(["a"]) for _ in range(1000))


def test_a_name_that_holds_nothing_is_forgotten() -> None:
    slots = Slots(3)
    for number in range(100):
        assert slots.acquire([f"client {number}", "key"])
        slots.release([f"client {number}", "key"])
    assert len(slots) == 0
