"""A simulated match through every real process, beside its truth."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood
from simulator.comparison import Phase, compare
from simulator.truth import load_truth

from .conftest import crowdmood

SCRIPT = """
[[events]]
at_s = 10
event = "goal"
[[events]]
at_s = 22
event = "conceded"
"""


@pytest.fixture(scope="module")
def phases(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Phase]:
    """What a replay measured before the goal, after it, and after the other side's."""
    folder = tmp_path_factory.mktemp("match")
    (folder / "script.toml").write_text(SCRIPT)
    match, moods = folder / "match", folder / "moods.jsonl"
    options = ("--minutes", "0.55", "--cameras", "2", "--people", "120", "--fps", "5")
    done = crowdmood("simulate", *options, "--script", folder / "script.toml", "--out", match)
    assert done.returncode == 0, done.stderr
    assert "330/330" in done.stdout  # the progress bar's last state
    done = crowdmood(
        "replay",
        "--speed",
        "max",
        "--truth",
        match,
        "--moods",
        moods,
        match / "stand-1.mp4",
        match / "stand-2.mp4",
        CROWDMOOD_AGGREGATOR__WINDOW_S="4",
        CROWDMOOD_DETECTOR__KIND="yunet",
        CROWDMOOD_DETECTOR__MIN_FACE_PX="40",  # no face is smaller
        CROWDMOOD_DETECTOR__YUNET_MODEL=str(assets / "models" / "face_detection_yunet_2023mar.onnx"),
    )
    assert done.returncode == 0, done.stderr
    assert "Measured and true" in done.stdout
    assert "│ 330 " in done.stdout
    return compare(load_truth(match), [Mood.from_json(line) for line in moods.read_text().splitlines()])


def test_shares_are_near_the_truth_in_every_phase(phases: list[Phase]) -> None:
    assert [phase.began_with for phase in phases] == ["", "goal", "conceded"]
    # The network calls many sad faces neutral: crowds that it learned from hold few.
    for phase, most in zip(phases, (0.06, 0.06, 0.09), strict=True):
        assert phase.error is not None
        assert phase.error < most, phase


def test_after_a_goal_cheering_leads_and_after_one_conceded_people_are_sad_and_angry(
    phases: list[Phase],
) -> None:
    before, goal, conceded = (phase.measured for phase in phases)
    assert before and goal and conceded
    assert goal["cheering"] > before["cheering"] + 0.2
    assert conceded["sad"] + conceded["angry"] > before["sad"] + before["angry"] + 0.08
    assert max(goal, key=lambda label: goal[label]) == "cheering"


def test_people_who_hide_or_turn_away_are_not_counted(phases: list[Phase]) -> None:
    for phase in phases:
        assert phase.true_readable is not None
        assert phase.measured_readable == pytest.approx(phase.true_readable, rel=0.25)


BAD = [
    (("--people", "5000"), "people before one camera are more than the"),
    (("--cameras", "0"), "--cameras is 0; give 1 to 64"),
    (("--script", "riot.toml"), "unknown event 'riot' at 1 s; use kick-off, chance, goal"),
    (("--faces", "nowhere"), "nowhere/angry: cannot be read"),
    (("--faces", "broken"), "broken/angry/a.png: is no readable image"),
    (("--out", "riot.toml/match"), "riot.toml/match: cannot be written"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[" ".join(options) for options, _ in BAD])
def test_what_cannot_be_simulated_is_one_line_and_leaves_nothing_behind(
    tmp_path: Path, options: tuple[str, str], message: str
) -> None:
    (tmp_path / "riot.toml").write_text('[[events]]\nat_s = 1\nevent = "riot"\n')
    (tmp_path / "broken" / "angry").mkdir(parents=True)
    (tmp_path / "broken" / "angry" / "a.png").write_bytes(b"no picture")
    before = sorted(tmp_path.rglob("*"))

    done = crowdmood("simulate", "--out", "match", *options)  # tests run in `tmp_path`
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_ones_own_faces_are_worn_by_the_people_of_a_match(tmp_path: Path) -> None:
    for label in LABELS:
        (tmp_path / "faces" / label).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "faces" / label / "a.png"), np.full((48, 48), 127, np.uint8))
    options = ("--minutes", "0.01", "--cameras", "1", "--people", "20")
    for out, faces in (("own", ("--faces", "faces")), ("usual", ())):
        done = crowdmood("simulate", *options, *faces, "--out", out)
        assert done.returncode == 0, done.stderr

    assert contrast_of_faces(tmp_path / "own") < 0.5 * contrast_of_faces(tmp_path / "usual")


def contrast_of_faces(folder: Path) -> float:
    """How much the middles of visible faces vary in brightness: those of gray squares hardly do."""
    reader = cv2.VideoCapture(str(folder / "stand-1.mp4"))
    picture = cv2.cvtColor(reader.read()[1], cv2.COLOR_BGR2GRAY)
    reader.release()
    truth = load_truth(folder)
    moment = truth.seconds[0].cameras["stand-1"]
    middles = []
    for (x1, y1, x2, y2), visibility in zip(moment.boxes_xyxy, moment.visibility, strict=True):
        if visibility > 0.99:
            margin = (x2 - x1) // 4
            middles.append(picture[y1 + margin : y2 - margin, x1 + margin : x2 - margin].std())
    return float(np.median(middles))
