"""The rows and the object of a timeline."""

import json
from pathlib import Path

from app import reports
from app.reports.data import SCHEMA, rows, to_dict
from app.reports.timeline import Scope
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange
from tests.timelines import change, mood, seven_labels, timeline, too_few


def test_orders_rows_by_stadium_zones_and_cameras() -> None:
    made = timeline([mood(1, camera="north"), mood(1, zone="away"), mood(1), mood(2, camera="north"), mood(2)])
    assert list(made.moods) == [Scope("stadium"), Scope("away"), Scope("stadium", "north")]
    assert [(row["zone"], row["camera"], row["match_s"]) for row in rows(made)] == [
        ("stadium", None, 1.0),
        ("stadium", None, 2.0),
        ("away", None, 1.0),
        ("stadium", "north", 1.0),
        ("stadium", "north", 2.0),
    ]


def test_a_row_has_every_column_and_the_interval_of_each_share() -> None:
    (row,) = rows(timeline([mood(1)]))
    assert row.keys() == set(SCHEMA.names)
    assert (row["happy_low"], row["happy"], row["happy_high"], row["happy_raw"]) == (0.5, 0.6, 0.7, 0.55)
    assert (row["valence_low"], row["valence"], row["valence_high"]) == (0.4, 0.5, 0.6)
    assert (row["energy_low"], row["energy"], row["energy_high"]) == (0.05, 0.1, 0.15)
    assert (row["people"], row["readable"], row["fit"]) == (40, 30, 0.9)


def test_lacks_only_cheering_and_energy_when_the_network_has_no_cheering() -> None:
    (row,) = rows(timeline([seven_labels(1)]))
    missing = {name for name, value in row.items() if value is None}
    ends = ("", "_low", "_high", "_raw")
    assert missing == {"camera", "change", *(f"cheering{end}" for end in ends), *(f"energy{end}" for end in ends[:3])}


def test_withholds_all_figures_below_min_faces() -> None:
    (row,) = rows(timeline([too_few(1)]))
    present = {name for name, value in row.items() if value is not None}
    assert present == {"zone", "match_s", "as_of", "status", "cameras_live", "method", "model", "detector"}


def test_a_change_is_in_the_row_of_its_zone_and_window_only() -> None:
    moods = [mood(1), mood(1, zone="away"), mood(1, camera="north"), mood(2), mood(2, zone="away")]
    made = timeline(moods, changes=[change(1, 2), change(1, 1, zone="away", to="sad")])
    assert [(row["zone"], row["match_s"], row["change"]) for row in rows(made) if row["change"]] == [
        ("stadium", 2.0, "happy"),
        ("away", 1.0, "sad"),
    ]


def test_documents_every_column_and_field() -> None:
    text = (Path(reports.__file__).parent / "README.md").read_text()
    shares = {f"{label}{end}" for label in LABELS for end in ("", "_low", "_high", "_raw")}
    made = to_dict(timeline([mood(1)], changes=[change(1, 1)]))
    for name in {*SCHEMA.names, *made, *made["cameras"][0], *made["minutes"][0], *made["changes"][0]} - shares:
        assert f"`{name}`" in text, name


def test_the_object_has_moods_and_changes_as_the_api_returns_them() -> None:
    moods, changes = [mood(1), mood(61), too_few(61)], [change(1, 61)]
    made = json.loads(json.dumps(to_dict(timeline(moods, changes=changes, lost={"unreadable": 2}))))
    assert (made["kind"], made["schema"], made["complete"]) == ("crowdmood.timeline", 2, True)
    assert (made["start"], made["end"]) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:01:01.000Z")
    assert [Mood.from_json(json.dumps(one)) for one in made["moods"]] == moods
    assert [MoodChange.from_json(json.dumps(one)) for one in made["changes"]] == changes
    assert made["windows"] == {"insufficient": 1, "ok": 2}
    assert (made["lost"], made["cameras"][0]["lost"]) == ({"unreadable": 2}, {"unreadable": 2})
    assert [minute["minute"] for minute in made["minutes"]] == [1, 2]
    assert made["minutes"][0]["shares"].keys() == set(LABELS)


def test_a_camera_has_no_path_and_no_wall_clock_time() -> None:
    (camera,) = to_dict(timeline([mood(1)]))["cameras"]
    assert camera["footage"] == "north.mp4"
    assert camera.keys() == {"camera", "footage", "frames", "faces", "late", "lost", "detail", "states"}


def test_a_minute_lacks_the_mean_of_a_label_that_one_of_its_moods_lacks() -> None:
    (minute,) = to_dict(timeline([mood(1), seven_labels(2)]))["minutes"]
    assert minute["shares"] == {**dict.fromkeys(LABELS, 0.0), "happy": 0.6, "neutral": 0.4, "cheering": None}
