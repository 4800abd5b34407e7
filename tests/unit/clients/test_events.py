"""Server-sent events as the client parses them: the HTML standard's rules, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdmood_client.events import EventParser, Message

STREAM = "\n".join(  # a line of the stream on each line
    [
        "\ufeffevent: mood",
        "id: 1-0",
        'data: {"zone":"Süd\u2028kurve"}',
        "",
        ": heartbeat",
        "id: 2-0",
        "",
        "data:two",
        "data: lines",
        "unknown: field",
        "retry",
        "",
        "event: change",
        "",
        "id: 3-0",
        "data",
        "",
        "id: 9\x009",
        "data: x",
        "",
        "event: cut off",
        "id: 4-0",
        "data: never ends",
    ]
)
MESSAGES = [
    Message("mood", '{"zone":"Süd\u2028kurve"}', "1-0"),
    Message("message", "two\nlines", "2-0"),
    Message("message", "", "3-0"),
    Message("message", "x", "3-0"),
]


def parse(chunks: list[bytes]) -> tuple[list[Message], str]:
    parser = EventParser("0-0")
    found = [message for chunk in chunks for message in parser.feed(chunk)]
    return found, parser.last_id


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_fields_lines_and_comments_are_read_by_the_standard(end: str) -> None:
    assert parse([STREAM.replace("\n", end).encode()]) == (MESSAGES, "3-0")


@given(st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 400)))
def test_the_cuts_between_chunks_change_nothing(end: str, cuts: list[int]) -> None:
    stream = STREAM.replace("\n", end).encode()
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[start:stop] for start, stop in pairwise(places)]
    assert parse(chunks) == (MESSAGES, "3-0")


def test_single_bytes_are_enough() -> None:
    stream = STREAM.replace("\n", "\r\n").encode()
    assert parse([stream[i : i + 1] for i in range(len(stream))]) == (MESSAGES, "3-0")


def test_a_comment_may_move_the_position_on() -> None:
    parser = EventParser()
    assert list(parser.feed(b": heartbeat\nid: 7-0\n")) == []
    assert parser.last_id == ""
    assert list(parser.feed(b"\n")) == []
    assert parser.last_id == "7-0"


def test_without_an_id_a_message_has_that_of_the_connection_before() -> None:
    assert list(EventParser("5-0").feed(b"data: x\n\n")) == [Message("message", "x", "5-0")]
