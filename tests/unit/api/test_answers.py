"""Which answer the board gives, with the time given: no I/O."""

import json
import re
from dataclasses import replace

import pytest

from api import examples
from api.answers import Answer, Board, Scope, camera_answers, no_mood_yet
from api.poll import reply
from crowdmood.domain.mood import Mood
from crowdmood.domain.override import Override, Overrides

NORTH = replace(examples.OK, camera="north", cameras={"north": "live"})
STALE_AFTER_S = 10.0


def at(ms: int, sequence: int = 0) -> bytes:
    return b"%d-%d" % (ms, sequence)


def board_with(*moods: Mood, published_at_ms: int = 1_000, recorded: bool = False) -> Board:
    board = Board(STALE_AFTER_S)
    board.cameras = {camera: {"state": "live", "recorded": recorded} for camera in ("north", "south")}
    for sequence, mood in enumerate(moods):
        board.take(at(published_at_ms, sequence), mood)
    board.loaded = True
    return board


def mood_in(answer: Answer) -> Mood:
    return Mood.from_json(answer.body)


def test_an_empty_board_has_no_mood_to_act_on() -> None:
    answer = Board(STALE_AFTER_S).answer(Scope(camera="north"), 0)
    assert json.loads(answer.body) == no_mood_yet(Scope(camera="north"))
    assert (answer.status, answer.fresh_until_ms) == ("stale", 0)


def test_each_zone_and_each_camera_has_its_own_newest_mood() -> None:
    newer = replace(NORTH, as_of_ms=NORTH.as_of_ms + 1_000)
    family = replace(examples.OK, zone="family-block", people=30)
    board = board_with(NORTH, examples.OK, family, newer)
    assert mood_in(board.answer(Scope(), 1_000)) == examples.OK
    assert mood_in(board.answer(Scope("family-block"), 1_000)) == family
    assert mood_in(board.answer(Scope(camera="north"), 1_000)) == newer
    assert board.answer(Scope(camera="south"), 1_000).status == "stale"


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
    answer = board_with(examples.OK, published_at_ms=50_000).answer(Scope(), 50_000 + age_ms)
    assert answer.status == mood_in(answer).status == status
    assert (mood_in(answer).shares is None) is (status == "stale")


def test_footage_that_has_ended_everywhere_does_not_grow_stale() -> None:
    ended = replace(examples.OK, cameras={"north": "ended", "south": "ended"})
    assert mood_in(board_with(ended).answer(Scope(), 1e12)) == ended


def test_one_camera_that_goes_on_lets_the_mood_grow_stale() -> None:
    going_on = replace(examples.OK, cameras={"north": "ended", "south": "live"})
    assert board_with(going_on).answer(Scope(), 1e12).status == "stale"


def test_the_same_mood_has_the_same_tag_at_every_replica_until_it_is_stale() -> None:
    published, later = examples.OK.as_of_ms, examples.OK.as_of_ms + 60_000
    one, other = (board_with(examples.OK, published_at_ms=published) for _ in range(2))
    assert one.answer(Scope(), published).etag == other.answer(Scope(), published).etag
    assert one.answer(Scope(), later).etag == other.answer(Scope(), later).etag
    assert one.answer(Scope(), later).etag != one.answer(Scope(), published).etag
    assert re.fullmatch(r'"[0-9a-f]{24}"', one.answer(Scope(), published).etag)


def test_a_live_mood_may_be_kept_until_it_is_no_longer_valid() -> None:
    board = board_with(examples.OK, published_at_ms=examples.OK.as_of_ms + 2_500)
    assert board.answer(Scope(), 0).fresh_until_ms == examples.OK.valid_until_ms


def test_a_mood_is_never_kept_beyond_the_time_at_which_it_is_stale() -> None:
    lasting = replace(examples.OK, valid_until_ms=examples.OK.as_of_ms + 3_600_000)
    board = board_with(lasting, published_at_ms=lasting.as_of_ms + 2_500)
    assert board.answer(Scope(), 0).fresh_until_ms == lasting.as_of_ms + 12_500


def test_a_mood_of_recorded_footage_may_be_kept_as_long_after_its_publication_as_a_live_one_after_its_window() -> None:
    match_ms, published_ms = 60_000, examples.OK.as_of_ms
    replayed = replace(examples.OK, as_of_ms=match_ms, valid_until_ms=match_ms + 5_000)
    assert board_with(replayed, published_at_ms=published_ms, recorded=True).answer(Scope(), 0).fresh_until_ms == (
        published_ms + 5_000
    )
    # Where nothing is known of its cameras it is taken for live, and long over: it is asked for every time.
    unknown = Board(STALE_AFTER_S)
    unknown.take(at(published_ms), replayed)
    assert unknown.answer(Scope(), published_ms).fresh_until_ms < published_ms


def test_nothing_is_unknown_before_the_store_was_read() -> None:
    assert Board(STALE_AFTER_S).knows_camera("north")
    assert Board(STALE_AFTER_S).knows_zone("family-block")


def test_a_camera_is_known_from_its_table_its_moods_or_the_settings() -> None:
    board = Board(STALE_AFTER_S, cameras=["configured"])
    board.loaded = True
    board.cameras = {"tabled": {"state": "live"}}
    board.take(at(1), NORTH)
    assert [board.knows_camera(name) for name in ("configured", "tabled", "north", "south")] == [True] * 3 + [False]


def test_a_zone_is_known_from_its_moods_or_the_settings() -> None:
    board = Board(STALE_AFTER_S, zones=["configured"])
    board.loaded = True
    board.take(at(1), replace(examples.OK, zone="published"))
    assert [board.knows_zone(name) for name in ("stadium", "configured", "published", "north")] == [True] * 3 + [False]


def test_what_the_store_lost_is_forgotten() -> None:
    board = board_with(NORTH, examples.OK, published_at_ms=9_000)
    board.forget()
    board.take(at(9_500), NORTH)
    assert board.answer(Scope(), 9_500).status == "stale"
    assert mood_in(board.answer(Scope(camera="north"), 9_500)) == NORTH


def test_before_the_first_mood_the_answer_has_every_field_and_a_safe_status() -> None:
    answer = no_mood_yet(Scope(camera="north"))
    assert list(answer) == list(examples.OK.to_dict())
    known = {name: value for name, value in answer.items() if value is not None}
    assert known == {"schema": 2, "status": "stale", "zone": "stadium", "camera": "north", "cameras": {}}


def test_a_camera_that_has_not_sent_a_frame_is_shown_with_nulls_and_zeros() -> None:
    (answer,) = camera_answers({"north": {"state": "opening", "since_ms": 1_500}}, sources=True)
    assert answer["since"] == "1970-01-01T00:00:01.500Z"
    assert answer["last_frame_at"] is None
    assert (answer["frames"], answer["lost"]) == (0, {})


def test_cameras_are_listed_by_name() -> None:
    table = {"south": {"state": "live"}, "north": {"state": "live"}}
    assert [answer["id"] for answer in camera_answers(table, sources=True)] == ["north", "south"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://camera.example/stream", "rtsp://camera.example/…"),
        ("rtsp://user:secret@camera.example/stream", "rtsp://camera.example/…"),
        ("rtsp://user:sec@ret@[::1]:554/stream", "rtsp://[::1]:554/…"),
        ("rtsp://camera.example/user=admin_password=secret_channel=1", "rtsp://camera.example/…"),
        ("http://camera.example/video?password=secret&size=1", "http://camera.example/…"),
        ("footage/match.mp4", "footage/match.mp4"),
    ],
)
def test_source_and_detail_show_no_path_query_or_credential_of_an_address(text: str, shown: str) -> None:
    (answer,) = camera_answers({"north": {"state": "live", "source": text, "detail": f"opened '{text}'"}}, sources=True)
    assert (answer["source"], answer["detail"]) == (shown, f"opened '{shown}'")


def test_source_is_null_for_clients_that_may_not_know_it() -> None:
    (answer,) = camera_answers({"north": {"state": "live", "source": "rtsp://camera.example/s"}}, sources=False)
    assert answer["source"] is None


@pytest.mark.parametrize(
    ("now_ms", "valid_ms", "control"),
    [
        (10_000, "3500", "private, max-age=3"),
        (12_600, "900", "no-cache"),  # less than the seconds of Cache-Control can say
        (13_500, "0", "no-cache"),
        (99_000, "0", "no-cache"),
    ],
)
def test_a_reply_says_for_how_long_it_is_valid_in_milliseconds_and_whole_seconds(
    now_ms: float, valid_ms: str, control: str
) -> None:
    answer = Answer.of("ok", "{}", fresh_until_ms=13_500)
    for tag in (None, answer.etag):
        headers = reply(answer, now_ms, tag).headers
        assert (headers["mood-valid-ms"], headers["cache-control"]) == (valid_ms, control)


def overriding(starts_ms: int, until_ms: int, show: str = "anthem", zone: str = "stadium") -> Override:
    return Override(zone, zone, show, starts_ms, until_ms, "a test", 0, None)


def test_an_override_withholds_the_figures_and_says_what_to_show() -> None:
    board = board_with(examples.OK, NORTH)
    board.overrides = Overrides([overriding(2_000, 9_000)])
    assert board.answer(Scope(), 1_999).status == "ok"
    for scope in (Scope(), Scope(camera="north"), Scope("unknown")):
        answer = board.answer(scope, 2_000)
        answered = json.loads(answer.body)
        assert answer.status == answered["status"] == "overridden"
        assert answered["override"]["show"] == "anthem"
        assert (answered["zone"], answered["camera"], answered["shares"], answered["dominant"]) == (*scope, None, None)
        assert answer.fresh_until_ms == 5_000  # clients ask again after three seconds
        assert board.answer(scope, 8_500).fresh_until_ms == 9_000
        assert board.answer(scope, 2_001).etag == answer.etag
    assert board.answer(Scope(), 9_000) == board_with(examples.OK).answer(Scope(), 9_000)


def test_a_mood_is_not_valid_beyond_the_start_of_a_scheduled_override() -> None:
    board = board_with(examples.OK, published_at_ms=examples.OK.as_of_ms)
    now_ms = examples.OK.as_of_ms
    assert board.answer(Scope(), now_ms).fresh_until_ms == examples.OK.valid_until_ms
    board.overrides = Overrides([overriding(now_ms + 700, now_ms + 60_000)])
    assert board.answer(Scope(), now_ms).fresh_until_ms == now_ms + 700


def test_one_that_changes_what_it_shows_is_another_answer_and_a_stale_mood_is_overridden_as_well() -> None:
    board = board_with(examples.OK)
    board.overrides = Overrides([overriding(0, 1_000_000)])
    one = board.answer(Scope(), 500_000)
    board.overrides = Overrides([overriding(0, 1_000_000, "default")])
    other = board.answer(Scope(), 500_000)
    assert [mood_in(answer).status for answer in (one, other)] == ["overridden"] * 2
    assert one.etag != other.etag


def test_a_mood_that_was_published_during_an_override_is_served_without_its_mark_afterwards() -> None:
    board = board_with(replace(examples.OK, override=overriding(0, 900).note()))
    assert mood_in(board.answer(Scope(), 1_000)) == examples.OK
