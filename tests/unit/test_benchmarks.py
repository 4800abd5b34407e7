"""What figures are made of: goals, exponents, errors, latencies, and the page and pictures that show them."""

import json
import re
import subprocess
from pathlib import Path

import cv2
import pytest

from benchmarks import capacity, results
from benchmarks.__main__ import NAMES
from benchmarks.capacity import Stadium, needs
from benchmarks.growth import exponent, steepest
from benchmarks.live import first_mood_after
from benchmarks.pictures import draw
from benchmarks.pipeline import Usage, spent
from benchmarks.results import Chart, Figure, Goal, page, shown, table, write
from benchmarks.truth import error, truth_of
from crowdmood.domain.labels import LABELS


@pytest.mark.parametrize(
    ("wanted", "reached", "at_least", "met"),
    [(200, 199.9, True, False), (200, 200, True, True), (0.4, 0.41, False, False), (0.4, 0.4, False, True)],
)
def test_a_goal_is_met_up_to_its_bound(wanted: float, reached: float, at_least: bool, met: bool) -> None:
    assert Goal("x", wanted, reached, at_least).met is met


@pytest.mark.parametrize(
    ("costs", "overall", "last"),
    [
        ([2, 20, 200], 1.0, 1.0),  # a part of each
        ([7, 7, 7], 0.0, 0.0),  # the same whatever the size
        ([1, 1, 100], 1.0, 2.0),  # what every frame costs hides what grows, until it does not
    ],
)
def test_exponents_tell_growth_also_where_a_constant_part_hides_it(
    costs: list[float], overall: float, last: float
) -> None:
    assert exponent([1, 10, 100], costs) == pytest.approx(overall)
    assert steepest([1, 10, 100], costs) == pytest.approx(last)


def test_latency_is_from_the_capture_to_the_first_answer_whose_window_ends_after_it() -> None:
    #  windows end:   10      11      12
    #  told at:         10.4    11.3    12.9
    told = [(10.4, 10.0), (11.3, 11.0), (12.9, 12.0)]
    captured = [9.0, 10.0, 10.9, 11.5, 12.0]  # the last one is in no window yet; a window does not hold its own end
    assert first_mood_after(captured, told) == pytest.approx([1.4, 1.3, 0.4, 1.4])
    assert first_mood_after([9.0], []) == []


def shares(**given: float) -> dict[str, float]:
    return dict.fromkeys(LABELS, 0.0) | given


def test_error_is_of_windows_whose_truth_is_known(tmp_path: Path) -> None:
    phases = [
        {"start_s": 0, "end_s": 20, "shares": shares(happy=1.0)},
        {"start_s": 20, "end_s": 40, "shares": shares(sad=1.0)},
    ]
    (tmp_path / "clip.json").write_text(json.dumps({"phases": phases}))
    true = truth_of(tmp_path / "clip.mp4")
    assert true is not None
    assert true(5, 15) == shares(happy=1.0)
    assert true(15, 25) is None  # some of both
    told = [(5, 15, shares(happy=0.3, neutral=0.7)), (15, 25, shares(fear=1.0)), (30, 40, shares(sad=1.0))]
    assert error(told, true) == pytest.approx((0.7 + 0.7) / 16)
    assert error([(15, 25, shares(fear=1.0))], true) is None
    unknown = {**shares(happy=0.3, neutral=0.7), "cheering": None}
    assert error([(5, 15, unknown)], true) == pytest.approx((0.7 + 0.7) / 7)
    assert truth_of(tmp_path / "other.mp4") is None


def test_workers_of_a_stage_are_added_up_since_the_first_look() -> None:
    before = {"detect-0": Usage(2.0, 1, 1), "detect-1": Usage(3.0, 1, 1), "bus": Usage(1.0, 1, 1)}
    after = {"detect-0": Usage(4.0, 1, 1), "detect-1": Usage(3.5, 1, 1), "bus": Usage(1.25, 1, 1)}
    assert spent(before, after | {"ingest-0": Usage(1.0, 1, 1)}) == {"detect": 2.5, "bus": 0.25, "ingest": 1.0}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("haar", "haar"),
        (12345.6, "12,346"),
        (2.0, "2"),
        (0.01234, "0.0123"),
        (99.96, "100"),
        (1.1e-14, "0"),
    ],
)
def test_numbers_are_shown_with_three_digits(value: float | str | None, text: str) -> None:
    assert shown(value) == text


def test_rows_of_a_table_may_lack_cells() -> None:
    assert table([{"way": "a", "x": 1.0}, {"way": "b", "y": 2.0}]).splitlines()[2:] == ["| a | 1 |  |", "| b |  | 2 |"]
    assert table([]) == ""


CHARTS = {
    "bars": Chart(["a", "b"], {"x": [1.0, 2000.0], "y": [3.0, 4.0]}, "", "faces a second", log=True),
    "curve": Chart([1.0, 10.0, 100.0], {"x": [1.0, 2.0, 3.0]}, "cameras", "ms", log=True),
    "course": Chart([0.0, 1.0], {"x": [1.0, 2.0]}, "minutes", "MB"),
}


@pytest.mark.parametrize("name", CHARTS)
def test_pictures_are_drawn(tmp_path: Path, name: str) -> None:
    draw(CHARTS[name], tmp_path / "a.png")
    drawn = cv2.imread(str(tmp_path / "a.png"))
    assert drawn is not None
    assert len(set(map(tuple, drawn.reshape(-1, 3).tolist()))) > 10


def test_the_page_tells_which_goals_are_missed_and_what_ran_beside(tmp_path: Path) -> None:
    goals = [Goal("faces/s", 200, 250), Goal("error", 0.4, 0.5, at_least=False)]
    figure = Figure("A title", [{"way": "a", "x": 1.0}], CHARTS["bars"], goals, ["A note."])
    write(tmp_path, "quiet", figure, 1.0, 0.1)
    write(tmp_path, "loud", figure, 1.0, 1.9)
    text = page(tmp_path, ["quiet", "missing", "loud"])
    assert "| faces/s | ≥ 200 | 250 | kept | [quiet](#quiet) |" in text
    assert "| error | ≤ 0.4 | 0.5 | **missed** | [loud](#loud) |" in text
    assert text.count("**other work used 1.9 cores just before**") == 1
    assert "missing" not in text
    told = json.loads((tmp_path / "quiet.json").read_text())
    assert told["machine"]["packages"]["crowdmood"]
    assert [goal["met"] for goal in told["goals"]] == [True, False]


def test_a_missed_goal_says_whether_its_floor_is_kept(tmp_path: Path) -> None:
    goals = [Goal(name, 0.02, reached, False, 0.025) for name, reached in (("a", 0.02), ("b", 0.025), ("c", 0.03))]
    assert [(goal.met, goal.floor_met) for goal in goals] == [(True, True), (False, True), (False, False)]
    assert Goal("d", 4, 3).floor_met is None
    write(tmp_path, "shares", Figure("A title", [], CHARTS["bars"], goals, left_out=["clips: give one"]), 1.0, 0.1)
    text = page(tmp_path, ["shares"])
    assert "| a | ≤ 0.02 | 0.02 | kept |" in text
    assert "| b | ≤ 0.02 | 0.025 | **missed**, floor 0.025 kept |" in text
    assert "| c | ≤ 0.02 | 0.03 | **missed**, floor 0.025 **missed** |" in text
    assert "Left out: clips: give one." in text


def test_results_of_this_very_run_are_no_changes_and_everything_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    folder = tmp_path / "benchmarks" / "results"
    monkeypatch.setattr(results, "RESULTS", folder)
    folder.mkdir(parents=True)
    source = tmp_path / "source.py"
    for file in (source, folder / "api.json"):
        file.write_text("before")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "before")
    (folder / "api.json").write_text("measured anew")
    assert re.fullmatch("[0-9a-f]{12}", results.machine()["commit"])
    source.write_text("after")
    assert results.machine()["commit"].endswith("+changes")


def test_committed_results_are_of_known_commits_and_name_no_place_on_a_machine() -> None:
    written = sorted(results.RESULTS.glob("*.json"))
    assert {file.stem for file in written} <= set(NAMES)
    for file in written:
        text = file.read_text()
        told = json.loads(text)
        assert re.fullmatch(r"[0-9a-f]{12}(\+changes)?", told["machine"]["commit"]), file
        assert not re.search(r"/(work|home|root|tmp|usr|Users)/", text), file
        assert file.with_suffix(".png").stat().st_size < 200_000
    page_file = results.RESULTS / "README.md"
    assert not written or page_file.read_text() == page(results.RESULTS, NAMES)


def test_a_stadium_needs_what_its_frames_cost_between_two_that_were_measured() -> None:
    def measured(faces: float) -> dict[str, float]:
        stages = {"ingest": 50, "detector": 500, "classifier": 0.1 * faces, "aggregator": 0.01 * faces}
        return {"faces found": faces, "of it servers, ms": 20, "JPEG, MB": 1, "faces, MB": 0.002 * faces} | {
            f"{name}, ms a frame": ms for name, ms in stages.items()
        }

    row = needs([measured(1000), measured(3000)], Stadium(60_000, 40, 2))  # 1,500 faces a frame, 80 frames a second
    assert row["faces/s"] == 120_000
    assert row["detector, cores"] == pytest.approx(40)
    assert row["classifier, cores"] == pytest.approx(12)
    assert row["cores to buy, 70% busy"] == 82  # 4 + 40 + 12 + 1.2 are busy
    assert row["of them Redis"] == pytest.approx(1.6)
    assert row["Redis shards"] == 3
    assert row["Gbit/s into the bus"] == pytest.approx(80 * (1 + 3 + 0.054) * 8 / 1000)


def test_the_page_about_capacity_is_worked_out_from_what_was_measured() -> None:
    assert capacity.page() in (Path(__file__).parents[2] / "docs" / "capacity.md").read_text()
