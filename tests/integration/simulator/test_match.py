"""A match is rendered completely or not at all: videos that can be decoded, and a truth that fits them."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from crowdmood.core.errors import CrowdMoodError, DataError, SettingsError
from crowdmood.domain.labels import LABELS
from simulator.bank import load_bank
from simulator.cli import simulate as simulate_command
from simulator.hiding import Hiding
from simulator.match import Match, simulate
from simulator.script import default_script
from simulator.stand import Stand
from simulator.truth import Truth, load_truth
from tests.waiting import eventually

SMALL = Match(minutes=0.1, cameras=2, people=40, fps=5, size=(480, 270), seed=7)


def frames(video: Path) -> list[np.ndarray]:
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stadium") / "match"
    simulate(SMALL, out)
    return out


@pytest.fixture(scope="module")
def truth(folder: Path) -> Truth:
    return load_truth(folder)


def test_writes_a_video_for_each_camera_and_the_truth(folder: Path, truth: Truth) -> None:
    assert sorted(file.name for file in folder.iterdir()) == ["stand-1.mp4", "stand-2.mp4", "truth.json"]
    for camera in truth.cameras:
        images = frames(folder / camera.video)
        assert len(images) == SMALL.frames == 30
        assert images[0].shape == (270, 480, 3)
    assert [moment.at_s for moment in truth.seconds] == list(range(6))
    assert sum(camera.people for camera in truth.cameras) == 40


def test_files_depend_on_the_seed_only(folder: Path, tmp_path: Path) -> None:
    simulate(SMALL, tmp_path / "again")
    simulate(Match(minutes=0.1, cameras=2, people=40, fps=5, size=(480, 270), seed=8), tmp_path / "other")

    for name in ("stand-1.mp4", "stand-2.mp4", "truth.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (folder / name).read_bytes()


def test_shares_sum_to_one_and_no_person_is_in_two_stands(truth: Truth) -> None:
    for moment in truth.seconds:
        for crowd in (moment.stadium, *moment.zones.values(), *moment.cameras.values()):
            assert crowd.shares is not None
            assert tuple(crowd.shares) == LABELS
            assert sum(crowd.shares.values()) == pytest.approx(1, abs=1e-5)
            assert crowd.visible <= crowd.people
            assert crowd.readable <= crowd.people
        first, second = (set(camera.persons) for camera in moment.cameras.values())
        assert not first & second
        assert moment.stadium.people == len(first | second)


def test_shares_are_those_of_the_readable_people(truth: Truth) -> None:
    for moment in truth.seconds:
        for camera in moment.cameras.values():
            read = [label for label, hidden in zip(camera.labels, camera.unreadable, strict=True) if not hidden]
            assert camera.readable == len(read)
            assert camera.shares is not None
            for code, label in enumerate(LABELS):
                assert camera.shares[label] == pytest.approx(read.count(code) / len(read), abs=1e-5)
        assert moment.stadium.readable == sum(camera.readable for camera in moment.cameras.values())
    assert any(camera.readable < camera.people for moment in truth.seconds for camera in moment.cameras.values())


def test_truth_marks_hidden_and_turned_faces_as_unreadable(truth: Truth) -> None:
    stand = Stand("stand-1", SMALL.size, 20, 0, default_script(6.0), 6.0, load_bank(), (SMALL.seed, 0))
    people = {person.number: person for person in stand.people}
    hidden = 0
    for moment in truth.seconds:
        camera = moment.cameras["stand-1"]
        for number, visibility, unreadable in zip(camera.persons, camera.visibility, camera.unreadable, strict=True):
            hides = people[number].states.at(moment.at_s).hiding is not Hiding.NONE
            hidden += hides
            assert unreadable == (hides or visibility < 0.5)
    assert hidden > 0


def test_events_of_a_script_affect_the_stands_that_see_them(tmp_path: Path) -> None:
    script = tmp_path / "match.toml"
    script.write_text('[[events]]\nat_s = 3\nevent = "goal"\ncameras = ["stand-2"]\n')
    match = Match(minutes=0.1, cameras=2, people=160, fps=1, size=(640, 360), seed=1, script=script)
    truth = simulate(match, tmp_path / "match")

    def cheering(second: int, zone: str) -> float:
        shares = truth.seconds[second].zones[zone].shares
        assert shares is not None
        return shares["cheering"]

    assert cheering(5, "stand-2") > 0.45
    assert cheering(2, "stand-2") < 0.15
    assert cheering(5, "stand-1") < 0.15
    assert [event.event for event in truth.events] == ["goal"]


def test_yunet_finds_the_faces_of_the_truth_and_few_others(assets: Path, tmp_path: Path) -> None:
    truth = simulate(Match(minutes=0.1, cameras=1, people=90, fps=2, seed=3), tmp_path / "match")
    detector = cv2.FaceDetectorYN.create(
        str(assets / "models" / "face_detection_yunet_2023mar.onnx"), "", (1280, 720), 0.5
    )
    images = frames(tmp_path / "match" / "stand-1.mp4")
    met = visible = found = true = 0
    for moment in truth.seconds:
        camera = moment.cameras["stand-1"]
        _, faces = detector.detect(images[moment.at_s * truth.fps])
        middles = faces[:, :2] + faces[:, 2:4] / 2
        boxes = np.array(camera.boxes_xyxy)
        inside = ((middles[:, None] > boxes[None, :, :2]) & (middles[:, None] < boxes[None, :, 2:])).all(axis=2)
        seen = ~np.array(camera.occluded)
        met += int(inside.any(axis=0)[seen].sum())
        visible += int(seen.sum())
        true += int(inside.any(axis=1).sum())
        found += len(faces)

    assert met / visible >= 0.9
    assert true / found >= 0.9


def test_video_shows_the_rendered_frames_with_compression(folder: Path) -> None:
    stand = Stand("stand-1", SMALL.size, 20, 0, default_script(6.0), 6.0, load_bank(), (SMALL.seed, 0))
    for frame in (0, 17, 29):
        rendered, shown = stand.render(frame, frame / SMALL.fps), frames(folder / "stand-1.mp4")[frame]
        assert 25 < cv2.PSNR(rendered, shown) < 40


BAD: list[tuple[Match, type[CrowdMoodError], str]] = [
    (Match(cameras=0), SettingsError, "--cameras is 0"),
    (Match(people=1), SettingsError, "--people is 1"),
    (Match(people=5000), SettingsError, "more than the .* seats"),
    (Match(minutes=0), SettingsError, "--minutes is 0"),
    (Match(minutes=float("nan")), SettingsError, "--minutes is nan"),
    (Match(fps=0), SettingsError, "--fps is 0"),
    (Match(size=(641, 360)), SettingsError, "--size is 641x360"),
    (Match(seed=-1), SettingsError, "--seed is -1"),
    (Match(faces=Path("nowhere")), DataError, "nowhere/angry: cannot be read"),
    (Match(script=Path("riot.toml")), DataError, "unknown event 'riot'"),
]


@pytest.mark.parametrize(("match", "kind", "message"), BAD, ids=[message for _, _, message in BAD])
def test_refuses_impossible_options_in_one_line_and_leaves_no_files(
    tmp_path: Path, match: Match, kind: type[CrowdMoodError], message: str
) -> None:
    (tmp_path / "riot.toml").write_text('[[events]]\nat_s = 1\nevent = "riot"\n')

    with pytest.raises(kind, match=message) as refused:
        simulate(match, tmp_path / "out" / "match")
    assert "\n" not in str(refused.value)
    assert [file.name for file in tmp_path.iterdir()] == ["riot.toml"]


def test_refuses_a_folder_with_content_and_does_not_change_it(folder: Path) -> None:
    before = (folder / "truth.json").read_bytes()

    with pytest.raises(SettingsError, match="already exists"):
        simulate(SMALL, folder)
    assert (folder / "truth.json").read_bytes() == before
    assert not list(folder.parent.glob(".*"))


def test_error_during_the_rendering_leaves_no_files(tmp_path: Path) -> None:
    calls = 0

    def fail() -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        simulate(SMALL, tmp_path / "match", fail)
    assert not list(tmp_path.iterdir())


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(simulate_command)
    return app


def test_command_names_the_files_it_wrote(tmp_path: Path) -> None:
    out = tmp_path / "match"
    arguments = ["--out", str(out), "--minutes", "0.02", "--cameras", "1", "--people", "5", "--size", "320x240"]
    result = CliRunner().invoke(command(), arguments)

    assert result.exit_code == 0
    assert f"Wrote {out / 'stand-1.mp4'} and {out / 'truth.json'}" in result.stdout
    assert load_truth(out).width == 320


@pytest.mark.parametrize("minutes", ["nan", "inf", "-1"])
def test_command_refuses_an_impossible_length(tmp_path: Path, minutes: str) -> None:
    result = CliRunner().invoke(command(), ["--out", str(tmp_path / "match"), f"--minutes={minutes}"])

    assert isinstance(result.exception, SettingsError)
    assert result.stdout == ""


@pytest.mark.parametrize("size", ["big", "1280", "x720", "-2x720", "1280x720x3"])
def test_command_refuses_an_impossible_size(tmp_path: Path, size: str) -> None:
    result = CliRunner().invoke(command(), ["--out", str(tmp_path / "match"), f"--size={size}"])

    assert isinstance(result.exception, SettingsError)
    assert "as in 1280x720" in str(result.exception)
    assert not list(tmp_path.iterdir())


COMMAND = "import typer; from simulator.cli import simulate; typer.run(simulate)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_leave_no_files(tmp_path: Path, number: signal.Signals) -> None:
    arguments = ["--out", str(tmp_path / "match"), "--size", "480x270", "--people", "40", "--minutes", "30"]
    with subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.DEVNULL) as run:
        written = lambda: any(file.stat().st_size for file in tmp_path.glob(".match.partial-*/*.mp4"))  # noqa: E731
        eventually(written, unless=lambda: run.poll() is not None)
        run.send_signal(number)
        assert run.wait(60) == 130
    assert not list(tmp_path.iterdir())


def test_readme_documents_every_field_of_the_truth_file(folder: Path) -> None:
    documented = set(
        re.findall(r"`([a-z_0-9]+)`", (Path(simulate.__code__.co_filename).parent / "README.md").read_text())
    )

    def names(value: object) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(names, value))
        if isinstance(value, dict):
            return set(value).union(*map(names, value.values()))
        return set()

    written = names(json.loads((folder / "truth.json").read_text()))
    data = {"stand-1", "stand-2"} | set(load_truth(folder).labels)
    assert written - data <= documented
