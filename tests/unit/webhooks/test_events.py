"""Events from the content of the state store: the same event has the same id, and is sent once."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.webhook_samples import sample
from crowdmood.core import stored
from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.domain.override import Override
from crowdmood.store.moods import CameraTable
from crowdmood.store.positions import Position
from tests import timelines
from tests.webhooks import endpoint
from webhooks.endpoints import Endpoint
from webhooks.events import Event, EventType, Watch
from webhooks.fan_out import events_of, wanted

LIVE = {"north": {"state": "live", "since_ms": 1, "recorded": False}}
NOW_S = 1_780_000_000


def at(second: int) -> bytes:
    """The position of what is published at this second."""
    return b"%d-0" % ((NOW_S + second) * 1000)


def mood(second: int) -> Mood:
    return timelines.mood(NOW_S + second)


def watching() -> Watch:
    return Watch("0-0", "0-0")


def seen(
    watch: Watch,
    *items: tuple[int, Mood | MoodChange | None],
    table: CameraTable = LIVE,
    now: int = 0,
    overrides: Sequence[Override] = (),
) -> list[Event]:
    published = []
    position = Position(watch.moods.encode(), watch.changes.encode())
    for second, item in items:
        field = "changes" if isinstance(item, MoodChange) else "moods"
        position = position._replace(**{field: at(second)})
        published.append((position, item))
    return events_of(watch, published, table, (NOW_S + now) * 1000, 10.0, overrides)


def types(events: list[Event]) -> list[str]:
    return [event.type.value for event in events]


def test_moods_and_changes_become_events_named_by_their_positions() -> None:
    watch = watching()
    events = seen(watch, (0, mood(0)), (1, timelines.change(1, NOW_S + 1)))
    assert [(event.type.value, event.id) for event in events] == [
        ("mood.updated", f"updated-{at(0).decode()}"),
        ("mood.changed", f"changed-{at(1).decode()}"),
    ]
    assert (watch.moods, watch.changes) == (at(0).decode(), at(1).decode())
    assert [event.confidence for event in events] == [0.5, 0.5]  # the lower end of the share of the happy


def test_a_mixed_mood_is_of_no_confidence() -> None:
    (event,) = seen(watching(), (0, replace(mood(0), dominant="mixed")))
    assert event.confidence == 0.0


@pytest.mark.parametrize("leading", ["cheering", "happy"])
def test_confidence_is_of_the_leading_label_and_0_where_its_interval_is_not_known(leading: str) -> None:
    known = replace(
        timelines.mood(NOW_S), dominant=leading, low={**(mood(0).low or {}), "cheering": 0.4, "happy": None}
    )
    (event,) = seen(watching(), (0, known))
    assert event.confidence == {"cheering": 0.4, "happy": 0.0}[leading]
    turned = replace(timelines.change(1, NOW_S, to=leading), low=known.low)
    (event,) = seen(watching(), (0, turned))
    assert event.confidence == {"cheering": 0.4, "happy": 0.0}[leading]


def test_a_stored_mood_and_change_of_schema_1_become_events_of_schema_2() -> None:
    old, turned = Mood.from_json(timelines.SCHEMA_1_MOOD), MoodChange.from_json(timelines.SCHEMA_1_CHANGE)
    updated, changed = seen(watching(), (0, old), (1, turned))
    for event in (updated, changed):
        assert (event.data["schema"], event.data["readable"], event.data["shares"]["cheering"]) == (2, None, None)
        assert event.confidence == 0.54


def test_unavailable_is_sent_once_after_ok_and_never_before() -> None:
    watch, thin = watching(), timelines.too_few
    assert seen(watch, (0, thin(NOW_S))) == []
    sent = seen(watch, (1, mood(1)), (2, thin(NOW_S + 2)), (3, thin(NOW_S + 3)), now=3)
    assert types(sent) == ["mood.updated", "mood.unavailable"]
    assert sent[1].data["status"] == "insufficient"
    assert types(seen(watch, (4, mood(4)), now=4)) == ["mood.updated"]


def test_a_mood_that_nothing_follows_grows_stale_once() -> None:
    watch = watching()
    seen(watch, (0, mood(0)))
    assert seen(watch, now=10) == []
    (event,) = seen(watch, now=11)
    assert (event.type, event.data["status"], event.data["shares"]) == (EventType.MOOD_UNAVAILABLE, "stale", None)
    assert seen(watch, now=12) == []


def test_the_mood_of_ended_footage_does_not_grow_stale() -> None:
    watch = watching()
    seen(watch, (0, replace(mood(0), cameras={"north": "ended"})))
    assert seen(watch, now=1000) == []


def test_footage_is_valid_from_its_publication_and_a_live_mood_by_the_clock() -> None:
    recorded = {"north": {**LIVE["north"], "recorded": True}}
    footage = timelines.mood(30)  # thirty seconds after 1970
    (event,) = seen(watching(), (0, footage), table=recorded)
    assert event.expires_at_ms == (NOW_S + 5) * 1000
    (event,) = seen(watching(), (2, mood(0)))
    assert event.expires_at_ms == (NOW_S + 5) * 1000


def test_what_cannot_be_read_is_passed_over() -> None:
    watch = watching()
    assert seen(watch, (7, None)) == []
    assert watch.moods == at(7).decode()


def test_cameras_go_down_and_come_back_once_each() -> None:
    watch = watching()

    def states(*given: str) -> list[tuple[str, str]]:
        events = []
        for number, state in enumerate(given):
            row = {"state": state, "since_ms": 1000 + number, "detail": "rtsp://user:secret@camera/ is away"}
            events += seen(watch, table={"north": row})
        return [(event.type.value, event.data["state"]) for event in events]

    assert states("opening", "live", "live") == []
    assert states("down", "opening", "down", "live") == [("camera.down", "down"), ("camera.up", "live")]
    assert states("frozen", "ended") == [("camera.down", "frozen"), ("camera.up", "ended")]


def test_a_camera_that_was_never_up_is_reported_without_its_credentials() -> None:
    (event,) = seen(watching(), table={"north": {"state": "down", "detail": "rtsp://user:secret@camera/ is away"}})
    assert event.type is EventType.CAMERA_DOWN
    assert "secret" not in json.dumps(event.data)


def test_a_successor_finds_the_same_events_under_the_same_ids() -> None:
    watch = watching()
    seen(watch, (0, mood(0)))
    copies = [Watch.from_json(stored.to_json(watch.to_dict())) for _ in range(2)]
    assert copies[0].crowds == watch.crowds
    found = [
        seen(copy, (1, timelines.too_few(NOW_S + 1)), table={"north": {"state": "down", "since_ms": 5}})
        for copy in copies
    ]
    assert found[0] == found[1]
    assert types(found[0]) == ["mood.unavailable", "camera.down"]


def test_an_event_is_kept_and_read_as_it_was() -> None:
    for type_ in EventType:
        event = sample(type_, "1", NOW_S * 1000)
        assert stored.from_json(Event, stored.to_json(event.to_dict())) == event


@pytest.mark.parametrize(
    ("changes", "event", "sent"),
    [
        ({}, {}, True),
        ({"events": (EventType.MOOD_CHANGED,)}, {}, False),
        ({"zones": ("home",)}, {}, False),
        ({"zones": ("home",)}, {"zone": "home"}, True),
        ({}, {"camera": "north"}, False),
        ({"cameras": True}, {"camera": "north"}, True),
        ({"min_confidence": 0.5}, {"confidence": 0.5}, True),
        ({"min_confidence": 0.5}, {"confidence": 0.49}, False),
        (
            {"min_confidence": 0.5},
            {"confidence": None},
            True,
        ),  # unavailable: every board that shows a mood must receive it
        ({"zones": ("home",), "min_confidence": 1.0}, {"type": EventType.CAMERA_DOWN, "zone": None}, True),
        ({}, {"expires_at_ms": NOW_S * 1000 - 1}, False),  # too old to act on
    ],
)
def test_endpoints_receive_the_events_of_their_filter(
    changes: dict[str, object], event: dict[str, object], sent: bool
) -> None:
    happened = Event("updated-1-0", EventType.MOOD_UPDATED, NOW_S * 1000, {}, "stadium", None, (NOW_S + 5) * 1000, 0.7)
    found = wanted(
        watching(),
        [replace(happened, **event)],
        [endpoint("https://a.example", min_interval_s=1.0, **changes)],
        NOW_S * 1000,
    )
    assert bool(found) is sent


HAPPENED = st.builds(
    lambda type_, zone, camera, confidence: (
        Event("e", type_, NOW_S * 1000, {}, zone, camera, None, confidence)
        if type_.of_mood
        else Event("e", type_, NOW_S * 1000, {}, None, "north")
    ),
    st.sampled_from(EventType),
    st.sampled_from(["stadium", "home", "away"]),
    st.sampled_from([None, "north"]),
    st.none() | st.floats(0, 1),
)
FILTERS = st.fixed_dictionaries(
    {
        "events": st.lists(st.sampled_from(EventType), min_size=1, unique=True).map(tuple),
        "zones": st.lists(st.sampled_from(["stadium", "home", "away"]), unique=True).map(tuple),
        "cameras": st.booleans(),
        "min_confidence": st.sampled_from([0.0, 1.0]) | st.floats(0, 1),
    }
)


@given(HAPPENED, FILTERS)
def test_whatever_filters_there_are_they_mean_what_their_words_say(event: Event, filters: dict[str, Any]) -> None:
    reasons_against = [
        event.type not in filters["events"],
        event.type.of_mood and bool(filters["zones"]) and event.zone not in filters["zones"],
        event.type.of_mood and event.camera is not None and not filters["cameras"],
        event.type.of_mood and event.confidence is not None and event.confidence < filters["min_confidence"],
    ]
    sent = wanted(watching(), [event], [endpoint("https://a.example", **filters)], NOW_S * 1000)
    assert bool(sent) is not any(reasons_against)


DEFAULTS = (EventType.MOOD_CHANGED, EventType.MOOD_UNAVAILABLE)


def sent_to(watch: Watch, board: Endpoint, *items: tuple[int, Mood]) -> list[tuple[str, int]]:
    """Return the events that a board receives for moods, each seen at its publication, with their seconds."""
    sent = []
    for second, item in items:
        now_ms = (NOW_S + second) * 1000
        sent += [(event.type.value, second) for _, event in wanted(watch, seen(watch, (second, item)), [board], now_ms)]
    return sent


def test_who_hears_that_there_is_no_mood_hears_of_the_next_one_and_of_no_other() -> None:
    #      0 ok   1 few  2 few  3 ok   4 ok   5 few  6 ok
    moods = [
        (second, timelines.too_few(NOW_S + second) if second in (1, 2, 5) else mood(second)) for second in range(7)
    ]
    sent = [("mood.unavailable", 1), ("mood.updated", 3), ("mood.unavailable", 5), ("mood.updated", 6)]
    assert sent_to(watching(), endpoint("https://a.example", events=DEFAULTS), *moods) == sent
    assert sent_to(watching(), endpoint("https://a.example", events=(EventType.MOOD_CHANGED,)), *moods) == []
    # An endpoint with a minimum interval receives this mood before the interval is over.
    rarely = endpoint("https://a.example", min_interval_s=60)
    assert sent_to(watching(), rarely, *moods) == [("mood.updated", 0), *sent]


def test_the_mood_after_a_gap_passes_the_other_filters_and_is_remembered_over_a_death() -> None:
    sure = endpoint("https://a.example", events=DEFAULTS, min_confidence=0.4, zones=("stadium",))
    unsure = replace(mood(2), low={**(mood(2).low or {}), "happy": 0.3})
    watch = watching()
    assert sent_to(watch, sure, (0, mood(0)), (1, timelines.too_few(NOW_S + 1))) == [("mood.unavailable", 1)]
    watch = Watch.from_json(stored.to_json(watch.to_dict()))
    assert sent_to(watch, sure, (2, unsure), (3, mood(3)), (4, mood(4))) == [("mood.updated", 3)]


def stop(show: str = "default", zone: str = "stadium", until: int = 60) -> Override:
    return Override(zone, zone, show, NOW_S * 1000, (NOW_S + until) * 1000, "a test", 0, None)


def test_an_override_is_one_event_nothing_of_the_crowd_follows_and_the_next_mood_ends_it() -> None:
    watch = watching()
    assert types(seen(watch, (0, mood(0)))) == ["mood.updated"]
    (event,) = seen(watch, (1, mood(1)), (1, timelines.change(1, NOW_S + 1)), now=1, overrides=[stop("anthem")])
    assert (event.type, event.overridden) == (EventType.MOOD_UNAVAILABLE, True)
    assert (event.data["status"], event.data["shares"]) == ("overridden", None)
    assert event.data["override"] == stop("anthem").note()
    assert seen(watch, (2, mood(2)), (2, timelines.change(2, NOW_S + 2)), now=2, overrides=[stop("anthem")]) == []
    (changed,) = seen(watch, now=3, overrides=[stop("house")])
    assert changed.data["override"]["show"] == "house"
    assert changed.id != event.id
    succeeding = Watch.from_json(stored.to_json(watch.to_dict()))
    succeeding.newest = dict(watch.newest)
    assert seen(succeeding, now=4, overrides=[stop("house")]) == []  # another dispatcher does not repeat it
    assert types(seen(watch, (5, mood(5)), (6, timelines.change(3, NOW_S + 6)), now=6)) == [
        "mood.updated",
        "mood.changed",
    ]


@pytest.mark.parametrize("after", ["stale", "insufficient", "nothing"])
def test_the_end_of_an_override_is_reported_also_without_a_mood_to_act_on(after: str) -> None:
    watch = watching()
    seen(watch, (0, mood(0)))
    seen(watch, now=1, overrides=[stop("anthem")])
    if after == "nothing":
        assert seen(watch, now=9) == []
        events = seen(watch, now=11)
        status = "stale"
    else:
        events = seen(watch, (2, replace(mood(2).as_stale(), status=after)), now=2)
        status = after
    assert types(events) == ["mood.unavailable"]
    assert (events[0].data["status"], events[0].data["override"]) == (status, None)


def test_a_crowd_that_appears_during_an_override_and_moods_that_were_marked_are_withheld() -> None:
    watch = watching()
    (event,) = seen(watch, (0, mood(0)), overrides=[stop()])
    assert event.overridden
    marked = replace(mood(1), override=stop().note()), replace(timelines.change(1, NOW_S), override=stop().note())
    late = watching()  # a dispatcher that was down during the override
    assert seen(late, (1, marked[0]), (1, marked[1])) == []
    assert types(seen(late, (2, mood(2)), now=2)) == ["mood.updated"]


def test_one_of_a_zone_concerns_its_crowd_and_its_cameras() -> None:
    def crowds(second: int) -> list[tuple[int, Mood | MoodChange | None]]:
        home = replace(mood(second), zone="home", cameras={"north": "live"})
        cameras = [replace(mood(second), camera=name, cameras={name: "live"}) for name in ("north", "south")]
        return [(second, one) for one in (mood(second), home, *cameras)]

    watch = watching()
    seen(watch, *crowds(0))
    events = seen(watch, *crowds(1), now=1, overrides=[stop(zone="home")])
    assert [(event.type.value, event.zone, event.camera) for event in events] == [
        ("mood.unavailable", "home", None),
        ("mood.unavailable", "stadium", "north"),
        ("mood.updated", "stadium", None),
        ("mood.updated", "stadium", "south"),
    ]


@pytest.mark.parametrize(
    ("events", "receives"),
    [
        ((EventType.MOOD_CHANGED,), True),
        ((EventType.MOOD_UPDATED,), True),
        ((EventType.CAMERA_DOWN,), False),
    ],
)
def test_an_override_reaches_every_endpoint_of_moods(events: tuple[EventType, ...], receives: bool) -> None:
    watch = watching()
    seen(watch, (0, mood(0)))
    (event,) = seen(watch, now=1, overrides=[stop()])
    to = endpoint("https://a.example", events=events, min_confidence=0.9)
    assert [one.id for one, _ in wanted(watch, [event], [to], 1)] == ["ep_1"] * receives
    if receives:  # and the mood after it, whatever it selects
        (after,) = seen(watch, (2, replace(mood(2), low={**(mood(2).low or {}), "happy": 0.95})), now=2)
        assert wanted(watch, [after], [to], (NOW_S + 2) * 1000)
