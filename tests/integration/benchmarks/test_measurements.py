"""Tiny measurements on real servers, stages and cameras."""

import json
import shutil
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from benchmarks import crowds
from benchmarks.__main__ import main
from benchmarks.baseline import Baseline, Clip
from benchmarks.costs import costs_of
from benchmarks.crowds import COMMIT, Network
from benchmarks.figures import number
from benchmarks.live import cameras
from benchmarks.processes import ROOMY, STAGES, worker_rate
from benchmarks.session import Session, configured, frames, jpegs
from benchmarks.shares import Phase
from classifier import DEFAULT_MODEL
from crowdmood.bus.connection import Connection
from crowdmood.bus.worker import Worker
from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import Frame, FrameRef
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


def test_costs_of_stages_are_split_into_parts_and_nothing_stays_patched(video: Path) -> None:
    untouched = Connection.call, Worker.loop
    by_stage, counted, _ = costs_of(video, "haar", 24)
    assert (Connection.call, Worker.loop) == untouched
    assert (counted, tuple(by_stage)) == (6, tuple(STAGES))
    for cost in by_stage.values():
        # The timed functions are a part of the process.
        assert 0 < cost.parts_s["redis"] < cost.own_s
        assert 0 < cost.parts_s["messages"] < cost.own_s
        assert cost.redis_s + cost.coding_s < cost.whole_s
    assert by_stage["ingest"].parts_s["jpeg"] > 0 < by_stage["detector"].parts_s["jpeg"]
    assert by_stage["classifier"].parts_s["jpeg"] == 0


def test_the_rate_of_workers_is_measured_from_stream_to_stream(video: Path) -> None:
    refs = (FrameRef("north", "run", number, number * 200, 320, 180, recorded=True) for number in range(12))
    messages = [Frame(ref, jpeg) for ref, jpeg in zip(refs, jpegs(video, 12), strict=True)]
    assert 0 < worker_rate("detector", configured("haar", 24, bus=ROOMY), messages, workers=2, pinned=True) < 10_000


def test_footage_starts_again_after_its_end(video: Path) -> None:
    shown = list(frames(video, 4, every=3))  # frames 0, 3, and again 0, 3
    assert [one.shape for one in shown] == [(180, 320, 3)] * 4
    assert (shown[0] == shown[2]).all()
    assert (shown[0] != shown[1]).any()


def test_cameras_keep_the_pace_that_is_set_while_they_run(video: Path) -> None:
    with cameras(jpegs(video, 2)) as seen:
        arrived: list[bytes] = []

        def watch() -> None:
            with urllib.request.urlopen(f"http://127.0.0.1:{seen.server_port}/1", timeout=60) as stream:
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
    thread.join(60)
    assert not thread.is_alive()


def test_results_are_also_written_into_the_named_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = tmp_path / "figures.json"
    main(["webhooks"], work=tmp_path, json_file=file, quick=True)
    (figure,) = json.loads(file.read_text()).values()
    assert figure["title"] == "Webhooks"
    assert all(row["delivered/s"] > 0 for row in figure["rows"])
    (folder,) = tmp_path.glob("crowdmood-bench-*")
    assert {path.name for path in folder.iterdir()} == {"README.md", "webhooks.json", "webhooks.png"}


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
    monkeypatch.setenv("CROWDMOOD_AGGREGATOR__EXPOSE_INDIVIDUALS", "true")
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
