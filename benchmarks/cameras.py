"""Live cameras for measurements: motion JPEG over HTTP, at a pace that can be changed while they run."""

from __future__ import annotations

import http.server
import threading
import time
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BOUNDARY: Final = b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
_REST_S: Final = 0.05


class Cameras(http.server.ThreadingHTTPServer):
    """Cameras that all see the same pictures, one after the other.

    Attributes:
        fps: Frames a second of each camera; 0 lets them wait.
        sent_s: When each frame was captured, of all cameras, in seconds since 1970-01-01 UTC.
    """

    daemon_threads = True

    def __init__(self, pictures: Sequence[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Camera)
        self.pictures = pictures
        self.fps = 0.0
        self.sent_s: list[float] = []
        self.open = True

    def address(self, number: int) -> str:
        """Where a camera is."""
        return f"http://127.0.0.1:{self.server_port}/{number}"


class _Camera(http.server.BaseHTTPRequestHandler):
    server: Cameras

    def log_message(self, *_: object) -> None:
        """Nothing: a measurement has its own words."""

    def do_GET(self) -> None:
        """Send frames until the end; each camera begins with another one."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        number = int(self.path.strip("/"))
        first = number * 7 % len(self.server.pictures)
        due_s = time.monotonic()
        for picture in cycle([*self.server.pictures[first:], *self.server.pictures[:first]]):
            while self.server.open and not self.server.fps:
                time.sleep(_REST_S)
            pause_s = 1 / (self.server.fps or 1)
            # Behind by more than a frame, e.g. after a rest: a camera makes nothing up.
            due_s = max(due_s + pause_s, time.monotonic() - pause_s)
            time.sleep(max(0.0, due_s - time.monotonic()))
            if not self.server.open:
                return
            at_s = time.time()
            try:
                self.wfile.write(_BOUNDARY % len(picture) + picture + b"\r\n")
            except OSError:
                return
            self.server.sent_s.append(at_s)


@contextmanager
def cameras(pictures: Sequence[bytes]) -> Iterator[Cameras]:
    """Cameras that can be reached until the context ends."""
    with Cameras(pictures) as server:
        thread = threading.Thread(target=server.serve_forever, args=(_REST_S,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.open = False
            server.shutdown()
            thread.join()
