"""A mood's JSON is the same bytes for the same mood and reads back whole, also from an earlier schema."""

import json

import pytest

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.labels import FER_LABELS, LABELS
from crowdmood.domain.mood import Mood, MoodChange, Shares, to_ms, to_rfc3339

SHARES: Shares = {**dict.fromkeys(LABELS, 0.0), "happy": 0.5, "neutral": 0.25, "cheering": 0.25}
MOOD = Mood(
    as_of_ms=61_001,
    window_start_ms=51_001,
    valid_until_ms=66_001,
    status="ok",
    zone="stadium",
    camera=None,
    people=50,
    readable=40,
    shares=SHARES,
    low=SHARES,
    high=SHARES,
    raw=SHARES,
    dominant="happy",
    valence=0.5,
    valence_low=0.4,
    valence_high=0.6,
    energy=0.25,
    energy_low=0.2,
    energy_high=0.3,
    method="gls",
    fit=1.0,
    model="conv4",
    detector="haar",
    cameras={"north": "live"},
)


def test_a_mood_reads_back_as_it_was_written() -> None:
    assert Mood.from_json(MOOD.to_json()) == MOOD
    assert Mood.from_json(MOOD.to_json()).to_json() == MOOD.to_json()


def test_the_keys_of_a_mood_are_in_the_documented_order() -> None:
    names = "schema as_of window_start valid_until status zone camera people readable shares low high raw dominant"
    names += (
        " valence valence_low valence_high energy energy_low energy_high method fit model detector cameras override"
    )
    written = json.loads(MOOD.to_json())
    assert list(written) == names.split()
    assert written["schema"] == 2
    assert list(written["shares"]) == list(LABELS)


def test_a_mood_of_schema_1_is_read_without_what_it_did_not_know() -> None:
    new = {"readable", "energy", "energy_low", "energy_high", "fit"}
    old = {name: value for name, value in MOOD.to_dict().items() if name not in new} | {"schema": 1}
    seven = {label: SHARES[label] for label in FER_LABELS}
    mood = Mood.from_json(json.dumps(old | dict.fromkeys(("shares", "low", "high", "raw"), seven)))
    assert (mood.people, mood.status, mood.dominant) == (50, "ok", "happy")
    assert (mood.readable, mood.energy, mood.energy_low, mood.energy_high, mood.fit) == (None,) * 5
    assert mood.shares == SHARES | {"cheering": None}
    assert list(mood.shares) == list(LABELS)
    withheld = old | dict.fromkeys(("people", "shares", "low", "high", "raw", "dominant")) | {"status": "insufficient"}
    assert Mood.from_json(json.dumps(withheld)).shares is None


def test_a_change_of_schema_1_is_read_without_what_it_did_not_know() -> None:
    change = MoodChange(
        sequence=1,
        zone="stadium",
        as_of_ms=1_000,
        valid_until_ms=6_000,
        from_label="neutral",
        to_label="happy",
        people=50,
        readable=40,
        shares=SHARES,
        low=SHARES,
        high=SHARES,
    )
    assert MoodChange.from_json(change.to_json()) == change
    old = {name: value for name, value in change.to_dict().items() if name != "readable"} | {"schema": 1}
    seven = {label: SHARES[label] for label in FER_LABELS}
    read = MoodChange.from_json(json.dumps(old | dict.fromkeys(("shares", "low", "high"), seven)))
    assert (read.people, read.readable, read.shares) == (50, None, SHARES | {"cheering": None})


def test_times_are_text_in_utc() -> None:
    written = json.loads(MOOD.to_json())
    assert written["as_of"] == "1970-01-01T00:01:01.001Z"
    assert not [name for name in written if name.endswith("_ms")]


def test_an_older_reader_ignores_what_a_newer_writer_added() -> None:
    newer = json.loads(MOOD.to_json()) | {"weather": "rain"}
    assert Mood.from_json(json.dumps(newer)) == MOOD


def test_a_stale_mood_holds_no_figures() -> None:
    stale = MOOD.as_stale()
    assert stale.status == "stale"
    counts = (stale.people, stale.readable, stale.shares, stale.low, stale.high, stale.raw, stale.dominant, stale.fit)
    assert counts == (None,) * 8
    assert (stale.valence, stale.valence_low, stale.valence_high) == (None,) * 3
    assert (stale.energy, stale.energy_low, stale.energy_high) == (None,) * 3
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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"as_of": 3}',
        MOOD.to_json().replace('"people":50,', ""),
        MOOD.to_json().replace('"readable":40,', ""),
    ],
)
def test_text_that_is_no_mood_is_refused(text: str) -> None:
    with pytest.raises(UndecodableError, match="no mood"):
        Mood.from_json(text)
