"""Goals, tables, charts and the page of the figures."""

import json
import re
import subprocess
from pathlib import Path

import cv2
import pytest

from benchmarks import figures
from benchmarks.__main__ import NAMES
from benchmarks.figures import Chart, Figure, Goal, Row, draw, page, shown, table, write


@pytest.mark.parametrize(
    ("wanted", "reached", "at_least", "met"),
    [(200, 199.9, True, False), (200, 200, True, True), (0.4, 0.41, False, False), (0.4, 0.4, False, True)],
)
def test_a_goal_is_met_up_to_its_bound(wanted: float, reached: float, at_least: bool, met: bool) -> None:
    assert Goal("x", wanted, reached, at_least).met is met


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


def test_a_missing_cell_of_a_table_is_empty() -> None:
    assert table([{"way": "a", "x": 1.0}, {"way": "b", "y": 2.0}]).splitlines()[2:] == ["| a | 1 |  |", "| b |  | 2 |"]
    assert table([]) == ""


ROWS: list[Row] = [{"way": "a", "n": 1.0, "x": 1.0, "y": 30.0}, {"way": "b", "n": 100.0, "x": 2000.0, "y": None}]
CHARTS = {
    "bars": Chart("way", ["x", "y"], "faces a second", log=True),
    "curves": Chart("n", ["x", "y"], "ms", log=True),
    "one curve": Chart("n", ["x"], "MB"),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_drawn_without_the_values_that_are_missing(tmp_path: Path, name: str) -> None:
    draw(Figure("A title", ROWS, CHARTS[name]), tmp_path / "a.png")
    drawn = cv2.imread(str(tmp_path / "a.png"))
    assert drawn is not None
    assert len(set(map(tuple, drawn.reshape(-1, 3).tolist()))) > 10


def test_a_chart_of_another_table_does_not_need_the_rows(tmp_path: Path) -> None:
    draw(Figure("A title", [], CHARTS["curves"], plotted=ROWS), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5_000


def test_the_page_shows_missed_goals_and_other_work(tmp_path: Path) -> None:
    goals = [Goal("faces/s", 200, 250), Goal("error", 0.4, 0.5, at_least=False)]
    figure = Figure("A title", ROWS, CHARTS["bars"], goals=goals, notes=["A note."])
    write(tmp_path, "quiet", figure, 1.0, 0.1)
    write(tmp_path, "loud", figure, 1.0, 1.9)
    text = page(tmp_path, ["quiet", "missing", "loud"])
    assert "| faces/s | ≥ 200 | 250 | kept | [quiet](#quiet) |" in text
    assert "| error | ≤ 0.4 | 0.5 | **missed** | [loud](#loud) |" in text
    assert text.count("**other work used 1.9 cores just before**") == 1
    assert "missing" not in text
    written = json.loads((tmp_path / "quiet.json").read_text())
    assert written["machine"]["packages"]["crowdmood"]
    assert [goal["met"] for goal in written["goals"]] == [True, False]
    assert (tmp_path / "quiet.png").is_file()


def test_a_missed_goal_shows_whether_its_floor_is_kept(tmp_path: Path) -> None:
    goals = [Goal(name, 0.02, reached, False, 0.025) for name, reached in (("a", 0.02), ("b", 0.025), ("c", 0.03))]
    assert [(goal.met, goal.floor_met) for goal in goals] == [(True, True), (False, True), (False, False)]
    assert Goal("d", 4, 3).floor_met is None
    figure = Figure("A title", ROWS, CHARTS["bars"], goals=goals, left_out=["clips: give one"])
    write(tmp_path, "shares", figure, 1.0, 0.1)
    text = page(tmp_path, ["shares"])
    assert "| a | ≤ 0.02 | 0.02 | kept |" in text
    assert "| b | ≤ 0.02 | 0.025 | **missed**, floor 0.025 kept |" in text
    assert "| c | ≤ 0.02 | 0.03 | **missed**, floor 0.025 **missed** |" in text
    assert "Left out: clips: give one." in text


def test_only_changes_outside_the_results_mark_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    folder = tmp_path / "benchmarks" / "results"
    monkeypatch.setattr(figures, "RESULTS", folder)
    folder.mkdir(parents=True)
    source = tmp_path / "source.py"
    for file in (source, folder / "api.json"):
        file.write_text("before")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "before")
    (folder / "api.json").write_text("measured again")
    assert re.fullmatch("[0-9a-f]{12}", figures.machine()["commit"])
    source.write_text("after")
    assert figures.machine()["commit"].endswith("+changes")


def test_committed_results_have_a_commit_and_no_path_of_a_machine() -> None:
    written = sorted(figures.RESULTS.glob("*.json"))
    assert {file.stem for file in written} <= set(NAMES)
    for file in written:
        text = file.read_text()
        assert re.fullmatch(r"[0-9a-f]{12}(\+changes)?", json.loads(text)["machine"]["commit"]), file
        assert not re.search(r"/(work|home|root|tmp|usr|Users)/", text), file
        assert file.with_suffix(".png").stat().st_size < 200_000
    assert not written or (figures.RESULTS / "README.md").read_text() == page(figures.RESULTS, NAMES)
