"""Download of YuNet's model from a local server: resumed, checked, and installed only when complete."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crowdmood.core.errors import ModelError
from detector.yunet_file import pull

NAME = "face_detection_yunet_2023mar.onnx"


@dataclass
class ModelServer:
    """A server with one file.

    Attributes:
        content: Content of the file.
        cut_after: Bytes after which a transfer breaks off.
        ranges: Whether it supports ranges.
        status: Status of every response.
        ranges_requested: The Range header of each request.
    """

    content: bytes
    cut_after: int | None = None
    ranges: bool = True
    status: int = 200
    ranges_requested: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server(assets: Path) -> Iterator[ModelServer]:
    served = ModelServer((assets / "models" / NAME).read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.ranges_requested.append(wanted)
            if served.status != 200:
                self.send_error(served.status)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and served.ranges else 0
            part = served.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(part)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(served.content) - 1}/{len(served.content)}")
            self.end_headers()
            self.wfile.write(part[: served.cut_after])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        served.url = f"http://127.0.0.1:{http_server.server_port}/{NAME}"
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        yield served
        http_server.shutdown()
        thread.join()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "models" / NAME


def test_downloads_the_model_once(server: ModelServer, file: Path) -> None:
    assert pull(server.url, file)
    assert file.read_bytes() == server.content
    assert not pull(server.url, file)
    assert server.ranges_requested == [None]
    assert [path.name for path in file.parent.iterdir()] == [NAME]


def test_resumes_a_transfer_that_broke_off(server: ModelServer, file: Path) -> None:
    server.cut_after = 100_000
    with pytest.raises(ModelError, match=r"broke off after 100,000 of 232,589 bytes.*run the command again"):
        pull(server.url, file)
    assert not file.exists()
    server.cut_after = None
    assert pull(server.url, file)
    assert server.ranges_requested == [None, "bytes=100000-"]
    assert file.read_bytes() == server.content


def test_starts_again_if_the_server_does_not_support_ranges(server: ModelServer, file: Path) -> None:
    server.cut_after = 100_000
    with pytest.raises(ModelError):
        pull(server.url, file)
    server.cut_after, server.ranges = None, False
    assert pull(server.url, file)
    assert file.read_bytes() == server.content


@pytest.mark.parametrize("content", [b"<html>sign in to this network</html>" * 10_000, b"\0" * 232_589])
def test_does_not_install_another_file(server: ModelServer, file: Path, content: bytes) -> None:
    server.content = content
    with pytest.raises(ModelError, match="not the pinned model"):
        pull(server.url, file)
    assert list(file.parent.iterdir()) == []


def test_downloads_again_after_a_damaged_partial_file(server: ModelServer, file: Path) -> None:
    file.parent.mkdir()
    file.with_name(NAME + ".part").write_bytes(b"\0" * 1000)
    with pytest.raises(ModelError, match="not the pinned model"):
        pull(server.url, file)
    assert pull(server.url, file)


def test_replaces_a_file_with_other_content(server: ModelServer, file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"half a model")
    assert pull(server.url, file)
    assert file.read_bytes() == server.content


@pytest.mark.parametrize("status", [404, 416, 500])
def test_reports_an_error_status(server: ModelServer, file: Path, status: int) -> None:
    server.status = status
    with pytest.raises(ModelError, match="cannot be downloaded"):
        pull(server.url, file)
    assert not file.exists()


def test_reports_an_unreachable_server(file: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be downloaded \(.*refused.*copy the file to"):
        pull("http://127.0.0.1:1/model", file)


def test_names_a_path_that_cannot_be_written(server: ModelServer, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="cannot be written"):
        pull(server.url, tmp_path / "models" / NAME)
