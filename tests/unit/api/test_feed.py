"""What the feed gives to whom, and who is too slow, with the time given: no I/O."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from api import examples
from api.feed import Feed
from api.stream import Message, Pace
from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.store.positions import Position


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def entry(number: int) -> bytes:
    return b"%d-0" % number


def published(kinds: list[bool | None]) -> list[tuple[Position, Mood | MoodChange | None]]:
    """Moods (True), changes (False) and what cannot be read (None), at times 1, 2, 3, …"""
    position, read = Position(), list[tuple[Position, Mood | MoodChange | None]]()
    for number, kind in enumerate(kinds, 1):
        position = position._replace(changes=entry(number)) if kind is False else position._replace(moods=entry(number))
        item = {True: replace(examples.OK, as_of_ms=number), False: replace(examples.CHANGE, sequence=number)}
        read.append((position, None if kind is None else item[kind]))
    return read


KINDS = st.lists(st.sampled_from([True, False, None]), max_size=30)


@given(KINDS, st.integers(1, 10), st.integers(1, 7), st.data())
def test_a_reader_at_any_position_gets_everything_after_it_or_reads_the_store(
    kinds: list[bool | None], capacity: int, at_once: int, data: st.DataObject
) -> None:
    read = published(kinds)
    feed = Feed(capacity)
    for start in range(0, len(read), at_once):
        feed.put(read[start : start + at_once])
    seen = data.draw(st.integers(0, len(read)))
    position = read[seen - 1][0] if seen else Position()
    events = feed.after(position)
    missing = [item for _, item in read[seen:] if item is not None]
    if events is None:
        assert len(missing) > capacity
    else:
        assert [event.item for event in events] == missing
    assert feed.head == (read[-1][0] if read else Position())


def test_what_was_sent_by_another_replica_in_another_order_is_not_sent_twice() -> None:
    mood, change = replace(examples.OK, as_of_ms=1), examples.CHANGE
    feed = Feed()
    feed.put([(Position(b"0-0", entry(2)), change), (Position(entry(1), entry(2)), mood)])
    (event,) = feed.after(Position(entry(1), b"0-0")) or ()
    assert event.item == change


def test_who_reads_what_there_was_in_time_is_not_slow_however_much_comes() -> None:
    clock = Clock()
    pace = Pace(Position(), 10, clock)
    pace.begin(Position(entry(1)))
    for number in range(1, 100):
        clock.now_s += 9
        assert pace.took(Position(entry(number)), Position(entry(number + 1)))


def test_who_takes_too_long_for_what_there_was_is_slow() -> None:
    clock = Clock()
    pace = Pace(Position(), 10, clock)
    pace.begin(Position(entry(50)))
    for number in range(1, 11):
        clock.now_s += 1
        assert pace.took(Position(entry(number)), Position(entry(99)))
    clock.now_s += 0.1
    assert not pace.took(Position(entry(11)), Position(entry(99)))


def test_a_slow_catch_up_ends_at_the_same_state() -> None:
    clock = Clock()
    pace = Pace(Position(entry(3)), 10, clock)
    for number in range(1, 4):
        clock.now_s += 1_000
        assert pace.took(Position(entry(number)), Position(entry(8)))
    clock.now_s += 11
    assert not pace.took(Position(entry(4)), Position(entry(9)))


def test_a_message_is_written_as_an_event_or_as_an_object() -> None:
    position = Position(entry(1), entry(2))
    mood = Message("mood", position, '{"status":"ok"}')
    assert mood.as_event() == 'event: mood\nid: 1-0.2-0\ndata: {"status":"ok"}\n\n'
    assert mood.as_text() == '{"event":"mood","id":"1-0.2-0","data":{"status":"ok"}}'
    heartbeat = Message("heartbeat", position)
    assert heartbeat.as_event() == ": heartbeat\nid: 1-0.2-0\n\n"
    assert heartbeat.as_text() == '{"event":"heartbeat","id":"1-0.2-0","data":null}'
