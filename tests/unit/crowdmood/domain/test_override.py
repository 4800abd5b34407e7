"""Which override applies to which crowd, with the time given: no I/O."""

import math
from dataclasses import replace

import pytest

from crowdmood.core.settings import STADIUM
from crowdmood.domain.mood import Mood, to_rfc3339
from crowdmood.domain.override import DEFAULT, Override, Overrides, read_all
from tests import timelines

NOW_MS = 1_780_000_000_000
MINUTE_MS = 60_000


def override(
    zone: str = STADIUM, starts: int | None = None, minutes: int = 30, set_at: int = 0, **changes: str
) -> Override:
    """Return one that was set and, unless it is scheduled, starts at a minute from now."""
    from_ms = None if starts is None else NOW_MS + starts * MINUTE_MS
    now_ms = NOW_MS + set_at * MINUTE_MS
    made = Override.make(
        zone=zone,
        show=DEFAULT,
        from_ms=from_ms,
        until_ms=(now_ms if from_ms is None else from_ms) + minutes * MINUTE_MS,
        why="a test",
        now_ms=now_ms,
        set_by=None,
        longest_s=14_400,
    )
    return replace(made, **changes)


def test_without_overrides_none_applies() -> None:
    assert Overrides().of(STADIUM, None, NOW_MS) is None
    assert Overrides().next_start_ms(STADIUM, None, NOW_MS) == math.inf


def test_applies_from_its_start_until_before_its_end() -> None:
    scheduled = override(starts=5, minutes=1)
    overrides = Overrides([scheduled])
    start_ms = NOW_MS + 5 * MINUTE_MS
    times = (start_ms - 1, start_ms, start_ms + MINUTE_MS - 1, start_ms + MINUTE_MS)
    assert [overrides.of(STADIUM, None, at_ms) for at_ms in times] == [None, scheduled, scheduled, None]
    assert [overrides.next_start_ms(STADIUM, None, at_ms) for at_ms in times[:2]] == [start_ms, math.inf]


def test_one_of_the_stadium_applies_to_every_crowd_and_one_of_a_zone_to_its_cameras_too() -> None:
    zones = {"home": ["north", "east"], "away": ["south"]}
    home = Overrides([override("home")], zones)
    crowds = ((STADIUM, None), ("home", None), ("away", None), (STADIUM, "north"), (STADIUM, "south"))
    assert [home.of(*crowd, NOW_MS) is not None for crowd in crowds] == [False, True, False, True, False]
    assert all(Overrides([override()], zones).of(*crowd, NOW_MS) for crowd in crowds)


def test_the_stadium_comes_before_a_zone_and_then_the_one_that_was_set_last() -> None:
    stop, older = override(set_at=-5), override(starts=-1, set_at=-9, show="silence")
    zone = override("home", set_at=-1, show="sponsor")
    assert Overrides([zone, older, stop]).of("home", None, NOW_MS) == stop
    assert Overrides([zone, older]).of("home", None, NOW_MS) == older
    assert Overrides([zone]).of("home", None, NOW_MS) == zone


def test_the_same_zone_is_replaced_unless_it_was_scheduled_for_another_time() -> None:
    assert override().id == override(set_at=3).id == "stadium"
    assert override(starts=5).id == override(starts=5, set_at=3).id == f"stadium@{to_rfc3339(NOW_MS + 5 * MINUTE_MS)}"
    assert override(starts=6).id != override(starts=5).id


@pytest.mark.parametrize(
    ("from_ms", "until_ms", "why"),
    [
        (None, NOW_MS, "is not after the start, or has passed"),
        (NOW_MS + 2, NOW_MS + 1, "is not after the start, or has passed"),
        (NOW_MS - 20_000, NOW_MS - 10_000, "is not after the start, or has passed"),
        (None, NOW_MS + 60_001, "lasts 60 s at most"),
        (NOW_MS + 10_000, NOW_MS + 70_001, "lasts 60 s at most"),
    ],
)
def test_one_that_would_never_apply_or_for_too_long_is_refused(from_ms: int | None, until_ms: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Override.make(
            zone=STADIUM,
            show=DEFAULT,
            from_ms=from_ms,
            until_ms=until_ms,
            why="",
            now_ms=NOW_MS,
            set_by=None,
            longest_s=60,
        )


def test_is_read_as_it_was_written_and_what_is_none_is_skipped() -> None:
    one = override(show="anthem", why="a minute's silence")
    assert read_all({b"a": b"[]", b"b": one.to_json().encode(), b"c": b"{", b"d": b"{}"}) == [one]


def test_a_mood_and_a_change_carry_it_and_earlier_ones_have_none() -> None:
    note = override(show="anthem").note()
    mood = timelines.mood(10)
    served = mood.overridden(note)
    assert (served.status, served.shares, served.dominant, served.people) == ("overridden", None, None, None)
    assert served.override == {
        "show": "anthem",
        "from": to_rfc3339(NOW_MS),
        "until": to_rfc3339(NOW_MS + 30 * MINUTE_MS),
    }
    for item in (served, replace(mood, override=note), replace(timelines.change(1, 10), override=note)):
        assert type(item).from_json(item.to_json()) == item
    earlier = mood.to_json().replace(',"override":null', "")
    assert "override" not in earlier
    assert Mood.from_json(earlier) == mood
