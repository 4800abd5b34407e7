"""Fetching YuNet's model from a server on this machine: resumed, checked, and never half there."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crowdmood.core.errors import ModelError
from detector.download import pull

NAME = "face_detection_yunet_2023mar.onnx"


@dataclass
class Zoo:
    """A server with one file.

    Attributes:
        content: What it serves.
        cut_after: Bytes after which a transfer breaks off.
        ranges: Whether it can go on in the middle.
        status: Answers this and nothing else.
        asked: The Range header of each request.
    """

    content: bytes
    cut_after: int | None = None
    ranges: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def zoo(assets: Path) -> Iterator[Zoo]:
    served = Zoo((assets / "models" / NAME).read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.asked.append(wanted)
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

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_port}/{NAME}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield served
        server.shutdown()
        thread.join()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "models" / NAME


def test_the_model_is_fetched_once(zoo: Zoo, file: Path) -> None:
    assert pull(zoo.url, file)
    assert file.read_bytes() == zoo.content
    assert not pull(zoo.url, file)
    assert zoo.asked == [None]
    assert [path.name for path in file.parent.iterdir()] == [NAME]


def test_a_transfer_that_broke_off_goes_on_where_it_was(zoo: Zoo, file: Path) -> None:
    zoo.cut_after = 100_000
    with pytest.raises(ModelError, match=r"broke off after 100,000 of 232,589 bytes.*run the command again"):
        pull(zoo.url, file)
    assert not file.exists()
    zoo.cut_after = None
    assert pull(zoo.url, file)
    assert zoo.asked == [None, "bytes=100000-"]
    assert file.read_bytes() == zoo.content


def test_a_server_that_cannot_go_on_in_the_middle_starts_over(zoo: Zoo, file: Path) -> None:
    zoo.cut_after = 100_000
    with pytest.raises(ModelError):
        pull(zoo.url, file)
    zoo.cut_after, zoo.ranges = None, False
    assert pull(zoo.url, file)
    assert file.read_bytes() == zoo.content


@pytest.mark.parametrize("content", [b"<html>sign in to this network</html>" * 10_000, b"\0" * 232_589])
def test_another_file_is_not_installed(zoo: Zoo, file: Path, content: bytes) -> None:
    zoo.content = content
    with pytest.raises(ModelError, match="not the pinned model"):
        pull(zoo.url, file)
    assert list(file.parent.iterdir()) == []


def test_a_damaged_beginning_costs_one_more_try(zoo: Zoo, file: Path) -> None:
    file.parent.mkdir()
    file.with_name(NAME + ".part").write_bytes(b"\0" * 1000)
    with pytest.raises(ModelError, match="not the pinned model"):
        pull(zoo.url, file)
    assert pull(zoo.url, file)


def test_a_file_of_another_content_under_the_models_name_is_replaced(zoo: Zoo, file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"half a model")
    assert pull(zoo.url, file)
    assert file.read_bytes() == zoo.content


@pytest.mark.parametrize("status", [404, 416, 500])
def test_a_refusal_says_what_to_do(zoo: Zoo, file: Path, status: int) -> None:
    zoo.status = status
    with pytest.raises(ModelError, match="cannot be fetched"):
        pull(zoo.url, file)
    assert not file.exists()


def test_offline_is_told_from_a_bug(file: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be fetched \(.*refused.*bring the file by hand to"):
        pull("http://127.0.0.1:1/model", file)


def test_a_place_that_cannot_be_written_is_named(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="cannot be written"):
        pull(zoo.url, tmp_path / "models" / NAME)
