"""The order of a report, its rows and its object."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app import reports
from app.reports.data import SCHEMA, rows, to_dict
from app.reports.timeline import Scope, Stretch
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange
from tests.timelines import change, mood, seven_labels, timeline, too_few


def test_the_stadium_comes_first_then_zones_then_cameras() -> None:
    told = timeline([mood(1, camera="north"), mood(1, zone="away"), mood(1), mood(2, camera="north"), mood(2)])
    assert list(told.moods) == [Scope("stadium"), Scope("away"), Scope("stadium", "north")]
    assert [(row["zone"], row["camera"], row["match_s"]) for row in rows(told)] == [
        ("stadium", None, 1.0),
        ("stadium", None, 2.0),
        ("away", None, 1.0),
        ("stadium", "north", 1.0),
        ("stadium", "north", 2.0),
    ]


def test_a_row_has_every_column_and_a_share_its_interval() -> None:
    (row,) = rows(timeline([mood(1)]))
    assert row.keys() == set(SCHEMA.names)
    assert (row["happy_low"], row["happy"], row["happy_high"], row["happy_raw"]) == (0.5, 0.6, 0.7, 0.55)
    assert (row["valence_low"], row["valence"], row["valence_high"]) == (0.4, 0.5, 0.6)
    assert (row["energy_low"], row["energy"], row["energy_high"]) == (0.05, 0.1, 0.15)
    assert (row["people"], row["readable"], row["fit"]) == (40, 30, 0.9)


def test_a_row_of_a_network_without_cheering_lacks_its_figures_and_energy_alone() -> None:
    (row,) = rows(timeline([seven_labels(1)]))
    missing = {name for name, value in row.items() if value is None}
    ends = ("", "_low", "_high", "_raw")
    assert missing == {"camera", "change", *(f"cheering{end}" for end in ends), *(f"energy{end}" for end in ends[:3])}


def test_of_too_few_people_a_row_tells_the_status_and_nothing_that_was_measured() -> None:
    (row,) = rows(timeline([too_few(1)]))
    told = {name for name, value in row.items() if value is not None}
    assert told == {"zone", "match_s", "as_of", "status", "cameras_live", "method", "model", "detector"}


def test_a_change_stands_in_the_row_of_its_zone_and_window_alone() -> None:
    moods = [mood(1), mood(1, zone="away"), mood(1, camera="north"), mood(2), mood(2, zone="away")]
    told = timeline(moods, changes=[change(1, 2), change(1, 1, zone="away", to="sad")])
    assert [(row["zone"], row["match_s"], row["change"]) for row in rows(told) if row["change"]] == [
        ("stadium", 2.0, "happy"),
        ("away", 1.0, "sad"),
    ]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], []),
        ([(1, "live"), (2, "live")], [("live", 0, 2)]),
        ([(1, "live"), (2, "idle"), (3, "ended")], [("live", 0, 1), ("idle", 1, 2), ("ended", 2, 3)]),
        # No window ends between 2 and 8 s, since nobody saw anything.
        ([(1, "live"), (2, "idle"), (9, "live")], [("live", 0, 1), ("idle", 1, 8), ("live", 8, 9)]),
        ([(5, "live")], [("live", 4, 5)]),
    ],
)
def test_a_cameras_equal_states_are_one_stretch(
    states: list[tuple[int, str]], expected: list[tuple[str, int, int]]
) -> None:
    told = timeline([replace(mood(at), cameras={"north": state}) for at, state in states])
    (camera,) = told.coverage
    assert camera.stretches == tuple(Stretch(state, start * 1000, end * 1000) for state, start, end in expected)
    assert camera.seconds("live") == sum(end - start for state, start, end in expected if state == "live")


def test_a_camera_is_live_in_the_hop_in_which_it_ends() -> None:
    moods = [replace(mood(at), cameras={"north": "live" if at < 3 else "ended"}) for at in (1, 2, 3, 4)]
    (camera,) = timeline(moods, last_frame_s=2.8).coverage
    assert camera.stretches == (Stretch("live", 0, 3000), Stretch("ended", 3000, 4000))


def test_every_column_and_field_is_documented() -> None:
    text = (Path(reports.__file__).parent / "README.md").read_text()
    shares = {f"{label}{end}" for label in LABELS for end in ("", "_low", "_high", "_raw")}
    told = to_dict(timeline([mood(1)], changes=[change(1, 1)]))
    for name in {*SCHEMA.names, *told, *told["cameras"][0], *told["minutes"][0], *told["changes"][0]} - shares:
        assert f"`{name}`" in text, name


def test_the_object_holds_what_the_api_would_have_told() -> None:
    moods, changes = [mood(1), mood(61), too_few(61)], [change(1, 61)]
    given = json.loads(json.dumps(to_dict(timeline(moods, changes=changes, lost={"unreadable": 2}))))
    assert (given["kind"], given["schema"], given["complete"]) == ("crowdmood.timeline", 2, True)
    assert (given["start"], given["end"]) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:01:01.000Z")
    assert [Mood.from_json(json.dumps(one)) for one in given["moods"]] == moods
    assert [MoodChange.from_json(json.dumps(one)) for one in given["changes"]] == changes
    assert given["windows"] == {"insufficient": 1, "ok": 2}
    assert (given["lost"], given["cameras"][0]["lost"]) == ({"unreadable": 2}, {"unreadable": 2})
    assert [minute["minute"] for minute in given["minutes"]] == [1, 2]
    assert given["minutes"][0]["shares"].keys() == set(LABELS)


def test_nothing_of_where_and_when_it_was_made_is_told() -> None:
    (camera,) = to_dict(timeline([mood(1)]))["cameras"]
    assert camera["footage"] == "north.mp4"
    assert camera.keys() == {"camera", "footage", "frames", "faces", "late", "lost", "detail", "states"}


def test_people_and_readable_are_medians_of_the_windows_with_figures() -> None:
    counts = ((1, 30, 21), (2, 50, 40), (3, 31, 20))
    made = timeline([*(replace(mood(at), people=seen, readable=read) for at, seen, read in counts), too_few(4)])
    assert (made.people(), made.readable()) == (31, 21)
    for moods in ([], [too_few(1)]):
        assert (timeline(moods).people(), timeline(moods).readable()) == (None, None)


def test_low_fits_are_counted_among_the_windows_that_have_a_fit() -> None:
    fits = (0.49, 0.5, 1.0, None)
    assert timeline([replace(mood(at), fit=fit) for at, fit in enumerate(fits, 1)]).low_fits() == (1, 3)
    assert timeline([]).low_fits() == (0, 0)


def test_a_minute_lacks_the_mean_of_a_label_that_one_of_its_moods_does_not_know() -> None:
    (minute,) = to_dict(timeline([mood(1), seven_labels(2)]))["minutes"]
    assert minute["shares"] == {**dict.fromkeys(LABELS, 0.0), "happy": 0.6, "neutral": 0.4, "cheering": None}
