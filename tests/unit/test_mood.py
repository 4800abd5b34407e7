"""A mood's JSON is the same bytes for the same mood and reads back whole."""

import json

import pytest

from crowdmood.errors import UndecodableError
from crowdmood.mood import Mood, to_ms, to_rfc3339

SHARES = {"angry": 0.0, "disgust": 0.0, "fear": 0.0, "happy": 0.75, "sad": 0.0, "surprise": 0.0, "neutral": 0.25}
MOOD = Mood(
    as_of_ms=61_001,
    window_start_ms=51_001,
    valid_until_ms=66_001,
    status="ok",
    zone="stadium",
    camera=None,
    people=40,
    shares=SHARES,
    low=SHARES,
    high=SHARES,
    raw=SHARES,
    dominant="happy",
    valence=0.75,
    valence_low=0.7,
    valence_high=0.8,
    method="sld",
    model="conv4",
    detector="haar",
    cameras={"north": "live"},
)


def test_a_mood_reads_back_as_it_was_written() -> None:
    assert Mood.from_json(MOOD.to_json()) == MOOD
    assert Mood.from_json(MOOD.to_json()).to_json() == MOOD.to_json()


def test_times_are_text_in_utc() -> None:
    written = json.loads(MOOD.to_json())
    assert written["as_of"] == "1970-01-01T00:01:01.001Z"
    assert not [name for name in written if name.endswith("_ms")]


def test_an_older_reader_ignores_what_a_newer_writer_added() -> None:
    newer = json.loads(MOOD.to_json()) | {"weather": "rain"}
    assert Mood.from_json(json.dumps(newer)) == MOOD


def test_a_stale_mood_holds_nothing_that_could_be_acted_on() -> None:
    stale = MOOD.as_stale()
    assert stale.status == "stale"
    told = (stale.people, stale.shares, stale.low, stale.high, stale.raw, stale.dominant)
    assert told == (None,) * 6
    assert (stale.valence, stale.valence_low, stale.valence_high) == (None,) * 3
    assert stale.as_of_ms == MOOD.as_of_ms


@pytest.mark.parametrize(
    ("cameras", "ended"),
    [
        ({}, False),
        ({"north": "live"}, False),
        ({"north": "ended", "south": "idle"}, False),
        ({"north": "ended", "south": "ended"}, True),
    ],
)
def test_footage_has_ended_when_every_camera_has(cameras: dict[str, str], ended: bool) -> None:
    assert Mood.from_json(json.dumps(MOOD.to_dict() | {"cameras": cameras})).ended() is ended


@pytest.mark.parametrize("ms", [0, 1, 999, 1999, 1_777_777_777_777])
def test_a_time_survives_the_way_through_text(ms: int) -> None:
    assert to_ms(to_rfc3339(ms)) == ms


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        to_ms("2026-05-01T15:00:00")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"as_of": 3}', MOOD.to_json().replace('"people":40,', "")])
def test_what_is_no_mood_is_refused(text: str) -> None:
    with pytest.raises(UndecodableError, match="no mood"):
        Mood.from_json(text)
