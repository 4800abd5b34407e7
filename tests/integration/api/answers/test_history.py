"""What was: moods and changes of the past, page by page."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from api import examples, history, models
from crowdmood.core.settings import BusSettings
from crowdmood.domain.mood import to_rfc3339
from crowdmood.store.keys import StateKeys
from tests import timelines
from tests.answering import KICKOFF_MS, MINUTE_MS, Api, mood_at


def minutes_of(answer: dict[str, Any]) -> list[int]:
    models.Moods.model_validate_json(json.dumps(answer), strict=True, extra="forbid")
    known = {to_rfc3339(KICKOFF_MS + minute * MINUTE_MS): minute for minute in range(-5, 2_000)}
    return [known[mood["as_of"]] for mood in answer["moods"]]


def pages_of(api: Api, path: str, **query: str | int) -> list[dict[str, Any]]:
    """Every page, from the first to the last."""
    pages = [api.get(path, **query).json()]
    while pages[-1]["next"]:
        pages.append(api.get(path, **query, cursor=pages[-1]["next"]).json())
    return pages


def test_history_is_half_open_and_the_newest_first(api: Api) -> None:
    api.publish(*(mood_at(minute) for minute in range(6)))
    answer = api.get("/moods", **{"from": to_rfc3339(mood_at(1).as_of_ms), "to": to_rfc3339(mood_at(4).as_of_ms)})
    assert minutes_of(answer.json()) == [3, 2, 1]
    assert answer.json()["next"] is None


def test_history_is_of_the_stadium_unless_a_zone_or_a_camera_is_asked_for(api: Api) -> None:
    api.publish(mood_at(0), mood_at(0, "north"), replace(mood_at(0), zone="home"), mood_at(1), mood_at(1, "north"))
    api.eventually("/mood", lambda mood: mood["status"] == "ok", zone="home")
    assert [mood["camera"] for mood in api.get("/moods").json()["moods"]] == [None, None]
    assert [mood["camera"] for mood in api.get("/moods", camera="north").json()["moods"]] == ["north", "north"]
    assert [mood["zone"] for mood in api.get("/moods", zone="home").json()["moods"]] == ["home"]


def test_nothing_is_before_the_beginning_or_between_a_time_and_an_earlier_one(api: Api) -> None:
    api.publish(*(mood_at(minute) for minute in range(3)))
    times = {"from": to_rfc3339(mood_at(1).as_of_ms), "to": to_rfc3339(mood_at(1).as_of_ms)}
    assert api.get("/moods", cursor="0-0").json() == {"moods": [], "next": None}
    assert api.get("/moods", **times).json() == {"moods": [], "next": None}


def test_pages_of_history_hold_everything_once_while_moods_are_published(api: Api) -> None:
    api.publish(*(mood_at(minute) for minute in range(6)))
    first = api.get("/moods", limit=2).json()
    assert minutes_of(first) == [5, 4]
    api.publish(mood_at(6))
    second = api.get("/moods", limit=2, cursor=first["next"]).json()
    assert minutes_of(second) == [3, 2]
    third = api.get("/moods", limit=2, cursor=second["next"]).json()
    assert minutes_of(third) == [1, 0]
    assert third["next"] is None


def test_history_is_of_100_moods_unless_asked_otherwise_and_reads_on_page_by_page(api: Api) -> None:
    api.publish(*(mood_at(minute) for minute in range(1_200)))
    assert minutes_of(api.get("/moods").json()) == list(range(1_199, 1_099, -1))
    assert minutes_of(api.get("/moods", limit=1_000).json()) == list(range(1_199, 199, -1))
    pages = pages_of(api, "/moods", limit=500)
    assert [minute for page in pages for minute in minutes_of(page)] == list(range(1_199, -1, -1))


def test_footage_replayed_after_a_later_match_is_found_by_its_own_time(api: Api) -> None:
    api.publish(mood_at(100), mood_at(0), mood_at(1))
    assert minutes_of(api.get("/moods").json()) == [1, 0, 100]
    assert minutes_of(api.get("/moods", to=to_rfc3339(mood_at(50).as_of_ms)).json()) == [1, 0]


def test_a_search_is_bounded_and_goes_on_where_it_stopped(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_SCANNED", 500)
    api.publish(mood_at(0), *(mood_at(minute, "north") for minute in range(499)))
    assert minutes_of(api.get("/moods").json()) == [0]
    assert api.get("/moods").json()["next"] is None
    api.publish(mood_at(499, "north"))
    first = api.get("/moods").json()
    assert first["moods"] == []
    assert minutes_of(api.get("/moods", cursor=first["next"]).json()) == [0]


def test_changes_are_paged_as_moods_are(api: Api) -> None:
    changes = [replace(examples.CHANGE, sequence=n, as_of_ms=KICKOFF_MS + n * MINUTE_MS) for n in range(1, 6)]
    elsewhere = replace(examples.CHANGE, zone="home")
    api.publish(replace(mood_at(0), zone="home"), changes=[*changes, elsewhere])
    api.eventually("/mood", lambda mood: mood["status"] == "ok", zone="home")
    pages = pages_of(api, "/changes", limit=2)
    for page in pages:
        models.Changes.model_validate_json(json.dumps(page), strict=True, extra="forbid")
    assert [change["sequence"] for page in pages for change in page["changes"]] == [5, 4, 3, 2, 1]
    assert pages_of(api, "/changes", zone="home")[0]["changes"] == [elsewhere.to_dict()]
    bounded = api.get("/changes", **{"from": to_rfc3339(changes[1].as_of_ms), "to": to_rfc3339(changes[3].as_of_ms)})
    assert [change["sequence"] for change in bounded.json()["changes"]] == [3, 2]


def test_what_was_stored_with_schema_1_is_answered_in_schema_2_with_nulls_for_what_it_lacks(
    api: Api, bus_settings: BusSettings
) -> None:
    keys = StateKeys(bus_settings.key_prefix)
    for key, text in ((keys.moods.single, timelines.SCHEMA_1_MOOD), (keys.changes.single, timelines.SCHEMA_1_CHANGE)):
        api.store.connection.client.xadd(key, {"run": "test", "json": text})
    added = ("readable", "energy", "energy_low", "energy_high", "fit")
    newest = api.eventually("/mood", lambda mood: mood["as_of"] is not None)
    page, changes = api.get("/moods").json(), api.get("/changes").json()
    models.Moods.model_validate_json(json.dumps(page), strict=True, extra="forbid")
    models.Changes.model_validate_json(json.dumps(changes), strict=True, extra="forbid")
    assert page["moods"] == [newest]
    assert newest["schema"] == changes["changes"][0]["schema"] == 2
    assert [newest[name] for name in added] == [None] * len(added)
    stored = json.loads(timelines.SCHEMA_1_MOOD)
    for name in ("shares", "low", "high", "raw"):
        assert newest[name] == stored[name] | {"cheering": None}
    assert {name: newest[name] for name in stored if name not in ("schema", "shares", "low", "high", "raw")} == {
        name: value for name, value in stored.items() if name not in ("schema", "shares", "low", "high", "raw")
    }
    assert (changes["changes"][0]["people"], changes["changes"][0]["readable"]) == (412, None)


def test_moods_and_changes_are_forgotten_when_they_are_too_old(api: Api) -> None:
    api.publish(mood_at(0), changes=[examples.CHANGE])
    time.sleep(0.3)
    api.publish(mood_at(1), keep_s=0.2)
    assert minutes_of(api.get("/moods").json()) == [1]
    assert api.get("/changes").json() == {"changes": [], "next": None}


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"from": "yesterday"}, "from: 'yesterday' is not an RFC 3339 time"),
        ({"from": "2026-05-01T15:00:00 02:00"}, "(write '+' as %2B in a URL)"),
        ({"to": "2026-05-01T15:00:00"}, "to: '2026-05-01T15:00:00' has no time zone"),
        ({"to": "2026-05-01"}, "to: '2026-05-01' has no time zone"),
        ({"limit": "0"}, "limit: Input should be greater than or equal to 1"),
        ({"limit": "1001"}, "limit: Input should be less than or equal to 1000"),
        ({"cursor": "yesterday"}, "cursor: 'yesterday' is no position that we gave"),
        ({"cursor": "18446744073709551616-0"}, "is no position that we gave"),
        ({"cursor": "\u0661-1"}, "is no position that we gave"),
        ({"zone": ""}, "zone: String should have at least 1 character"),
        ({"camera": ""}, "camera: String should have at least 1 character"),
        ({"limit": "many", "from": "x"}, "; limit: "),  # all problems in one response
    ],
)
def test_an_invalid_question_is_422_with_one_clear_text(api: Api, query: dict[str, str], detail: str) -> None:
    response = api.get("/moods", **query)
    assert response.status_code == 422
    assert models.Problem.model_validate(response.json(), strict=True, extra="forbid").type == (
        "/problems/invalid-request"
    )
    assert detail in response.json()["detail"]


def test_times_of_another_zone_are_understood(api: Api) -> None:
    api.publish(mood_at(0), mood_at(1))
    assert minutes_of(api.get("/moods", **{"from": "2026-05-01T17:01:00+02:00"}).json()) == [1]
