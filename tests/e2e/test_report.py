"""`crowdmood report` and interrupted replays: real footage through every process."""

import csv
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet

from app.embedded import running_servers
from crowdmood.bus.connection import connect
from crowdmood.domain.mood import Mood, MoodChange, to_rfc3339
from crowdmood.store.keys import StateKeys
from tests.waiting import eventually

from .conftest import COMMAND, crowdmood, running
from .test_commands import video

SCRIPT = """
[[events]]
at_s = 3
event = "goal"
"""

SETTINGS = {"MIN_FACES": "10", "WINDOW_S": "2", "CHANGE_DWELL_S": "1"}
"""Settings with which 9 seconds of 60 people are enough for a change after the goal."""


@pytest.fixture(scope="module")
def match(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two cameras' footage of a simulated match with one goal."""
    folder = tmp_path_factory.mktemp("match")
    (folder / "script.toml").write_text(SCRIPT)
    options = ("--minutes", "0.15", "--cameras", "2", "--people", "60", "--fps", "5", "--size", "640x360")
    done = crowdmood("simulate", *options, "--script", folder / "script.toml", "--out", folder / "match")
    assert done.returncode == 0, done.stderr
    return sorted((folder / "match").glob("*.mp4"))


def test_the_same_footage_gives_the_same_bytes_and_consistent_files(match: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "report"
    environment = {f"CROWDMOOD_AGGREGATOR__{name}": value for name, value in SETTINGS.items()}
    contents = []
    for _ in range(2):  # the second report replaces the first
        done = crowdmood("report", *match, "--out", out, **environment)
        assert done.returncode == 0, done.stderr
        assert "index.html" in done.stdout
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert contents[0] == contents[1]
    assert contents[0].keys() == {"index.html", "timeline.csv", "timeline.json", "timeline.parquet"}

    timeline = json.loads(contents[0]["timeline.json"])
    moods = [Mood.from_json(json.dumps(mood)) for mood in timeline["moods"]]
    assert timeline["complete"]
    assert (timeline["frames"], timeline["lost"]) == (90, {})
    assert [(camera["camera"], camera["frames"]) for camera in timeline["cameras"]] == [
        ("stand-1", 45),
        ("stand-2", 45),
    ]
    assert [camera["states"][0]["state"] for camera in timeline["cameras"]] == ["live", "live"]
    stadium = [mood for mood in moods if mood.camera is None]
    assert [mood.as_of_ms for mood in stadium] == [1000 * second for second in range(1, 10)]
    assert any(mood.shares for mood in stadium)
    assert {mood.camera for mood in moods} == {None, "stand-1", "stand-2"}

    rows = list(csv.DictReader(contents[0]["timeline.csv"].decode().splitlines()))
    for label in ("happy", "cheering"):
        assert [row[label] for row in rows] == [str(mood.shares[label]) if mood.shares else "" for mood in moods]
    for name in ("people", "readable", "energy", "fit"):
        figures = [getattr(mood, name) for mood in moods]
        assert [row[name] for row in rows] == ["" if figure is None else str(figure) for figure in figures]
    assert parquet.read_table(out / "timeline.parquet").num_rows == len(moods)
    (change,) = (MoodChange.from_json(json.dumps(change)) for change in timeline["changes"])
    assert (change.zone, change.sequence, change.to_label) == ("stadium", 1, "cheering")
    assert 3000 < change.as_of_ms <= 9000
    assert [(row["camera"], row["as_of"]) for row in rows if row["change"]] == [("", to_rfc3339(change.as_of_ms))]
    assert "haar" in contents[0]["index.html"].decode()


def test_reports_the_part_before_footage_breaks_off(tmp_path: Path) -> None:
    broken = video(tmp_path / "broken.mp4", 60, 320, 240)
    data = bytearray(broken.read_bytes())
    end = data.index(b"moov")
    data[end * 2 // 3 : end - 8] = bytes(len(data[end * 2 // 3 : end - 8]))
    broken.write_bytes(data)
    done = crowdmood("report", broken, "--out", tmp_path / "report", timeout=90)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "This report is incomplete" in (tmp_path / "report" / "index.html").read_text()
    timeline = json.loads((tmp_path / "report" / "timeline.json").read_text())
    assert not timeline["complete"]
    assert "breaks off after" in timeline["cameras"][0]["detail"]
    assert str(tmp_path) not in json.dumps(timeline)


def test_bad_input_gives_one_error_line_and_writes_nothing(tmp_path: Path) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "thesis.txt").write_text("the only copy")
    footage = video(tmp_path / "stand.mp4", 5)
    before = sorted(tmp_path.rglob("*"))
    for words, text in (
        ((tmp_path / "missing.mp4", "--out", tmp_path / "report"), "missing.mp4: no such file"),
        ((footage, "--out", other), "thesis: holds something other than an earlier report"),
        ((footage, "--out", footage), "stand.mp4: is not a folder"),
    ):
        done = crowdmood("report", *words, timeout=60)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert text in line
    assert sorted(tmp_path.rglob("*")) == before


def interrupted(
    words: list[str | Path], when: Callable[[], bool], number: signal.Signals, **environment: str
) -> tuple[int, str]:
    """Start a command, send it a signal when a condition holds, and return its exit code and standard error."""
    command = subprocess.Popen(
        [*COMMAND, *map(str, words)],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    eventually(lambda: command.poll() is not None or when(), 120)
    os.killpg(command.pid, number)
    _, err = command.communicate(timeout=120)
    return command.returncode, err


def test_a_report_stopped_before_the_first_mood_writes_nothing(tmp_path: Path) -> None:
    footage = video(tmp_path / "stand.mp4", 3000)
    before = sorted(tmp_path.iterdir())
    code, err = interrupted(
        ["report", footage, "--out", tmp_path / "report"],
        lambda: bool(running("aggregate", "--name", "aggregator-0")),
        signal.SIGINT,
    )
    assert code == 2, err
    assert "stopped before the first mood" in err
    assert sorted(tmp_path.iterdir()) == before


def test_a_stopped_replay_keeps_its_moods(tmp_path: Path) -> None:
    footage, moods = video(tmp_path / "stand.mp4", 3000), tmp_path / "moods.jsonl"
    part = tmp_path / "moods.jsonl.part"
    code, err = interrupted(
        ["replay", footage, "--moods", moods, "--speed", "10"],
        lambda: part.is_file() and part.stat().st_size > 0,
        signal.SIGTERM,
    )
    assert code == 3, err
    assert "stopped before the footage's end" in err
    kept = [Mood.from_json(line) for line in moods.read_text().splitlines()]
    assert kept
    assert {mood.zone for mood in kept} == {"stadium"}
    assert not part.exists()


def test_a_stopped_report_is_marked_incomplete(tmp_path: Path) -> None:
    footage, out, temporary = video(tmp_path / "stand.mp4", 30_000), tmp_path / "report", tmp_path / "tmp"
    temporary.mkdir()

    def some_moods() -> bool:
        found = [running_servers(folder) for folder in temporary.glob("crowdmood-*")]
        urls = [servers.state_url for servers in found if servers is not None]
        return bool(urls) and bool(connect(urls[0]).exists(StateKeys("crowdmood").moods.table))

    code, err = interrupted(["report", footage, "--out", out], some_moods, signal.SIGTERM, TMPDIR=str(temporary))
    assert code == 3, err
    written = json.loads((out / "timeline.json").read_text())
    assert written["complete"] is False
    assert len(written["moods"]) > 5
