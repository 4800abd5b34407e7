"""A live camera on a real network: it fails, stalls, freezes and recovers, and its password is shown nowhere."""

import base64
import http.server
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import av
import numpy as np
import prometheus_client
import pytest
import simplejpeg

from crowdmood.bus.connection import connect
from crowdmood.bus.keys import BusKeys
from crowdmood.core.errors import SourceError
from crowdmood.core.settings import BusSettings, IngestSettings, Settings, load
from crowdmood.domain.messages import CameraState, Frame, FramesLost, decode
from ingest import service
from ingest.sources.stream import NetworkCamera
from tests.waiting import eventually

PASSWORD = "s3cret-of-the-eye"
TOKEN = "t0ken-of-the-eye"


class MjpegCamera(http.server.ThreadingHTTPServer):
    """A network camera with a password that sends motion JPEG; `mode` is `run`, `stall`, `freeze` or `gone`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mode = "run"
        self.size = (64, 48)
        self.shown = 0
        self.refused = 0
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    @property
    def uri(self) -> str:
        return f"http://eye:{PASSWORD}@127.0.0.1:{self.server_port}/stream?token={TOKEN}"

    def __enter__(self) -> "MjpegCamera":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.mode = "gone"
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MjpegCamera

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"eye:{PASSWORD}".encode()).decode()
        if self.server.mode == "gone":
            self.send_error(503)
        elif self.headers.get("Authorization") != wanted:
            self.server.refused += 1
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="eye"')
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            self._stream()

    def _stream(self) -> None:
        while (mode := self.server.mode) != "gone":
            if mode != "stall":
                self.server.shown += mode != "freeze"
                width, height = self.server.size
                jpeg = simplejpeg.encode_jpeg(np.full((height, width, 3), self.server.shown * 3 % 256, np.uint8), 90)
                try:
                    self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                    self.wfile.write(jpeg + b"\r\n")
                except OSError:
                    return
            time.sleep(0.01)


class BusReader:
    """Reads everything on the bus without consuming it."""

    def __init__(self, settings: Settings) -> None:
        assert settings.bus_url
        self.client = connect(settings.bus_url.get_secret_value())
        self._keys = BusKeys.of(settings.bus)

    def raw(self) -> bytes:
        entries = [entry for name in ("frames", "control") for entry in self._entries(name)]
        return b"\n".join(value for fields in entries for value in fields.values())

    def frames(self) -> list[Frame]:
        return [Frame.from_fields(fields) for fields in self._entries("frames")]

    def states(self) -> list[CameraState]:
        return [m for fields in self._entries("control") if isinstance(m := decode(fields), CameraState)]

    def lost(self) -> list[FramesLost]:
        return [m for fields in self._entries("control") if isinstance(m := decode(fields), FramesLost)]

    def names(self) -> list[str]:
        return [state.state for state in self.states()]

    def _entries(self, name: Any) -> list[dict[bytes, bytes]]:
        return [fields for _, fields in self.client.xrange(self._keys.stream(name))]


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    with MjpegCamera() as camera:
        yield camera


@pytest.fixture
def configure(server_url: str, bus_settings: BusSettings) -> Callable[..., Settings]:
    def configured(uri: str, max_backlog: int = 1000, **ingest: object) -> Settings:
        return load(
            bus_url=server_url,
            bus=bus_settings.model_copy(update={"max_backlog": max_backlog}).model_dump(),
            cameras=[{"id": "north", "uri": uri}],
            ingest={"sample_fps": 50, "frozen_after_s": 0.3, "reconnect_max_s": 0.05, "connect_timeout_s": 5.0}
            | ingest,
        )

    return configured


@contextmanager
def running(settings: Settings) -> Iterator[tuple[BusReader, Future[int]]]:
    stop = threading.Event()
    reader = BusReader(settings)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(service.run, settings, stop)
        try:
            yield reader, result
        finally:
            stop.set()
            assert result.exception() or result.result() == 0
            reader.client.close()


def test_camera_that_freezes_fails_and_recovers_changes_its_state_and_shows_no_password(
    camera: MjpegCamera, configure: Callable[..., Settings], caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    began_ms = time.time_ns() // 1_000_000
    with running(configure(camera.uri)) as (seen, result):
        eventually(lambda: len(seen.frames()) > 5, unless=result.done)
        camera.mode = "freeze"
        eventually(lambda: seen.names()[-1] == "frozen", unless=result.done)
        frozen = len(seen.frames())
        eventually(lambda: len(seen.frames()) > frozen + 3, unless=result.done)  # they are published all the same
        camera.mode = "run"
        eventually(lambda: seen.names()[-1] == "live", unless=result.done)
        camera.mode = "gone"
        eventually(lambda: seen.names()[-1] == "down", unless=result.done)
        gone = len(seen.frames())
        camera.mode = "run"
        eventually(lambda: len(seen.frames()) > gone + 5, unless=result.done)

        assert seen.names() == ["opening", "live", "frozen", "live", "down", "live"]
        refs = [frame.ref for frame in seen.frames()]
        assert [ref.frame_id for ref in refs] == list(range(len(refs)))
        times = [ref.captured_at_ms for ref in refs]
        assert times == sorted(set(times))
        assert began_ms <= times[0] < times[-1] <= time.time_ns() // 1_000_000 + len(refs)
        assert {(ref.run_id, ref.recorded) for ref in refs} == {(seen.states()[0].run_id, False)}
        assert {state.source for state in seen.states()} == {f"http://127.0.0.1:{camera.server_port}/…"}
        details = {state.state: state.detail for state in seen.states()}
        assert details["down"] != ""
        assert "same image" in details["frozen"]
        raw = seen.raw()
    shown = "\n".join([caplog.text, *capfd.readouterr(), prometheus_client.generate_latest().decode()])
    assert "camera north is down" in shown
    for secret in (PASSWORD, TOKEN):
        assert secret.encode() not in raw
        assert secret not in shown


def test_camera_that_stalls_is_down_and_recovers(camera: MjpegCamera, configure: Callable[..., Settings]) -> None:
    with running(configure(camera.uri, connect_timeout_s=0.3)) as (seen, result):
        eventually(lambda: bool(seen.frames()), unless=result.done)
        camera.mode = "stall"
        eventually(lambda: seen.names()[-1] == "down", unless=result.done)
        assert seen.states()[-1].detail == "no answer for 0.3 s"
        camera.mode = "run"
        eventually(lambda: seen.names()[-1] == "live", unless=result.done)


def reconnects() -> float:
    return prometheus_client.REGISTRY.get_sample_value("crowdmood_camera_reconnects_total", {"camera": "north"}) or 0


def test_unreachable_camera_is_down_with_the_reason_and_retried(
    camera: MjpegCamera, configure: Callable[..., Settings]
) -> None:
    camera.mode = "gone"
    with running(configure(camera.uri)) as (seen, result):
        eventually(lambda: seen.names() == ["opening", "down"], unless=result.done)
        assert "5XX" in seen.states()[-1].detail
        before = reconnects()
        eventually(lambda: reconnects() >= before + 3, unless=result.done)
        assert seen.names() == ["opening", "down"]  # published once
        assert not result.done()


def test_camera_that_refuses_a_password_is_tried_again_only_after_a_long_pause(
    camera: MjpegCamera, configure: Callable[..., Settings]
) -> None:
    uri = camera.uri.replace(PASSWORD, "wrong")
    with running(configure(uri, refused_pause_s=1.5)) as (seen, result):
        eventually(lambda: seen.names() == ["opening", "refused"], unless=result.done)
        assert seen.states()[-1].detail == "the camera refuses the user or the password"
        refusals = camera.refused
        time.sleep(0.7)  # twice the longest usual pause would be 0.1 s
        assert camera.refused == refusals
        eventually(lambda: camera.refused > refusals, unless=result.done)
        assert seen.names() == ["opening", "refused"]


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https", "RTSP"])
@pytest.mark.parametrize(("answers", "says"), [(True, "no answer for 0.1 s"), (False, "Connection refused")])
def test_network_camera_of_every_scheme_fails_in_time_and_without_showing_its_address(
    scheme: str, answers: bool, says: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if not answers:
            silent.close()
        source = NetworkCamera(f"{scheme}://eye:{PASSWORD}@127.0.0.1:{port}/1", IngestSettings(connect_timeout_s=0.1))
        with pytest.raises(SourceError) as caught:
            next(source.frames())
    assert str(caught.value) == says
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_without_detectors_the_oldest_frames_but_the_first_are_dropped_and_exactly_these_reported(
    camera: MjpegCamera, configure: Callable[..., Settings]
) -> None:
    with running(configure(camera.uri, max_backlog=4)) as (seen, result):
        eventually(lambda: len(seen.lost()) > 10, unless=result.done)
    at_the_end = BusReader(configure(camera.uri, max_backlog=4))
    kept = [frame.ref.frame_id for frame in at_the_end.frames()]
    lost = [n for loss in at_the_end.lost() for n in range(loss.first_frame_id, loss.last_frame_id + 1)]
    assert len(kept) == 4
    assert kept[0] == 0  # it keeps the camera's turn
    assert [0, *lost, *kept[1:]] == list(range(kept[-1] + 1))
    assert {loss.reason for loss in at_the_end.lost()} == {"overload"}
    at_the_end.client.close()


def test_too_large_frames_are_lost_and_the_camera_stays_live(
    camera: MjpegCamera, configure: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    with running(configure(camera.uri, max_frame_megapixels=0.01)) as (seen, result):
        eventually(lambda: len(seen.frames()) > 2, unless=result.done)
        camera.size = (320, 240)
        eventually(lambda: len(seen.lost()) > 2, unless=result.done)
        camera.size = (64, 48)
        known = len(seen.frames())
        eventually(lambda: len(seen.frames()) > known + 2, unless=result.done)
        assert {loss.reason for loss in seen.lost()} == {"frame_too_large"}
        assert "down" not in seen.names()
    assert sum("frames are lost" in record.message for record in caplog.records) == 1


def test_exception_in_the_thread_of_a_camera_ends_the_process(
    camera: MjpegCamera, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def frames(_: NetworkCamera) -> Iterator[av.VideoFrame]:
        raise ZeroDivisionError("a bug")
        yield

    monkeypatch.setattr(NetworkCamera, "frames", frames)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        service.run(configure(camera.uri), threading.Event())
