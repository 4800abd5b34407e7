"""Cameras as they are: what real senders send, and what FFmpeg sends over each protocol."""

import base64
import contextlib
import http.server
import itertools
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import CameraSettings, IngestSettings
from ingest.sources import live_source, recorded_source
from ingest.sources.base import LiveFrame
from tests.ports import free_port
from tests.waiting import eventually

PASSWORD = "p@ss:w/r?d%2#x"
MOVING = "testsrc2=size=320x180:rate=25"


def received(uri: str, count: int, camera: dict[str, Any] | None = None, **settings: Any) -> list[LiveFrame]:
    known = CameraSettings.model_validate({"id": "north", "uri": uri} | (camera or {}))
    frames = live_source(known, IngestSettings(**({"connect_timeout_s": 20, "sample_fps": 50} | settings))).frames()
    with contextlib.closing(frames):
        return list(itertools.islice(frames, count))


class OddCamera(http.server.ThreadingHTTPServer):
    """A camera that sends motion JPEG as the path of the request says, or one image at /snapshot."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    shown = 0

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        kind = self.path.strip("/")
        wanted = "Basic " + base64.b64encode(f"eye:{PASSWORD}".encode()).decode()
        if kind == "guarded" and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="eye"')
            self.end_headers()
            return
        self.send_response(200)
        if kind == "snapshot":
            jpeg = self.image()
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(jpeg)))
            self.end_headers()
            self.wfile.write(jpeg)
            return
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        with contextlib.suppress(OSError):
            for number in itertools.count():
                self.send_part(kind, number)
                time.sleep(0.01)

    def send_part(self, kind: str, number: int) -> None:
        jpeg = self.image()
        content_type = {"image-jpg": b"image/jpg", "no-type": b""}.get(kind, b"image/jpeg")
        length = len(jpeg) + {"too-long": 7, "too-short": -7}.get(kind, 0)
        if kind != "no-first-boundary" or number:
            self.wfile.write(b"--next\r\n")
        if content_type:
            self.wfile.write(b"Content-Type: " + content_type + b"\r\n")
        self.wfile.write(b"Content-Length: %d\r\n\r\n" % length + jpeg + b"\r\n")

    def image(self) -> bytes:
        _Handler.shown += 1
        return simplejpeg.encode_jpeg(np.full((48, 64, 3), _Handler.shown * 3 % 256, np.uint8), 90)


@pytest.fixture
def odd_camera() -> Iterator[str]:
    with OddCamera() as camera:
        thread = threading.Thread(target=camera.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{camera.server_port}"
        camera.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["usual", "image-jpg", "no-type", "no-first-boundary", "too-long", "too-short"])
def test_motion_jpeg_is_read_whatever_its_parts_declare(odd_camera: str, kind: str) -> None:
    frames = received(f"{odd_camera}/{kind}", 12)
    assert {(frame.image.width, frame.image.height) for frame in frames} == {(64, 48)}
    assert len({bytes(frame.image.planes[0])[:1] for frame in frames}) > 5


def test_the_address_of_a_snapshot_is_polled(odd_camera: str) -> None:
    started_s = time.monotonic()
    frames = received(f"{odd_camera}/snapshot", 6, sample_fps=20)
    assert len({bytes(frame.image.planes[0])[:1] for frame in frames}) == 6
    assert time.monotonic() - started_s >= 5 / 20


def test_a_password_of_any_characters_can_be_set_apart(odd_camera: str) -> None:
    assert received(f"{odd_camera}/guarded", 3, {"user": "eye", "password": PASSWORD})
    encoded = odd_camera.replace("//", "//eye:p%40ss%3Aw%2Fr%3Fd%252%23x@")
    assert received(f"{encoded}/guarded", 3)


def test_a_password_that_is_not_encoded_is_refused_with_the_remedy(odd_camera: str) -> None:
    with pytest.raises(SourceError, match="percent-encoded, or set apart as `user` and `password`") as caught:
        received(odd_camera.replace("//", f"//eye:{PASSWORD}@"), 1)
    assert PASSWORD not in str(caught.value)


@contextlib.contextmanager
def sender(*words: str) -> Iterator[None]:
    """Run FFmpeg, which sends until the end of the context."""
    process = subprocess.Popen(["ffmpeg", "-nostdin", "-loglevel", "error", "-re", *words], stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_transport_stream_over_udp(tmp_path: Path) -> None:
    address = f"udp://127.0.0.1:{free_port()}"
    with sender("-f", "lavfi", "-i", MOVING, "-c:v", "libx264", "-g", "10", "-f", "mpegts", address):
        assert len(received(address, 20)) == 20


def test_a_stream_without_a_key_frame_is_waited_for(tmp_path: Path) -> None:
    address = f"udp://127.0.0.1:{free_port()}"
    coded = ("-c:v", "libx264", "-x264opts", "keyint=100:min-keyint=100:scenecut=0", "-tune", "zerolatency")
    with sender("-f", "lavfi", "-i", MOVING, *coded, "-f", "mpegts", address):
        time.sleep(1.5)  # the next key frame comes 2.5 s from now
        assert received(address, 1, connect_timeout_s=1, first_frame_timeout_s=20)


def test_a_live_playlist_is_followed(tmp_path: Path) -> None:
    playlist = tmp_path / "live.m3u8"
    coded = ("-c:v", "libx264", "-g", "25", "-f", "hls", "-hls_time", "1", "-hls_list_size", "4")
    with sender("-f", "lavfi", "-i", MOVING, *coded, str(playlist)), serving(tmp_path) as address:
        eventually(lambda: playlist.is_file() and playlist.read_text().count(".ts") >= 3, 60)
        assert len(received(f"{address}/live.m3u8", 40)) == 40


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    playlist = tmp_path_factory.mktemp("recording") / "match.m3u8"
    words = ["-f", "lavfi", "-i", f"{MOVING}:duration=4", "-c:v", "libx264", "-g", "25", "-f", "hls"]
    words += ["-hls_time", "1", "-hls_playlist_type", "vod", str(playlist)]
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", *words], check=True)
    return playlist


def test_a_recorded_playlist_is_footage(recording: Path) -> None:
    camera = CameraSettings.model_validate({"id": "north", "uri": str(recording)})
    source = recorded_source(camera, IngestSettings())
    source.check()
    assert [frame.at_ms for frame in source.frames()] == [200 * number for number in range(20)]


def test_a_recorded_playlist_is_refused_as_a_camera(recording: Path) -> None:
    with serving(recording.parent) as address, pytest.raises(SourceError, match="is a recording: download it"):
        received(f"{address}/{recording.name}", 1)


@pytest.mark.parametrize("name", ["nonsense", "cuda"])
def test_a_decoder_that_does_not_work_is_one_clear_error(recording: Path, name: str) -> None:
    camera = CameraSettings.model_validate({"id": "north", "uri": str(recording)})
    with pytest.raises(SourceError, match=f"CROWDMOOD_INGEST__HWACCEL is {name}, which does not work here"):
        recorded_source(camera, IngestSettings(hwaccel=name)).check()


def test_a_protocol_that_ffmpeg_lacks_is_one_clear_error() -> None:
    with pytest.raises(SourceError, match="has no protocol srt"):
        received("srt://127.0.0.1:9", 1)
