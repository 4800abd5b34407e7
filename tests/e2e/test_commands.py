"""Commands as users run them: bad input gives one line, and a run serves, restarts workers and stops."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import httpx
import numpy as np
import pytest

from classifier import DEFAULT_MODEL
from tests.ports import free_port
from tests.receiver import receiving
from tests.waiting import eventually

from .conftest import COMMAND, crowdmood, running


def video(path: Path, frames: int, width: int = 64, height: int = 48) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height = width, height
        for number in range(frames):
            picture = np.full((height, width, 3), 20 * number % 255, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def missing(folder: Path) -> list[str]:
    return ["replay", str(folder / "missing.mp4")]


def no_video(folder: Path) -> list[str]:
    (folder / "text.mp4").write_text("this is no video")
    return ["replay", str(folder / "text.mp4")]


def no_frames(folder: Path) -> list[str]:
    return ["replay", str(video(folder / "empty.mp4", 0))]


def empty_folder(folder: Path) -> list[str]:
    (folder / "images").mkdir()
    return ["replay", str(folder / "images")]


def huge_video(folder: Path) -> list[str]:
    return ["replay", str(video(folder / "huge.mp4", 1, 8000, 8000))]


def altered_model(folder: Path) -> list[str]:
    model = shutil.copytree(DEFAULT_MODEL, folder / "model")
    (model / "model.keras").write_bytes(b"something else")
    os.environ["CROWDMOOD_CLASSIFIER__MODEL"] = str(model)
    return ["replay", str(video(folder / "good.mp4", 5))]


def wrong_setting(folder: Path) -> list[str]:
    os.environ["CROWDMOOD_AGGREGATOR__WINDOW_S"] = "soon"
    return ["replay", str(video(folder / "good.mp4", 5))]


def wrong_speed(folder: Path) -> list[str]:
    return ["replay", "--speed", "0", str(video(folder / "good.mp4", 5))]


def unknown_scheme(folder: Path) -> list[str]:
    os.environ["CROWDMOOD_CAMERAS"] = '[{"id": "north", "uri": "gopher://me:hunter2@camera/1"}]'
    os.environ["CROWDMOOD_LOG__LEVEL"] = "WARNING"
    return ["run", "--data-dir", str(folder / "data")]


def no_camera(folder: Path) -> list[str]:
    return ["run", "--data-dir", str(folder / "data")]


def stage_without_bus(folder: Path) -> list[str]:
    return ["detect"]


def nothing_runs(folder: Path) -> list[str]:
    return ["check", "--data-dir", str(folder)]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (missing, "missing.mp4: no such file"),
        (no_video, "text.mp4 cannot be read as a video"),
        (no_frames, "empty.mp4"),
        (empty_folder, "holds no image"),
        (huge_video, "megapixels"),
        (altered_model, "does not match its card"),
        (wrong_setting, "CROWDMOOD_AGGREGATOR__WINDOW_S"),
        (wrong_speed, "CROWDMOOD_INGEST__SPEED"),
        (unknown_scheme, "gopher"),
        (no_camera, "no camera is configured"),
        (stage_without_bus, "CROWDMOOD_BUS_URL is not set"),
        (nothing_runs, "nothing runs on the data directory"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_input_gives_one_error_line_and_exit_code_2(
    given: Callable[[Path], tuple[object, ...]], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "CROWDMOOD_CLASSIFIER__MODEL",
        "CROWDMOOD_AGGREGATOR__WINDOW_S",
        "CROWDMOOD_CAMERAS",
        "CROWDMOOD_LOG__LEVEL",
    ):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    done = crowdmood(*given(tmp_path), timeout=90)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert text in lines[0]
    assert "hunter2" not in done.stderr + done.stdout


def test_an_unreadable_image_loses_one_frame_only(tmp_path: Path) -> None:
    folder = tmp_path / "stand"
    folder.mkdir()
    for number in range(10):
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.full((48, 64, 3), 20 * number, np.uint8))
    (folder / "004.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    moods = tmp_path / "moods.jsonl"
    done = crowdmood("replay", "--speed", "max", "--moods", moods, folder, timeout=90)
    assert done.returncode == 0, done.stderr
    assert "1 unreadable" in done.stdout
    assert len(moods.read_text().splitlines()) == 4  # 2 seconds of the stadium and of its only camera


def test_footage_that_breaks_off_is_processed_and_gives_exit_code_3(tmp_path: Path) -> None:
    broken = video(tmp_path / "broken.mp4", 60, 320, 240)
    data = bytearray(broken.read_bytes())
    # The last third of the frames is overwritten. The index at the end of the file still lists them.
    end = data.index(b"moov")
    data[end * 2 // 3 : end - 8] = bytes(len(data[end * 2 // 3 : end - 8]))
    broken.write_bytes(data)
    moods = tmp_path / "moods.jsonl"
    done = crowdmood("replay", "--speed", "max", "--moods", moods, broken, timeout=90)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "breaks off after" in done.stderr
    assert len(moods.read_text().splitlines()) > 4


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def test_run_serves_passes_the_check_restarts_workers_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    footage = video(tmp_path / "stand.mp4", 600)
    environment = os.environ | {
        "CROWDMOOD_CAMERAS": json.dumps([{"id": "stand", "uri": str(footage)}]),
        "CROWDMOOD_API__PORT": str(port),
        "CROWDMOOD_RUN__DETECTORS": "1",
        "CROWDMOOD_LOG__FORMAT": "json",
        "CROWDMOOD_WEBHOOKS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
    }
    data_dir = tmp_path / "data"
    run = subprocess.Popen(
        [*COMMAND, "run", "--data-dir", str(data_dir)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        eventually(lambda: get(f"http://127.0.0.1:{port}/mood")["as_of"], 60, (OSError,))
        mood = get(f"http://127.0.0.1:{port}/mood")
        assert mood["status"] == "insufficient"
        assert mood["cameras"] == {"stand": "live"}
        check = crowdmood("check", "--data-dir", data_dir, CROWDMOOD_API__PORT=str(port))
        assert check.returncode == 0, check.stdout
        second = crowdmood("run", "--data-dir", data_dir, CROWDMOOD_CAMERAS=environment["CROWDMOOD_CAMERAS"])
        assert second.returncode == 2
        assert "another CrowdMood runs on the data directory" in second.stderr

        (detector,) = running("detect", "--name", "detector-0")
        os.kill(detector, signal.SIGKILL)
        eventually(lambda: running("detect", "--name", "detector-0") not in ([], [detector]), 60)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            metrics = answer.read().decode()
        assert 'crowdmood_messages_total{stage="classifier"}' in metrics
        assert 'crowdmood_frames_ingested_total{camera="stand"}' in metrics
        (dispatcher,) = running("dispatch", "--name", "dispatch-0")
        with receiving() as receiver:
            webhooks = f"http://127.0.0.1:{port}/webhooks"
            endpoint = httpx.post(webhooks, json={"url": receiver.url()}).json()["id"]
            httpx.post(f"{webhooks}/{endpoint}/test")
            receiver.wait(1)
            os.kill(dispatcher, signal.SIGKILL)
            httpx.post(f"{webhooks}/{endpoint}/test")
            receiver.wait(2)
        before = get(f"http://127.0.0.1:{port}/mood")["as_of"]
        eventually(lambda: get(f"http://127.0.0.1:{port}/mood")["as_of"] > before, 60)
    finally:
        os.killpg(run.pid, signal.SIGINT)
        _, log = run.communicate(timeout=60)
    assert run.returncode == 0, log
    assert log.count("stops after") >= 4
    assert running("detect", "--name", "detector-0") == []
    gone = crowdmood("check", "--data-dir", data_dir)
    assert gone.returncode == 2


def test_replay_with_serve_runs_until_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    replay = subprocess.Popen(
        [*COMMAND, "replay", "--serve", "--speed", "max", str(video(tmp_path / "stand.mp4", 20))],
        env=os.environ | {"CROWDMOOD_API__PORT": str(port)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        eventually(lambda: get(f"http://127.0.0.1:{port}/mood")["cameras"] == {"stand": "ended"}, 60, (OSError,))
        assert get(f"http://127.0.0.1:{port}/mood")["as_of"] == "1970-01-01T00:00:04.000Z"
        time.sleep(1)
        assert replay.poll() is None
    finally:
        os.killpg(replay.pid, signal.SIGINT)
        out, err = replay.communicate(timeout=60)
    assert replay.returncode == 0, err
    assert f"http://127.0.0.1:{port}" in out


def test_help_imports_no_heavy_framework() -> None:
    probe = (
        "import sys, app.cli; "
        "heavy = {'cv2', 'tensorflow', 'keras', 'av', 'fastapi'} & set(sys.modules); sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([COMMAND[0], "-c", probe], check=True)


def test_config_masks_secrets() -> None:
    done = crowdmood(
        "config",
        "--json",
        CROWDMOOD_CAMERAS='[{"id": "north", "uri": "rtsp://me:hunter2@camera/1"}]',
        CROWDMOOD_BUS_URL="redis://:hunter2@bus:6379/0",
    )
    assert done.returncode == 0
    shown = json.loads(done.stdout)
    assert shown["CROWDMOOD_CAMERAS"] == "north=rtsp://camera/…"
    assert shown["CROWDMOOD_AGGREGATOR__WINDOW_S"] == "10.0"
    assert "hunter2" not in done.stdout
