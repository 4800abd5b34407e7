"""What comes before a body, over bare sockets: how large it may be, and how long it may take."""

import contextlib
import itertools
import json
import socket

import httpx
import pytest
from websockets.sync.client import connect

from api import protocol
from api.security import HEAD_BYTES
from crowdmood.core.settings import BusSettings, Settings, load
from tests.serving import ready, running


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    return load(state_url=server_url, bus=bus_settings.model_dump(), api={"port": 0, "stream_heartbeat_s": 0.4})


def connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def answer_to_endless_headers(url: str, more: int) -> bytes:
    with connected(url) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Note: ")
        for _ in range(3):
            httpx.get(url + "/nothing")  # once this is answered, that was read
        connection.sendall(b"a" * (HEAD_BYTES + 1 + more))
        return rest_of(connection)


def test_headers_that_do_not_end_are_refused_before_they_cost_anything(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(settings.model_copy(update={"api": settings.api.model_copy(update={"ops_port": port})})) as api:
        for url, more in itertools.product((api.url, f"http://127.0.0.1:{port}"), (0, 5_000_000)):
            answer = answer_to_endless_headers(url, more)  # also to a client that is still sending
            assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "/problems/headers-too-large"


def test_headers_after_a_chunked_body_are_not_read(settings: Settings) -> None:
    with ready(settings) as api, connected(api.url) as connection:
        connection.sendall(b"POST /mood HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 20 * 1024 * 1024:
                sent += connection.send(b"X-Note: " + b"a" * 65_536)
        assert sent < 20 * 1024 * 1024


def test_headers_that_take_too_long_are_not_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 2.0)
    whole = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ready(settings) as api, connected(api.url) as silent, connected(api.url) as slow:
        slow.sendall(whole + whole[:20])
        with connect(api.url.replace("http", "ws", 1) + "/mood/stream") as stream:
            assert rest_of(slow).startswith(b"HTTP/1.1 200 OK")
            assert rest_of(silent) == b""
            for _ in range(8):  # what was opened in time goes on for longer
                assert stream.recv(timeout=30)
