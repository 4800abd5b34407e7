"""A simulated match through every real process, beside its truth."""

from pathlib import Path

import pytest

from crowdmood.mood import Mood
from simulator.comparison import Stretch, compare
from simulator.truth import load_truth

from .conftest import crowdmood

SCRIPT = """
[[events]]
at_s = 10
event = "goal"
[[events]]
at_s = 20
event = "conceded"
"""


@pytest.fixture(scope="module")
def stretches(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Stretch]:
    """What a replay measured before the goal, after it, and after the other side's."""
    folder = tmp_path_factory.mktemp("match")
    (folder / "script.toml").write_text(SCRIPT)
    match, moods = folder / "match", folder / "moods.jsonl"
    options = ("--minutes", "0.5", "--cameras", "2", "--people", "120", "--fps", "5")
    done = crowdmood("simulate", *options, "--script", folder / "script.toml", "--out", match)
    assert done.returncode == 0, done.stderr
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
        CROWDMOOD_DETECTOR__KIND="yunet",
        CROWDMOOD_DETECTOR__YUNET_MODEL=str(assets / "models" / "face_detection_yunet_2023mar.onnx"),
    )
    assert done.returncode == 0, done.stderr
    assert "Measured and true" in done.stdout
    assert "│ 300 " in done.stdout
    return compare(load_truth(match), [Mood.from_json(line) for line in moods.read_text().splitlines()])


def test_shares_are_near_the_truth_in_every_stretch(stretches: list[Stretch]) -> None:
    assert [stretch.began_with for stretch in stretches] == ["", "goal", "conceded"]
    for stretch in stretches:
        assert stretch.error is not None
        assert stretch.error < 0.06, stretch


def test_a_goal_makes_happy_what_conceding_makes_sad_and_angry(stretches: list[Stretch]) -> None:
    before, goal, conceded = (stretch.measured for stretch in stretches)
    assert before and goal and conceded
    assert goal["happy"] > before["happy"] + 0.2
    assert conceded["sad"] + conceded["angry"] > before["sad"] + before["angry"] + 0.2
    assert max(goal, key=lambda label: goal[label]) == "happy"
