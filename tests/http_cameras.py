"""Live cameras that send motion JPEG over HTTP, and fail as a test wants."""

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


def images_of(clip: Path, every_s: float = 0.2, seconds: float = 4.0) -> list[bytes]:
    """Return frames of the first seconds of a clip as JPEG, one every `every_s` seconds."""
    found: list[bytes] = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            if frame.time >= seconds:
                break
            if frame.time >= len(found) * every_s:
                found.append(simplejpeg.encode_jpeg(frame.to_ndarray(format="rgb24"), 85))
    return found


class HttpCamera(http.server.ThreadingHTTPServer):
    """A camera that sends images again and again.

    Attributes:
        mode: `run`; `freeze` (it repeats one image); `stall` (it keeps the connection and sends nothing); `gone`.
        fps: Images a second.
    """

    daemon_threads = True

    def __init__(self, images: Sequence[bytes], fps: float) -> None:
        super().__init__(("127.0.0.1", 0), _Stream)
        self.images = images
        self.fps = fps
        self.mode = "run"

    @property
    def uri(self) -> str:
        return f"http://eye:s3cret@127.0.0.1:{self.server_port}/stream"


class _Stream(http.server.BaseHTTPRequestHandler):
    server: HttpCamera

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
                jpeg = self.server.images[number % len(self.server.images)]
            try:
                if self.server.mode != "stall":
                    self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                    self.wfile.write(jpeg + b"\r\n")
            except OSError:
                return
            due_s = max(due_s + 1 / self.server.fps, time.monotonic() - 1)
            time.sleep(max(0.0, due_s - time.monotonic()))


@contextmanager
def http_camera(images: Sequence[bytes], fps: float = 5.0) -> Iterator[HttpCamera]:
    """Run a camera until the context ends."""
    camera = HttpCamera(images, fps)
    thread = threading.Thread(target=camera.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield camera
    finally:
        camera.mode = "gone"
        camera.shutdown()
        camera.server_close()
        thread.join()
