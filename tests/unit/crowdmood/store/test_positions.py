"""Positions in the state store, and pages of two streams as one: no I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdmood.store.positions import Position, entry_id, merged, order

NUMBERS = st.integers(0, 10**19 - 1)
ENTRIES = st.builds(lambda ms, sequence: b"%d-%d" % (ms, sequence), NUMBERS, NUMBERS)
POSITIONS = st.builds(Position, ENTRIES, ENTRIES)
# A few times only, so that equal ones are common: what is written at once has one time.
PAGES = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), unique=True, max_size=12).map(
    lambda ids: [b"%d-%d" % one for one in sorted(ids)]
)


@given(POSITIONS)
def test_a_position_is_read_as_it_was_written(position: Position) -> None:
    assert Position.parse(str(position)) == position


@given(st.text(max_size=60))
def test_what_is_no_entry_id_is_refused_and_what_is_one_means_what_it_says(text: str) -> None:
    try:
        entry = entry_id(text)
    except ValueError:
        return
    assert order(entry) == tuple(int(part) for part in text.split("-"))
    assert max(order(entry)) < 10**19


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "1-1-1", " 1-1", "1-1\n", "+1-1", "1_0-1", "٣-1", f"{10**19}-0"])
def test_malformed_entry_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no position that we gave"):
        entry_id(text)
    with pytest.raises(ValueError, match="no position that we gave"):
        Position.parse(f"{text}.1-1")
    with pytest.raises(ValueError, match="no position that we gave"):
        Position.parse(f"1-1.{text}")


@given(POSITIONS, POSITIONS)
def test_joined_and_within_are_the_least_and_the_greatest_that_both_know(one: Position, other: Position) -> None:
    assert one.joined(other).reaches(one)
    assert one.joined(other).reaches(other)
    assert one.reaches(one.within(other))
    assert other.reaches(one.within(other))
    assert one.joined(other) == other.joined(one)
    assert one.reaches(other) == (one.joined(other) == one)


@given(PAGES, PAGES, st.integers(1, 5))
def test_reading_page_by_page_gives_everything_once_in_its_order(
    moods: list[bytes], changes: list[bytes], count: int
) -> None:
    position, read = Position(), []
    while True:
        page = merged(
            position,
            [(entry, ("mood", entry)) for entry in moods if order(entry) > order(position.moods)][:count],
            [(entry, ("change", entry)) for entry in changes if order(entry) > order(position.changes)][:count],
            count,
        )
        if not page:
            break
        for after, _ in page:
            assert after.reaches(position)
            position = after
        read += [item for _, item in page]
    assert [entry for kind, entry in read if kind == "mood"] == moods
    assert [entry for kind, entry in read if kind == "change"] == changes
    # However it is cut into pages, the order is the same: by time, and of one time the moods before the changes.
    assert read == sorted(read, key=lambda item: (order(item[1])[0], item[0] == "change", order(item[1])))
    assert position == Position((moods or [b"0-0"])[-1], (changes or [b"0-0"])[-1])
