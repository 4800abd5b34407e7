"""Both terrace clips as two cameras of one match, through every real process."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from .conftest import COMMAND, crowdmood, running

# The clips' faces are 80 pixels wide: looking for smaller ones would only cost time. This cascade finds two thirds of
# the sad faces, the default one half of them, and fewer of them than of the others.
HAAR = {
    "CROWDMOOD_DETECTOR__KIND": "haar",
    "CROWDMOOD_DETECTOR__CASCADE": "haarcascade_frontalface_alt",
    "CROWDMOOD_DETECTOR__MIN_FACE_PX": "48",
}
PHASES = ((0, 20, "neutral"), (20, 40, "happy"), (40, 60, "sad"))
"""Seconds from, to, and the label that most of the seats truly show."""


@pytest.fixture(scope="module")
def footage(assets: Path) -> list[Path]:
    return [assets / "footage" / "terrace-north.mp4", assets / "footage" / "terrace-south.mp4"]


@pytest.fixture(scope="module")
def at_full_speed(footage: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """What a replay at full speed with two detectors shows, and its moods."""
    moods = tmp_path_factory.mktemp("full") / "moods.jsonl"
    environment = HAAR | {"CROWDMOOD_RUN__DETECTORS": "2"}
    done = crowdmood("replay", "--speed", "max", "--moods", moods, *footage, timeout=400, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout, moods.read_text().splitlines()


def test_the_table_accounts_for_every_frame(at_full_speed: tuple[str, list[str]]) -> None:
    shown, _ = at_full_speed
    (row,) = [line for line in shown.splitlines() if line.startswith("│ 600 ")]
    frames, lost, faces, *_ = (cell.strip() for cell in row.strip("│").split("│"))
    assert (frames, lost) == ("600", "0")
    assert int(faces) > 15_000


def test_every_second_has_a_mood_of_the_stadium_and_of_each_camera(at_full_speed: tuple[str, list[str]]) -> None:
    moods = [json.loads(line) for line in at_full_speed[1]]
    for camera in (None, "terrace-north", "terrace-south"):
        times = [mood["as_of"] for mood in moods if mood["camera"] == camera]
        assert times == [f"1970-01-01T00:{second // 60:02d}:{second % 60:02d}.000Z" for second in range(1, 61)]
    assert moods[-1]["cameras"] == {"terrace-south": "ended"}
    assert moods[-3]["cameras"] == {"terrace-north": "ended", "terrace-south": "ended"}


@pytest.mark.parametrize(("start_s", "end_s", "label"), PHASES)
def test_the_label_that_dominates_each_phase_is_the_true_one(
    at_full_speed: tuple[str, list[str]], assets: Path, start_s: int, end_s: int, label: str
) -> None:
    for clip in ("terrace-north", "terrace-south"):
        truth = json.loads((assets / "footage" / f"{clip}.json").read_text())
        shares = next(phase["shares"] for phase in truth["phases"] if phase["start_s"] == start_s)
        assert max(shares, key=shares.get) == label
    moods = [json.loads(line) for line in at_full_speed[1]]
    # A window's people are its last frame's: the first mood of a phase is the one that ends after its start.
    inside = [mood for mood in moods if start_s < int(mood["as_of"][14:16]) * 60 + int(mood["as_of"][17:19]) <= end_s]
    stadium = [mood for mood in inside if mood["camera"] is None]
    assert len(stadium) == end_s - start_s
    phase = {name: sum(mood["raw"][name] for mood in stadium) for name in shares}
    assert max(phase, key=lambda name: phase[name]) == label
    # In a single second two labels may be level, but no other one leads.
    assert {mood["dominant"] for mood in stadium} <= {label, "mixed"}


@pytest.mark.timeout(420)
def test_pace_workers_and_deaths_change_no_byte(footage: list[Path], assets: Path, tmp_path: Path) -> None:
    """The same footage at full speed with two detectors; and at its own pace with one, every stage killed by -9."""
    yunet = {
        "CROWDMOOD_DETECTOR__KIND": "yunet",
        "CROWDMOOD_DETECTOR__YUNET_MODEL": str(assets / "models" / "face_detection_yunet_2023mar.onnx"),
        "CROWDMOOD_DETECTOR__MIN_FACE_PX": "40",
    }
    fast, paced = tmp_path / "fast.jsonl", tmp_path / "paced.jsonl"
    done = crowdmood("replay", "--speed", "max", "--moods", fast, *footage, CROWDMOOD_RUN__DETECTORS="2", **yunet)
    assert (done.returncode, done.stderr) == (0, "")
    command = [*COMMAND, "replay", "--speed", "1", "--moods", str(paced), *map(str, footage)]
    environment = os.environ | yunet | {"CROWDMOOD_RUN__DETECTORS": "1", "CROWDMOOD_CLASSIFIER__MAX_BATCH_SIZE": "64"}
    replay = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    written = paced.with_name("paced.jsonl.part")

    def kill_each_stage_once() -> None:
        while replay.poll() is None and not (written.exists() and written.stat().st_size):
            time.sleep(0.2)
        for stage in ("detect", "aggregate", "classify", "ingest"):
            for pid in running(stage, "--name", f"{stage}-0"):
                os.kill(pid, signal.SIGKILL)
            time.sleep(4)

    killer = threading.Thread(target=kill_each_stage_once)
    killer.start()
    out, err = replay.communicate(timeout=300)
    killer.join()
    assert replay.returncode == 0, err
    assert err.count("started again") == 4, err
    assert paced.read_text() == fast.read_text()
    assert paced.read_text().count("\n") == 180
    assert "│ 600 " in out
