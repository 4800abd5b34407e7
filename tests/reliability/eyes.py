"""Live cameras on a real network: motion JPEG over HTTP, of people who are really there."""

import http.server
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import simplejpeg


def pictures(clip: Path, every_s: float = 0.2, seconds: float = 4.0) -> list[bytes]:
    """Frames of a clip as JPEG, one every so many seconds of its first ones."""
    found: list[bytes] = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            if frame.time >= seconds:
                break
            if frame.time >= len(found) * every_s:
                found.append(simplejpeg.encode_jpeg(frame.to_ndarray(format="rgb24"), 85))
    return found


class Eye(http.server.ThreadingHTTPServer):
    """A camera that shows pictures again and again.

    Attributes:
        mode: `run`; `freeze` (the same picture again and again); `stall` (it holds the line and is silent); `gone`.
        fps: Pictures a second.
    """

    daemon_threads = True

    def __init__(self, shown: Sequence[bytes], fps: float) -> None:
        super().__init__(("127.0.0.1", 0), _Show)
        self.shown = shown
        self.fps = fps
        self.mode = "run"

    @property
    def uri(self) -> str:
        return f"http://eye:s3cret@127.0.0.1:{self.server_port}/stream"


class _Show(http.server.BaseHTTPRequestHandler):
    server: Eye

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.server.mode == "gone":
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        due_s = time.monotonic()
        jpeg = b""
        for number in itertools.count():
            if self.server.mode == "gone":
                return
            if self.server.mode == "run" or not jpeg:
                jpeg = self.server.shown[number % len(self.server.shown)]
            try:
                if self.server.mode != "stall":
                    self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                    self.wfile.write(jpeg + b"\r\n")
            except OSError:
                return
            due_s = max(due_s + 1 / self.server.fps, time.monotonic() - 1)
            time.sleep(max(0.0, due_s - time.monotonic()))


@contextmanager
def watching(shown: Sequence[bytes], fps: float = 5.0) -> Iterator[Eye]:
    """A camera that is there until the end."""
    eye = Eye(shown, fps)
    thread = threading.Thread(target=eye.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield eye
    finally:
        eye.mode = "gone"
        eye.shutdown()
        eye.server_close()
        thread.join()
