"""Measurements measure: tiny ones, on real servers, real stages and real cameras."""

import json
import shutil
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from benchmarks import crowds
from benchmarks.__main__ import main
from benchmarks.cameras import cameras
from benchmarks.comparison import Phase
from benchmarks.costs import spent_on, together
from benchmarks.crowds import Network
from benchmarks.hobby import Baseline, Clip
from benchmarks.releases import COMMIT
from benchmarks.results import number
from benchmarks.session import Session, configured, jpegs, pictures
from benchmarks.stages import STAGES
from benchmarks.webhooks import rate
from classifier import DEFAULT_MODEL
from crowdmood.bus.connection import Connection
from crowdmood.bus.worker import Worker
from crowdmood.domain.labels import LABELS
from simulator.match import Match
from tests.faces_of_crowds import row, write_folder
from tests.waiting import eventually


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    session = Session(tmp_path_factory.mktemp("bench"))
    match = Match(6 / 300, 1, 8, 5, (320, 180))
    folder = session.rendered("tiny", match)
    assert session.rendered("tiny", match) == folder  # there already
    return folder / "stand-1.mp4"


def test_what_stages_take_is_split_into_parts_and_nothing_stays_patched(video: Path) -> None:
    untouched = Connection.call, Worker.loop
    by_stage, frames, _ = spent_on(video, "haar", 24)
    assert (Connection.call, Worker.loop) == untouched
    assert (frames, tuple(by_stage)) == (6, STAGES)
    for spent in by_stage.values():
        # What is timed by function is part of what the process took.
        assert 0 < spent.parts_s["redis"] < spent.own_s
        assert 0 < spent.parts_s["messages"] < spent.own_s
    assert by_stage["ingest"].parts_s["jpeg"] > 0 < by_stage["detector"].parts_s["jpeg"]
    assert by_stage["classifier"].parts_s["jpeg"] == 0
    total = together(by_stage.values())
    assert total.whole_s == pytest.approx(sum(spent.whole_s for spent in by_stage.values()))
    assert total.redis_s + total.coding_s < total.whole_s


def test_footage_starts_again_when_more_frames_are_wanted_than_it_has(video: Path) -> None:
    shown = list(pictures(video, 4, every=3))  # frames 0, 3, and again 0, 3
    assert [one.shape for one in shown] == [(180, 320, 3)] * 4
    assert (shown[0] == shown[2]).all()
    assert (shown[0] != shown[1]).any()


def test_cameras_keep_the_pace_that_is_set_while_they_run(video: Path) -> None:
    with cameras(jpegs(video, 2)) as seen:
        arrived: list[bytes] = []

        def watch() -> None:
            with urllib.request.urlopen(seen.address(1), timeout=30) as stream:
                while line := stream.readline():
                    arrived.append(line)

        thread = threading.Thread(target=watch)
        thread.start()
        seen.fps = 50
        eventually(lambda: len(seen.sent_s) >= 10)
        seen.fps = 0
        time.sleep(0.3)
        still = len(seen.sent_s)
        time.sleep(0.3)
        assert len(seen.sent_s) == still
        eventually(lambda: arrived.count(b"Content-Type: image/jpeg\r\n") == still)
        pauses = [b - a for a, b in zip(seen.sent_s, seen.sent_s[1:], strict=False)]
        assert min(pauses) >= 0 and sum(pauses) >= 0.9 * 8 / 50
    thread.join(30)
    assert not thread.is_alive()


def test_webhooks_are_delivered_to_every_board() -> None:
    assert rate(boards=2, changes=3) > 0


def test_what_was_measured_goes_into_a_file_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = tmp_path / "figures.json"
    main(["webhooks"], work=tmp_path, json_file=file, quick=True)
    (told,) = json.loads(file.read_text()).values()
    assert told["title"] == "Webhooks"
    assert all(row["delivered/s"] > 0 for row in told["rows"])


def test_shares_of_drawn_crowds_are_measured_beside_the_baseline_and_the_earlier_release(tmp_path: Path) -> None:
    chosen = (["happy"] * 3, ["cheering"] * 3, ["unreadable"] * 3, ["sad", "happy", "happy"])
    faces = write_folder(tmp_path / "faces", [row(f"{n}.png", votes, px=60) for n, votes in enumerate(chosen)])
    # In the place of the release, which a history may lack.
    shutil.copytree(DEFAULT_MODEL, tmp_path / "releases" / COMMIT[:12])
    figure = crowds.measure(Session(tmp_path, crowd_faces=faces, quick=True))
    assert [row["who"] for row in figure.rows] == [crowds.BASELINE, crowds.EARLIER, crowds.TODAY]
    for measured in figure.rows[1:]:
        if measured["answers"]:  # none where the network can read no drawn face
            assert measured["answers"] == 20
            assert 0 < number(measured, crowds.ERROR) <= 0.25
            assert measured["in truth"] == "happy"
    assert "method `sld`" in figure.notes[-1]
    assert figure.left_out == ["clips: give one with its phases in a JSON file beside it (FOOTAGE=)"]


def test_shares_of_a_clip_are_measured_in_the_phases_that_hold_a_whole_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Session(tmp_path).rendered("tiny", Match(4.2 / 60, 1, 8, 5, (640, 360)))
    clip = Clip.of_file(folder / "stand-1.mp4")
    true = dict.fromkeys(LABELS, 1 / len(LABELS))
    monkeypatch.setenv("CROWDMOOD_AGGREGATOR__WINDOW_S", "3")
    monkeypatch.setenv("CROWDMOOD_AGGREGATOR__MIN_FACES", "1")
    monkeypatch.setenv("CROWDMOOD_AGGREGATOR__MIN_READABLE", "0")
    network = Network(crowds.TODAY, configured("haar", 20, ingest={"speed": "max"}))
    rows = crowds.in_phases(Baseline(), clip, [Phase(0, 4, true), Phase(4, 6, true)], [network])
    # Windows end every second: two of three seconds lie between 0 and 4, none between 4 and 6.
    assert [(row["phase"], row["who"], row["answers"]) for row in rows] == [
        ("0-4 s", crowds.BASELINE, 2),
        ("0-4 s", crowds.TODAY, 2),
        ("4-6 s", crowds.BASELINE, 0),
        ("4-6 s", crowds.TODAY, 0),
    ]
    assert all(0 < number(row, crowds.ERROR) <= 0.25 for row in rows[:2])
