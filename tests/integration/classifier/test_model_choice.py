"""Swapping the network of real classifier processes while frames flow: no frame is lost, a wrong network refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from classifier import DEFAULT_MODEL, model_choice
from classifier.card import load_card
from crowdmood.bus.streams import Bus
from crowdmood.core.errors import ModelError
from crowdmood.core.settings import BusSettings, Settings
from crowdmood.domain.messages import Emotions, Faces, FrameRef, decode
from crowdmood.store.model_choices import ModelChoices
from tests.waiting import eventually

OLD = load_card(DEFAULT_MODEL).model_id


def copied(folder: Path, **card: object) -> Path:
    """Copy the shipped folder and change its card."""
    shutil.copytree(DEFAULT_MODEL, folder)
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | card))
    return folder


class Installation:
    """Classifier processes on a real server, and a thread that publishes faces all the time."""

    def __init__(self, url: str, settings: BusSettings, log: Path, **environment: str) -> None:
        self.settings = Settings.model_validate({"bus_url": url, "state_url": url, "bus": settings})
        self.bus = Bus(url, settings)
        self.published = 0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.log = log
        self._environment = (
            os.environ
            | environment
            | {
                "CROWDMOOD_BUS_URL": url,
                "CROWDMOOD_STATE_URL": url,
                "CROWDMOOD_BUS__KEY_PREFIX": settings.key_prefix,
                "CROWDMOOD_CLASSIFIER__THREADS": "1",
            }
        )
        self._stop = threading.Event()
        self._camera = threading.Thread(target=self._publish_faces)

    def __enter__(self) -> "Installation":
        self._camera.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._camera.join()
        for process in self.processes.values():
            process.kill()
            process.wait()

    def classify(self, name: str) -> None:
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "app", "classify", "--name", name], env=self._environment, stderr=log
            )
        eventually(lambda: name in self.using() and self.processes[name].poll() is None, 60)

    def use(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", "models", "use", *map(str, words)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def using(self) -> dict[str, str]:
        return self.bus.workers("classifier")

    def finish(self) -> list[Emotions]:
        """Stop publishing faces, and return the results of all frames in the order of the stream."""
        self._stop.set()
        self._camera.join()
        eventually(lambda: self.bus.backlog("faces") == 0, 60)
        return self.emotions()

    def emotions(self) -> list[Emotions]:
        entries = self.bus.connection.client.xrange(self.bus.keys.stream("emotions"))
        return [message for _, fields in entries if isinstance(message := decode(fields), Emotions)]

    def wait_for_more(self) -> None:
        """Wait for results of frames that are published from now on."""
        count = self.published + 20
        eventually(lambda: self.bus.backlog("emotions") > count)

    def _publish_faces(self) -> None:
        crops = np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)
        boxes = np.tile(np.array([0, 0, 60, 60], np.int32), (5, 1))
        while not self._stop.wait(0.05):
            ref = FrameRef("north", "run", self.published, self.published * 20, 640, 480, True)
            self.bus.publish([("faces", Faces(ref, boxes, np.ones(5, np.float32), crops, "haar"))])
            self.published += 1


@pytest.fixture
def installation(server_url: str, bus_settings: BusSettings, tmp_path: Path) -> Iterator[Installation]:
    with Installation(server_url, bus_settings, tmp_path / "log") as started:
        yield started


def names(emotions: list[Emotions]) -> list[str]:
    return [message.model_id.partition("/")[0] for message in emotions]


def test_swap_loses_no_frame_and_every_result_names_its_network(installation: Installation, tmp_path: Path) -> None:
    new = copied(tmp_path / "new", model_id="crowdnet-new")
    installation.classify("one")
    installation.wait_for_more()
    done = installation.use(new)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "crowdnet-new is used by one\n"
    installation.wait_for_more()
    out = installation.finish()
    assert [message.ref.frame_id for message in out] == list(range(installation.published))
    used = names(out)
    assert (used[0], used[-1]) == (OLD, "crowdnet-new")
    assert sum(before != after for before, after in pairwise(used)) == 1


def test_every_worker_swaps_and_a_restarted_worker_keeps_the_choice(installation: Installation, tmp_path: Path) -> None:
    new = copied(tmp_path / "new", model_id="crowdnet-new")
    for name in ("one", "two"):
        installation.classify(name)
    installation.wait_for_more()
    done = installation.use(new)
    assert done.stdout == "crowdnet-new is used by one, two\n", done.stderr
    swapped = installation.published
    installation.processes["one"].kill()
    installation.processes["one"].wait()
    installation.bus.end_heartbeat("classifier", "one")
    installation.classify("one")
    installation.wait_for_more()
    assert all(using.startswith("crowdnet-new/") for using in installation.using().values())
    out = installation.finish()
    assert sorted({message.ref.frame_id for message in out}) == list(range(installation.published))
    assert {name for message, name in zip(out, names(out), strict=True) if message.ref.frame_id > swapped} == {
        "crowdnet-new"
    }
    assert installation.use("--configured").returncode == 0
    eventually(lambda: all(using.startswith(OLD) for using in installation.using().values()), 60)


@pytest.mark.parametrize(
    ("card", "text"),
    [
        ({"labels": ["happy", "sad", "angry", "disgust", "fear", "surprise", "neutral"]}, "labels are happy, sad"),
        ({"input": {"height": 64, "width": 64, "channels": 1, "dtype": "uint8"}}, "input is 64x64x1"),
        ({"files": [{"name": "model.keras", "sha256": "0" * 64, "size_bytes": 1}]}, "does not match its card"),
    ],
    ids=["labels", "input", "hashes"],
)
def test_command_refuses_a_network_that_does_not_fit(
    card: dict[str, object], text: str, server_url: str, bus_settings: BusSettings, tmp_path: Path
) -> None:
    installation = Installation(server_url, bus_settings, tmp_path / "log")
    done = installation.use(copied(tmp_path / "other", **card))
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert ModelChoices(server_url, bus_settings.key_prefix, "live").chosen() is None


def test_worker_that_cannot_use_a_choice_keeps_its_network_and_reports_the_reason(
    installation: Installation, server_url: str, bus_settings: BusSettings, tmp_path: Path
) -> None:
    installation.classify("one")
    choices = ModelChoices(server_url, bus_settings.key_prefix, "live")
    # As if the command ran on another machine, and this one had another folder or none.
    other = copied(tmp_path / "other", model_id="crowdnet-other")
    for folder, why in ((tmp_path / "missing", "cannot be read"), (other, "holds crowdnet-other here")):
        choice = choices.choose(str(folder), "crowdnet-new")
        with pytest.raises(ModelError, match=f"one still uses {OLD}.*{why}"):
            model_choice.wait_until_used(installation.settings, choice, 60)
    installation.wait_for_more()
    assert set(names(installation.finish())) == {OLD}
    assert installation.log.read_text().count("refused a model, the one in use stays") == 2
    # After a restart there is no network in use, and the worker loads that of its settings.
    installation.processes["one"].send_signal(signal.SIGTERM)
    installation.processes["one"].wait()
    installation.classify("one")
    assert installation.using()["one"].startswith(OLD)


def test_replay_uses_its_settings_when_another_network_is_chosen_for_live_cameras(
    server_url: str, bus_settings: BusSettings, tmp_path: Path
) -> None:
    ModelChoices(server_url, bus_settings.key_prefix, "live").choose(str(tmp_path / "missing"), "crowdnet-new")
    with Installation(server_url, bus_settings, tmp_path / "log", CROWDMOOD_RUN_ID="replay-1") as replay:
        replay.classify("one")
        assert set(replay.using().values()) == {replay.using()["one"]}
        assert replay.using()["one"].startswith(f"{OLD}/")
        assert "refused" not in replay.using()["one"]


def test_sighup_applies_a_changed_setting_and_ignores_a_wrong_one(
    server_url: str, bus_settings: BusSettings, tmp_path: Path
) -> None:
    new = copied(tmp_path / "new", model_id="crowdnet-new")
    newer = copied(tmp_path / "newer", model_id="crowdnet-newer")
    file = tmp_path / "crowdmood.toml"
    file.write_text(f'[classifier]\nmodel = "{DEFAULT_MODEL}"\n')
    with Installation(server_url, bus_settings, tmp_path / "log", CROWDMOOD_CONFIG=str(file)) as installation:
        installation.classify("one")

        def reload(text: str) -> None:
            file.write_text(text)
            installation.processes["one"].send_signal(signal.SIGHUP)

        def uses(text: str) -> None:
            eventually(lambda: text in installation.using().get("one", ""), 60)

        reload(f'[classifier]\nmodel = "{new}"\n')
        uses("crowdnet-new/")
        reload(f'[classifier]\nmodel = "{new}"\nprecision = "f32"\n')
        uses("crowdnet-new/openvino-f32")
        reload(f'[classifier]\nmodel = "{tmp_path / "missing"}"\n')
        uses("refused")
        reload("[classifier]\nmodel = 7\n")
        eventually(lambda: "the settings stay as they were" in installation.log.read_text(), 60)
        file.write_text(f'[classifier]\nmodel = "{new}"\n')
        # A changed setting ends an earlier choice.
        assert installation.use(DEFAULT_MODEL).returncode == 0
        reload(f'[classifier]\nmodel = "{newer}"\n')
        uses("crowdnet-newer/")
        out = installation.finish()
    assert [message.ref.frame_id for message in out] == list(range(installation.published))
