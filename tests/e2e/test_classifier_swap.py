"""Another network in a run that goes on: asked for by the command, or by a changed setting and SIGHUP."""

import json
import os
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import numpy as np

from classifier import DEFAULT_MODEL
from classifier.card import load_card
from tests.ports import free_port
from tests.waiting import eventually

from .conftest import COMMAND, crowdmood
from .test_commands import video


def other_network(folder: Path, model_id: str) -> Path:
    shutil.copytree(DEFAULT_MODEL, folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"model_id": model_id}))
    return folder


def test_moods_name_the_network_that_was_swapped_in_and_both_in_between(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "crowdmood.toml"
    cameras = f'[[cameras]]\nid = "stand"\nuri = "{video(tmp_path / "stand.mp4", 3000)}"\n'
    file.write_text(cameras)
    environment = os.environ | {"CROWDMOOD_API__PORT": str(port), "CROWDMOOD_CONFIG": str(file)}
    data_dir = tmp_path / "data"
    log = tmp_path / "log"
    models: list[str] = []

    def named(text: str) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/mood", timeout=60) as answer:
            model = json.load(answer)["model"]
        if model and models[-1:] != [model]:
            models.append(model)
        return bool(model) and text in model and "+" not in model

    def camera_named(text: str) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/cameras", timeout=60) as answer:
            return all(camera["model"].startswith(f"{text}/") for camera in json.load(answer))

    with log.open("wb") as out:
        run = subprocess.Popen(
            [*COMMAND, "run", "--data-dir", str(data_dir)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=out,
            start_new_session=True,
        )
    try:
        shipped = load_card(DEFAULT_MODEL).model_id
        eventually(lambda: named(shipped), 60, (OSError,))
        used = crowdmood("models", "use", "--data-dir", data_dir, other_network(tmp_path / "new", "crowdnet-new"))
        assert used.stdout == "crowdnet-new is used by classifier-0\n", used.stderr
        eventually(lambda: named("crowdnet-new"), 60, (OSError,))
        assert camera_named("crowdnet-new")
        broken = other_network(tmp_path / "broken", "crowdnet-broken")
        (broken / "model.bin").write_bytes(np.random.default_rng(0).bytes(1000))
        refused = crowdmood("models", "use", "--data-dir", data_dir, broken)
        assert refused.returncode == 2
        assert "does not match its card" in refused.stderr
        check = crowdmood("check", "--data-dir", data_dir, "classifier")
        assert "crowdnet-new/" in check.stdout.replace("\n", ""), check.stdout

        newer = other_network(tmp_path / "newer", "crowdnet-newer")
        for text in (f'classifier.model = "{broken}"\n', "classifier.model = 7\n"):
            file.write_text(text + cameras)
            before = log.read_text().count("everything stays as it was")
            run.send_signal(signal.SIGHUP)
            eventually(lambda before=before: log.read_text().count("everything stays as it was") > before, 60)
        file.write_text(f'classifier.model = "{newer}"\n' + cameras)
        run.send_signal(signal.SIGHUP)
        eventually(lambda: named("crowdnet-newer"), 60, (OSError,))
    finally:
        os.killpg(run.pid, signal.SIGINT)
        run.wait(timeout=60)
    assert run.returncode == 0, log.read_text()
    shown = ["+".join(part.partition("/")[0] for part in model.split("+")) for model in models]
    assert [model for model in shown if "+" not in model] == [shipped, "crowdnet-new", "crowdnet-newer"]
    # Windows that saw both name both.
    assert "+" in shown[1]
