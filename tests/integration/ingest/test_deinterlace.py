"""Interlaced and anamorphic footage, written by FFmpeg as broadcasters write it."""

import itertools
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from crowdmood.core.settings import CameraSettings, IngestSettings
from ingest.encoding import Planes
from ingest.sources import live_source, recorded_source

MOVING = "testsrc2=size=640x360:rate=50:duration=2,scroll=horizontal=0.02"
INTERLACED = ["-vf", "tinterlace=interleave_top,fieldorder=tff", "-flags", "+ilme+ildct"]
CODECS = {
    "h264.ts": ["-c:v", "libx264", "-x264opts", "tff=1"],
    "mpeg2.ts": ["-c:v", "mpeg2video", "-b:v", "8M"],
    "h264.mp4": ["-c:v", "libx264", "-x264opts", "tff=1"],
}


def ffmpeg(*words: str) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *words], check=True)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    ffmpeg("-f", "lavfi", "-i", MOVING, "-vf", "fps=25", "-c:v", "libx264", "-crf", "12", str(folder / "25p.mp4"))
    for name, codec in CODECS.items():
        ffmpeg("-f", "lavfi", "-i", MOVING, *INTERLACED, *codec, str(folder / name))
    anamorphic = "scale=480:360,setsar=4/3"
    ffmpeg("-f", "lavfi", "-i", MOVING, "-vf", anamorphic, "-c:v", "libx264", str(folder / "anamorphic.ts"))
    tall = "scale=640:180,setsar=1/2"
    ffmpeg("-f", "lavfi", "-i", MOVING, "-vf", tall, "-c:v", "libx264", str(folder / "tall.mp4"))
    return folder


def images(path: Path) -> list[tuple[int, np.ndarray]]:
    camera = CameraSettings.model_validate({"id": "north", "uri": str(path)})
    source = recorded_source(camera, IngestSettings())
    return [
        (frame.at_ms, simplejpeg.decode_jpeg(frame.encode().jpeg, "GRAY")[:, :, 0].astype(float))
        for frame in source.frames()
    ]


def combing(image: np.ndarray) -> float:
    """Return how much neighbouring lines differ, relative to lines of the same field."""
    return float(np.abs(np.diff(image, axis=0)).mean() / np.abs(image[2:] - image[:-2]).mean())


@pytest.mark.parametrize("name", CODECS)
def test_interlaced_footage_has_no_combs_and_keeps_its_times(footage: Path, name: str) -> None:
    progressive, deinterlaced = images(footage / "25p.mp4"), images(footage / name)
    assert [at_ms for at_ms, _ in deinterlaced] == pytest.approx([at_ms for at_ms, _ in progressive], abs=40)
    usual = np.mean([combing(image) for _, image in progressive])
    assert np.mean([combing(image) for _, image in deinterlaced]) < 1.15 * usual


def test_the_test_would_notice_combs(footage: Path) -> None:
    decoded = subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-i", str(footage / "h264.ts"), "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        stdin=subprocess.DEVNULL,
        check=True,
        capture_output=True,
    ).stdout
    raw = np.frombuffer(decoded, np.uint8).reshape(-1, 360, 640).astype(float)
    usual = np.mean([combing(image) for _, image in images(footage / "25p.mp4")])
    assert np.mean([combing(image) for image in raw[5:40]]) > 1.3 * usual


@pytest.mark.parametrize(("name", "size"), [("anamorphic.ts", (360, 640)), ("tall.mp4", (360, 640))])
def test_frames_with_other_than_square_pixels_are_stretched(footage: Path, name: str, size: tuple[int, int]) -> None:
    assert {image.shape for _, image in images(footage / name)} == {size}


@pytest.fixture
def server(footage: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(footage))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["h264.ts", "anamorphic.ts"])
def test_live_frames_are_deinterlaced_and_stretched_too(footage: Path, server: str, name: str) -> None:
    camera = CameraSettings.model_validate({"id": "north", "uri": f"{server}/{name}"})
    frames = live_source(camera, IngestSettings()).frames()
    received = [
        Planes.of(frame.image, 50, frame.pixel_aspect).luma.astype(float) for frame in itertools.islice(frames, 30)
    ]
    frames.close()
    assert {image.shape for image in received} == {(360, 640)}
    usual = np.mean([combing(image) for _, image in images(footage / "25p.mp4")])
    assert np.mean([combing(image) for image in received]) < 1.15 * usual
