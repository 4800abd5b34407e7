"""Live cameras for ten minutes at three loads: from capture to `GET /mood`, and the memory of each process."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
import time
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Final

import numpy as np

from app.footage import footage_cameras
from benchmarks.figures import Chart, Figure, Goal, Row, number
from benchmarks.processes import pipeline, replayed
from benchmarks.session import configured, free_port, jpegs
from crowdmood.domain.mood import to_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.processes import Usage
    from benchmarks.session import Session

LOADS: Final = (0.25, 0.5, 0.8)
_CAMERAS: Final = 4
_ASK_EVERY_S: Final = 0.05
_OBSERVE_EVERY_S: Final = 5.0
_MIN_FACE_PX: Final = 40
_LAST_MOODS_S: Final = 15.0
_GOAL_S: Final = 1.0


class Cameras(http.server.ThreadingHTTPServer):
    """Cameras that send the same images as motion JPEG over HTTP, each from another one on.

    Attributes:
        fps: Frames a second of each camera; 0 pauses them.
        sent_s: When each frame was sent, of all cameras, in seconds since 1970-01-01 UTC.
    """

    daemon_threads = True

    def __init__(self, images: Sequence[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Camera)
        self.images = images
        self.fps = 0.0
        self.sent_s: list[float] = []
        self.open = True


class _Camera(http.server.BaseHTTPRequestHandler):
    server: Cameras

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        """Send frames until the cameras close."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        images = self.server.images
        first = int(self.path.strip("/")) * 7 % len(images)
        due_s = time.monotonic()
        for image in cycle([*images[first:], *images[:first]]):
            while self.server.open and not self.server.fps:
                time.sleep(0.05)
            pause_s = 1 / (self.server.fps or 1)
            # A camera that is late by more than a frame, e.g. after a pause, does not catch up.
            due_s = max(due_s + pause_s, time.monotonic() - pause_s)
            time.sleep(max(0.0, due_s - time.monotonic()))
            if not self.server.open:
                return
            at_s = time.time()
            try:
                head = b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(image)
                self.wfile.write(head + image + b"\r\n")
            except OSError:
                return
            self.server.sent_s.append(at_s)


@contextmanager
def cameras(images: Sequence[bytes]) -> Iterator[Cameras]:
    """Run cameras until the context ends; each path is another one."""
    with Cameras(images) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.open = False
            server.shutdown()
            thread.join()


def measure(session: Session) -> dict[str, Figure]:
    """Measure the capacity, then run live cameras at each load."""
    kind = session.kinds()[-1]
    videos = sorted(session.match().glob("*.mp4"))
    recorded = configured(kind, _MIN_FACE_PX, cameras=footage_cameras(videos), ingest={"speed": "max"})
    capacity = replayed(recorded)[1]
    level_s = session.size(session.level_s, 12.0)
    usage: list[tuple[float, dict[str, Usage]]] = []
    first_seen: list[tuple[float, float]] = []
    rows: list[Row] = []
    sent: list[tuple[int, int]] = []
    with cameras(jpegs(videos[0], 60)) as live:
        described = [{"id": f"camera-{n}", "uri": f"http://127.0.0.1:{live.server_port}/{n}"} for n in range(_CAMERAS)]
        # Every frame that a camera sends is sampled: the cameras set the pace.
        settings = configured(
            kind, _MIN_FACE_PX, cameras=described, ingest={"sample_fps": 120}, api={"port": free_port()}
        )
        with pipeline(settings) as running:
            running.start("api", "aggregator", "classifier")
            running.start("detector", workers=settings.run.detectors)
            running.start("ingest")
            stop = threading.Event()
            thread = threading.Thread(target=_ask, args=(settings.api.port, first_seen, stop))
            thread.start()
            try:
                for load in LOADS:
                    before, already, until_s = running.counted(), len(live.sent_s), time.monotonic() + level_s
                    live.fps = load * capacity / _CAMERAS
                    while (left_s := until_s - time.monotonic()) > 0:
                        usage.append((time.monotonic(), running.usage()))
                        running.check()
                        time.sleep(min(left_s, _OBSERVE_EVERY_S))
                    counted, lost = np.subtract(running.counted(), before).tolist()
                    sent.append((already, len(live.sent_s)))
                    rows.append({"load": f"{load:.0%} of capacity", "frames/s": load * capacity})
                    rows[-1] |= {"frames counted": counted, "frames lost": lost}
                time.sleep(_LAST_MOODS_S)  # moods of an overloaded pipeline come late
            finally:
                stop.set()
                thread.join()
    for row, (begin, end) in zip(rows, sent, strict=True):
        latencies_s = first_mood_after(live.sent_s[begin:end], first_seen)
        for percent in (50, 95, 99):
            row[f"p{percent}, s"] = float(np.percentile(latencies_s, percent))
    wanted_s = settings.aggregator.window_s + _GOAL_S
    latency = Figure(
        title="From capture to GET /mood",
        rows=rows,
        chart=Chart("load", ["p50, s", "p95, s", "p99, s"], "seconds from capture to the first mood with the frame"),
        goals=[
            Goal(
                f"p95 from capture to mood at {LOADS[-1]:.0%} load, s: "
                f"window of {settings.aggregator.window_s:g} s + {_GOAL_S:g} s",
                wanted_s,
                number(rows[-1], "p95, s"),
                at_least=False,
            )
        ],
        notes=[
            f"{_CAMERAS} cameras (motion JPEG over HTTP, 1280x720, 80 people each) with {kind}, from the time at "
            f"which the camera sends a frame to the answer of `GET /mood` that first counts it; asked every "
            f"{_ASK_EVERY_S * 1000:g} ms. A mood comes every second, so half a second of it is waiting for the next "
            f"one. Capacity, the same footage replayed at full speed: {capacity:.1f} frames/s.",
        ],
    )
    return {"latency": latency, "memory": memory(usage, level_s)}


def _ask(port: int, first_seen: list[tuple[float, float]], stop: threading.Event) -> None:
    """Note when `GET /mood` first has each window, and the window's end, in seconds since 1970."""
    newest_s = 0.0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while not stop.wait(_ASK_EVERY_S):
        try:
            connection.request("GET", "/mood")
            answer = connection.getresponse()
            mood = json.loads(answer.read())
        except OSError:
            connection.close()
            continue
        if answer.status == 200 and mood["as_of"] and (end_s := to_ms(mood["as_of"]) / 1000) > newest_s:
            newest_s = end_s
            first_seen.append((time.time(), end_s))
    connection.close()


def first_mood_after(captured_s: Sequence[float], first_seen: Sequence[tuple[float, float]]) -> list[float]:
    """Return the seconds from each capture to the first mood whose window ends after it, without frames that have none.

    Args:
        captured_s: Times of capture.
        first_seen: When a window's mood was first seen, and the window's end, in the order in which they were seen.
    """
    if not first_seen:
        return []
    at_s, ends_s = np.array(first_seen).T
    # A late mood of an older window adds nothing: the newest window so far counts.
    places: list[int] = np.searchsorted(np.maximum.accumulate(ends_s), captured_s, side="right").tolist()
    return [float(at_s[i] - captured) for captured, i in zip(captured_s, places, strict=True) if i < len(at_s)]


def memory(usage: Sequence[tuple[float, dict[str, Usage]]], level_s: float) -> Figure:
    """Return the figure about the memory of each process.

    Args:
        usage: Observations: a time in seconds, and each process's usage.
        level_s: Length of each load in seconds.
    """
    minutes = [(at_s - usage[0][0]) / 60 for at_s, _ in usage]
    names = list(usage[-1][1])
    plotted: list[Row] = [
        {"minutes": minute, **{name: seen[name].memory_mb if name in seen else 0.0 for name in names}}
        for minute, (_, seen) in zip(minutes, usage, strict=True)
    ]
    # Each load fills windows: only the second half of the last one shows whether something grows.
    last = [row for row in plotted if number(row, "minutes") >= minutes[-1] - level_s / 120]
    rows: list[Row] = []
    for name in names:
        at, values = ([number(row, column) for row in last] for column in ("minutes", name))
        rows.append(
            {
                "process": name,
                "MB at the start": plotted[0][name],
                "MB at the end": plotted[-1][name],
                "MB at most": usage[-1][1][name].peak_mb,
                "MB a minute, last load": float(np.polyfit(at, values, 1)[0]) if len(last) > 2 else None,
            }
        )
    total = sum(number(row, "MB at the end") for row in rows)
    rows += [
        {"process": "all", "MB at the end": total},
        {"process": "all, a camera", "MB at the end": total / _CAMERAS},
    ]
    return Figure(
        title=f"Memory over {minutes[-1]:.0f} minutes",
        rows=rows,
        chart=Chart("minutes", names, "MB resident"),
        plotted=plotted,
        notes=[
            f"The run of [latency](#latency): {_CAMERAS} cameras at {', '.join(f'{load:.0%}' for load in LOADS)} of "
            "the capacity, one after the other. What a further camera costs is in [growth](#cameras)."
        ],
    )
