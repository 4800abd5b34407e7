"""Footage for the tests of this folder, and where their figures go."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests.waiting import eventually

from .rig import installation

TERRACES = ("terrace-north", "terrace-south")


@pytest.fixture
def figures(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., None]]:
    """Print a line of figures past pytest's capture: what tests/RELIABILITY.md quotes."""

    def print_line(text: str) -> None:
        with capsys.disabled():
            print(f"\n[{request.node.name}] {text}", flush=True)

    yield print_line


@pytest.fixture(scope="session")
def yunet(assets: Path) -> dict[str, Any]:
    """The detector for the terraces, whose faces are 80 pixels wide."""
    model = assets / "models" / "face_detection_yunet_2023mar.onnx"
    return {"kind": "yunet", "yunet_model": model, "min_face_px": 28}


@pytest.fixture(scope="session")
def terraces(assets: Path) -> list[dict[str, str]]:
    """Both clips of a minute, as cameras."""
    return [{"id": name, "uri": str(assets / "footage" / f"{name}.mp4")} for name in TERRACES]


@pytest.fixture(scope="session")
def short_terraces(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The first seconds of both clips, as cameras."""
    folder = tmp_path_factory.mktemp("terraces")
    cameras = []
    for name in TERRACES:
        _cut(assets / "footage" / f"{name}.mp4", folder / f"{name}.mp4", seconds=6)
        cameras.append({"id": name, "uri": str(folder / f"{name}.mp4")})
    return cameras


@pytest.fixture(scope="session")
def undisturbed(
    short_terraces: list[dict[str, str]], yunet: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The moods of the short clips when nothing happens, as JSON."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with installation(folder, short_terraces, detector=yunet, ingest={"speed": "max"}) as rig:
        eventually(rig.complete, 120)
        return [mood.to_json() for mood in rig.moods()]


def _cut(source: Path, target: Path, seconds: float) -> None:
    """The first seconds of a clip, packet by packet."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as part:
        stream = whole.streams.video[0]
        copy = part.add_stream_from_template(stream)
        for packet in whole.demux(stream):
            if packet.dts is None or packet.pts is None or float(packet.pts * packet.time_base) >= seconds:
                continue
            packet.stream = copy
            part.mux(packet)
