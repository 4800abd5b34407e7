"""A stand of real crowd faces with known truth, through every real process."""

import json
from pathlib import Path
from typing import Any

import pytest

from crowdmood.domain.labels import LABELS

from .conftest import crowdmood
from .test_terraces import WINDOW_S, moods_of, seconds

LEADING = ("neutral", "cheering", "happy", "neutral")
"""The label that most readable people truly show in each phase: calm, singing, goal, conceded."""

LARGEST_ERROR = 0.04


@pytest.fixture(scope="module")
def phases(assets: Path) -> list[dict[str, Any]]:
    truth = json.loads((assets / "footage" / "stand.json").read_text())
    found: list[dict[str, Any]] = truth["phases"]
    return found


@pytest.fixture(scope="module")
def timeline(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a report of the clip holds, with YuNet and no other setting."""
    out = tmp_path_factory.mktemp("stand") / "report"
    model = assets / "models" / "face_detection_yunet_2023mar.onnx"
    done = crowdmood(
        "report",
        "--out",
        out,
        assets / "footage" / "stand.mp4",
        timeout=400,
        CROWDMOOD_DETECTOR__KIND="yunet",
        CROWDMOOD_DETECTOR__YUNET_MODEL=str(model),
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((out / "timeline.json").read_text())
    return found


def within(phase: dict[str, Any], timeline: dict[str, Any]) -> list[dict[str, Any]]:
    """The stadium's moods whose whole window lies in a phase."""
    moods = moods_of(timeline, "stadium")
    return [mood for mood in moods if phase["start_s"] + WINDOW_S <= seconds(mood["as_of"]) <= phase["end_s"]]


@pytest.mark.parametrize("number", range(4), ids=LEADING)
def test_shares_of_a_phase_are_those_of_its_readable_people(
    phases: list[dict[str, Any]], timeline: dict[str, Any], number: int
) -> None:
    true, moods = phases[number]["shares"], within(phases[number], timeline)
    assert max(true, key=lambda label: true[label]) == LEADING[number]
    assert len(moods) == 11
    mean = {label: sum(mood["shares"][label] for mood in moods) / len(moods) for label in LABELS}
    assert max(mean, key=lambda label: mean[label]) == LEADING[number]
    assert {mood["dominant"] for mood in moods} <= {LEADING[number], "mixed"}
    assert sum(abs(mean[label] - true[label]) for label in LABELS) / len(LABELS) <= LARGEST_ERROR


def test_true_shares_lie_in_their_intervals(phases: list[dict[str, Any]], timeline: dict[str, Any]) -> None:
    inside = [
        mood["low"][label] <= phase["shares"][label] <= mood["high"][label]
        for phase in phases
        for mood in within(phase, timeline)
        for label in LABELS
    ]
    assert sum(inside) / len(inside) >= 0.85


def test_unreadable_people_are_seen_and_do_not_vote(phases: list[dict[str, Any]], timeline: dict[str, Any]) -> None:
    for phase in phases:
        for mood in within(phase, timeline):
            assert mood["readable"] < mood["people"]
            # Some people are followed as two, as faces between two seats are found now and then.
            assert 0.8 * phase["people"] <= mood["readable"] <= 1.35 * phase["people"]


def test_a_crowd_that_sings_and_then_sees_a_goal_changes_to_cheering_and_to_happy(timeline: dict[str, Any]) -> None:
    changes = [change for change in timeline["changes"] if change["zone"] == "stadium"]
    assert [(change["from"], change["to"]) for change in changes] == [
        ("neutral", "cheering"),
        ("cheering", "happy"),
        ("happy", "neutral"),
    ]
