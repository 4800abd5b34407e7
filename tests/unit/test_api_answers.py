"""Which answer the board gives, with the time given: no I/O."""

from dataclasses import replace

import pytest

from api import examples
from api.answers import Board, camera_answers, no_mood_yet
from crowdmood.mood import Mood

NORTH = replace(examples.OK, camera="north", cameras={"north": "live"})
STALE_AFTER_S = 10.0


def at(ms: int, sequence: int = 0) -> bytes:
    return b"%d-%d" % (ms, sequence)


def board_with(*moods: Mood, published_at_ms: int = 1_000) -> Board:
    board = Board()
    for sequence, mood in enumerate(moods):
        board.take(at(published_at_ms, sequence), mood)
    board.loaded = True
    return board


def test_an_empty_board_has_no_mood() -> None:
    assert Board().current(None, 0, STALE_AFTER_S) is None


def test_the_stadium_and_each_camera_have_their_own_newest_mood() -> None:
    newer = replace(NORTH, as_of_ms=NORTH.as_of_ms + 1_000)
    board = board_with(NORTH, examples.OK, newer)
    assert board.current(None, 1_000, STALE_AFTER_S) == examples.OK
    assert board.current("north", 1_000, STALE_AFTER_S) == newer
    assert board.current("south", 1_000, STALE_AFTER_S) is None


def test_a_mood_of_another_zone_is_not_the_stadiums() -> None:
    assert board_with(replace(examples.OK, zone="family-block")).current(None, 1_000, STALE_AFTER_S) is None


@pytest.mark.parametrize(
    ("age_ms", "status"),
    [
        (-500, "ok"),  # the store's clock runs ahead of ours
        (0, "ok"),
        (10_000, "ok"),  # exactly at the limit
        (10_001, "stale"),
    ],
)
def test_a_mood_grows_stale_by_the_age_of_its_publication(age_ms: int, status: str) -> None:
    mood = board_with(examples.OK, published_at_ms=50_000).current(None, 50_000 + age_ms, STALE_AFTER_S)
    assert mood is not None
    assert mood.status == status
    assert (mood.shares is None) is (status == "stale")


def test_footage_that_has_ended_everywhere_does_not_grow_stale() -> None:
    ended = replace(examples.OK, cameras={"north": "ended", "south": "ended"})
    assert board_with(ended).current(None, 1e12, STALE_AFTER_S) == ended


def test_one_camera_that_goes_on_lets_the_mood_grow_stale() -> None:
    mood = board_with(replace(examples.OK, cameras={"north": "ended", "south": "live"})).current(
        None, 1e12, STALE_AFTER_S
    )
    assert mood is not None
    assert mood.status == "stale"


def test_no_camera_is_unknown_before_the_store_was_read() -> None:
    assert Board().knows("north")


def test_a_camera_is_known_from_its_table_its_moods_or_the_settings() -> None:
    board = Board(configured=["configured"])
    board.loaded = True
    board.cameras = {"tabled": {"state": "live"}}
    board.take(at(1), NORTH)
    assert [board.knows(name) for name in ("configured", "tabled", "north", "south")] == [True, True, True, False]


@pytest.mark.parametrize(
    ("newest", "rewound"),
    [
        (at(0), True),  # the store came back empty
        (at(999, 9), True),
        (at(1_000, 1), True),
        (at(1_000, 2), False),  # nothing happened
        (at(1_000, 10), False),  # compared as numbers, not as text
        (at(10_000), False),
    ],
)
def test_a_store_behind_what_we_read_is_noticed(newest: bytes, rewound: bool) -> None:
    assert board_with(NORTH, NORTH, NORTH).rewound(newest) is rewound


def test_starting_over_forgets_what_the_store_no_longer_has() -> None:
    board = board_with(NORTH, examples.OK, published_at_ms=9_000)
    board.start_over([(at(5), NORTH)])
    assert board.position == at(5)
    assert board.current(None, 5, STALE_AFTER_S) is None
    assert board.current("north", 5, STALE_AFTER_S) == NORTH


def test_before_the_first_mood_the_answer_has_every_field_and_a_safe_status() -> None:
    answer = no_mood_yet("north")
    assert list(answer) == list(examples.OK.to_dict())
    known = {name: value for name, value in answer.items() if value is not None}
    assert known == {"schema": 1, "status": "stale", "zone": "stadium", "camera": "north", "cameras": {}}


def test_a_camera_that_has_not_sent_a_frame_is_shown_with_nulls_and_zeros() -> None:
    (answer,) = camera_answers({"north": {"state": "opening", "since_ms": 1_500}})
    assert answer["since"] == "1970-01-01T00:00:01.500Z"
    assert answer["last_frame_at"] is None
    assert (answer["frames"], answer["lost"]) == (0, {})


def test_cameras_are_listed_by_name() -> None:
    table = {"south": {"state": "live"}, "north": {"state": "live"}}
    assert [answer["id"] for answer in camera_answers(table)] == ["north", "south"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://camera.example/stream", "rtsp://camera.example/stream"),
        ("rtsp://user:secret@camera.example/stream", "rtsp://camera.example/stream"),
        ("rtsp://user:sec@ret@[::1]:554/stream", "rtsp://[::1]:554/stream"),
        ("http://camera.example/video?password=secret&size=1", "http://camera.example/video"),
        ("no answer from 'rtsp://user:secret@camera.example/s'", "no answer from 'rtsp://camera.example/s'"),
        ("footage/match.mp4", "footage/match.mp4"),
    ],
)
def test_credentials_in_source_or_detail_are_never_shown(text: str, shown: str) -> None:
    (answer,) = camera_answers({"north": {"state": "live", "source": text, "detail": text}})
    assert (answer["source"], answer["detail"]) == (shown, shown)
