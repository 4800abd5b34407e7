"""The error of a share: which windows count, what is compared, and the release from the history."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.crowds import COMMIT, DRAWN, EARLIER, TODAY, earlier_release, goals, measure, networks_of, true_shares
from benchmarks.figures import MissingError, Row
from benchmarks.session import Session
from benchmarks.shares import ERROR, Answer, Phase, phases_of, score, truth_of, with_truth, with_zeros
from classifier import DEFAULT_MODEL
from classifier.card import load_card
from crowdmood.domain.labels import FER_LABELS, LABELS
from tests.faces_of_crowds import faces_of


def shares(**given: float) -> dict[str, float]:
    return dict.fromkeys(LABELS, 0.0) | given


def answer(people: int | None = None, **given: float) -> Answer:
    """Return an answer with intervals of 0.1 on both sides."""
    known = shares(**given)
    low, high = ({label: value + half for label, value in known.items()} for half in (-0.1, 0.1))
    return Answer(known, low, high, people)


def test_phases_are_read_from_the_file_beside_a_clip(tmp_path: Path) -> None:
    assert phases_of(tmp_path / "clip.mp4") == []
    beside = tmp_path / "clip.json"
    beside.write_text(json.dumps({"frames": []}))
    assert phases_of(tmp_path / "clip.mp4") == []
    beside.write_text(json.dumps({"phases": [{"start_s": 0, "end_s": 20, "people": 3, "shares": {"happy": 1.0}}]}))
    (phase,) = phases_of(tmp_path / "clip.mp4")
    assert (phase, str(phase)) == (Phase(0, 20, {"happy": 1.0}), "0-20 s")


def test_a_phase_is_measured_on_windows_that_lie_wholly_in_it() -> None:
    # phase:              [20                  40)
    # windows:  [9   19) [19    29) [20  30) [30  40) [31   41)
    answers = [answer(people) for people in range(5)]
    starts = (9, 19, 20, 30, 31)
    windows = [(start, start + 10, one) for start, one in zip(starts, answers, strict=True)]
    phase = Phase(20, 40, shares(sad=1.0))
    assert with_truth(windows, phase.truth) == [(phase.shares, answers[2]), (phase.shares, answers[3])]
    # A window that began before the footage.
    assert with_truth([(-9, 1, answers[0])], Phase(0, 20, shares(sad=1.0)).truth) == []


def test_the_truth_of_a_clip_is_unknown_where_a_window_holds_two_phases(tmp_path: Path) -> None:
    phases = [
        {"start_s": 0, "end_s": 20, "shares": shares(happy=1.0)},
        {"start_s": 20, "end_s": 40, "shares": shares(sad=1.0)},
    ]
    (tmp_path / "clip.json").write_text(json.dumps({"phases": phases}))
    true = truth_of(tmp_path / "clip.mp4")
    assert true is not None
    assert true(5, 15) == true(-5, 5) == shares(happy=1.0)  # the first windows begin before the footage
    assert true(15, 25) is None
    windows = [(5, 15, answer(happy=0.3, neutral=0.7)), (15, 25, answer(fear=1.0)), (30, 40, answer(sad=1.0))]
    assert score(with_truth(windows, true))[ERROR] == pytest.approx((0.7 + 0.7) / 16)
    assert with_truth([(15, 25, answer(fear=1.0))], true) == []
    assert truth_of(tmp_path / "other.mp4") is None


@pytest.mark.parametrize(
    ("clip", "labels"), [("terrace-north", FER_LABELS), ("terrace-south", FER_LABELS), ("stand", LABELS)]
)
def test_the_truth_of_shared_footage_has_seven_or_eight_labels(
    assets: Path, clip: str, labels: tuple[str, ...]
) -> None:
    true = truth_of(assets / "footage" / f"{clip}.mp4")
    assert true is not None
    assert tuple(true(2, 12) or ()) == labels


def test_an_error_is_the_mean_over_labels_and_answers() -> None:
    true = shares(neutral=0.8, cheering=0.2)
    found = score([(true, answer(40, neutral=0.8, cheering=0.2)), (true, answer(50, neutral=0.4, angry=0.4, sad=0.2))])
    assert found[ERROR] == pytest.approx((0 + 0.4 + 0.4 + 0.2 + 0.2) / 16)
    assert found["error of the negative labels together"] == pytest.approx((0 + 0.6) / 2)
    assert found["true shares in their intervals"] == pytest.approx((8 + 4) / 16)
    assert (found["label that leads"], found["in truth"]) == ("neutral", "neutral")
    assert (found["people counted"], found["answers"]) == (45, 2)


def test_a_label_that_a_network_does_not_know_counts_as_zero_and_has_no_interval() -> None:
    true = shares(neutral=0.25, cheering=0.75)
    known = {label: 1.0 * (label == "neutral") for label in FER_LABELS}
    seven = Answer(with_zeros(known | {"cheering": None}), known | {"cheering": None}, dict(known), None)
    found = score([(true, seven)])
    assert found[ERROR] == pytest.approx((0.75 + 0.75) / 8)
    assert found["true shares in their intervals"] == pytest.approx(6 / 7)
    assert (found["label that leads"], found["in truth"]) == ("neutral", "cheering")
    assert found["people counted"] is None


def test_only_the_labels_of_the_truth_are_compared() -> None:
    true = {label: 1.0 * (label == "happy") for label in FER_LABELS}
    assert score([(true, answer(happy=0.3, cheering=0.7))])[ERROR] == pytest.approx(0.7 / 7)


def test_no_answer_has_no_error() -> None:
    assert score([]) == {ERROR: None, "answers": 0}


def test_true_shares_are_of_faces_with_a_readable_majority() -> None:
    chosen = [["happy"] * 3, ["happy", "happy", "sad"], ["cheering"] * 3, ["unreadable"] * 3, ["sad", "fear", "happy"]]
    faces = faces_of(chosen)
    assert true_shares(faces, np.arange(5)) == pytest.approx(shares(happy=2 / 3, cheering=1 / 3))
    assert true_shares(faces, np.array([2, 2, 0])) == pytest.approx(shares(happy=1 / 3, cheering=2 / 3))
    assert true_shares(faces, np.array([3, 4])) == {}


def row(people: str, error: float | None, leads: str = "happy", truly: str = "happy", who: str = TODAY) -> Row:
    return {"people": people, "who": who, ERROR: error, "label that leads": leads, "in truth": truly}


def test_goals_are_for_todays_network_and_its_worst_phase() -> None:
    rows = [
        row(DRAWN, 0.13, who="baseline"),
        row(DRAWN, 0.024),
        row("stand", 0.01),
        row("stand", 0.05, "sad", "neutral"),
        row("stand", 0.2, who="baseline"),
        row("terrace", 0.9),
    ]
    found = [(goal.what, goal.wanted, goal.reached, goal.met, goal.floor_met) for goal in goals(rows, ["stand"])]
    assert found == [
        ("error of a share, crowds of 200 faces", 0.02, 0.024, False, True),
        ("phases in which the right label leads, stand", 2, 1, False, None),
        ("largest error of a share in a phase, stand", 0.03, 0.05, False, False),
    ]


def test_a_phase_without_a_mood_does_not_count_as_right() -> None:
    rows = [row("stand", 0.01), row("stand", None)]
    assert [goal.reached for goal in goals(rows, ["stand"])] == [1, 0.01]


def test_without_people_the_error_names_the_options_to_give(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"give a clip .* \(FOOTAGE=\) or labelled faces \(CROWD_FACES=\)"):
        measure(Session(tmp_path, footage=(tmp_path / "clip.mp4",)))
    with pytest.raises(MissingError, match=r"faces\.csv"):
        measure(Session(tmp_path, crowd_faces=tmp_path))


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, str]:
    """A repository from which a release of CrowdNet was removed, and the commit that holds it."""
    folder = tmp_path / "project"
    model = folder / "classifier" / "models" / "crowdnet"
    model.mkdir(parents=True)
    card = load_card(DEFAULT_MODEL)
    for name in ("card.json", *(file.name for file in card.files)):
        shutil.copy(DEFAULT_MODEL / name, model)

    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "the release")
    commit = git("rev-parse", "HEAD")
    git("rm", "--quiet", "-r", "classifier")
    git("commit", "--quiet", "--message", "without it")
    return folder, commit


def test_the_earlier_release_is_extracted_from_the_history_once(repository: tuple[Path, str], tmp_path: Path) -> None:
    folder, commit = repository
    model = earlier_release(tmp_path / "work", folder, commit)
    assert load_card(model) == load_card(DEFAULT_MODEL)
    (folder / ".git").rename(tmp_path / "gone")
    assert earlier_release(tmp_path / "work", folder, commit) == model
    assert [path.name for path in model.parent.iterdir()] == [commit[:12]]  # nothing unfinished


@pytest.mark.parametrize("known", [True, False])
def test_a_history_without_the_release_is_one_clear_error(
    repository: tuple[Path, str], tmp_path: Path, known: bool
) -> None:
    folder, _ = repository
    if not known:
        (folder / ".git").rename(tmp_path / "gone")
    with pytest.raises(MissingError, match=rf"commit {COMMIT[:12]} is not in this clone's history") as raised:
        earlier_release(tmp_path / "work", folder)
    assert "\n" not in str(raised.value)


def test_the_earlier_release_keeps_its_method_and_is_left_out_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # without git there is no history
    networks, left_out = networks_of(tmp_path, "haar")
    assert [network.name for network in networks] == [TODAY]
    assert [line.partition(":")[0] for line in left_out] == ["the earlier release of CrowdNet"]
    kept = tmp_path / "releases" / COMMIT[:12]
    kept.mkdir(parents=True)
    networks, left_out = networks_of(tmp_path, "haar")
    assert [(network.name, network.model) for network in networks] == [(EARLIER, kept), (TODAY, DEFAULT_MODEL)]
    assert networks[0].settings.aggregator.method == "sld"
    assert left_out == []
