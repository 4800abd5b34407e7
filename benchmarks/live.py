"""Live cameras for ten minutes at three loads: from capture to `GET /mood`, and what each process's memory does."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from app.footage import footage_cameras
from benchmarks.cameras import cameras
from benchmarks.pipeline import pipeline, replayed
from benchmarks.results import Chart, Figure, Goal, Row, number
from benchmarks.session import configured, free_port, jpegs
from crowdmood.domain.mood import to_ms

if TYPE_CHECKING:
    from benchmarks.cameras import Cameras
    from benchmarks.pipeline import Pipeline, Usage
    from benchmarks.session import Session

LOADS: Final = (0.25, 0.5, 0.8)
_CAMERAS: Final = 4
_ASK_EVERY_S: Final = 0.05
_LOOK_EVERY_S: Final = 5.0
_MIN_FACE_PX: Final = 40
_PICTURES: Final = 60
_GRACE_S: Final = 15.0
_GOAL_S: Final = 1.0


@dataclass(slots=True)
class Watched:
    """What was seen of a run.

    Attributes:
        told: When `GET /mood` first gave each window, and the window's end, both in seconds since 1970.
        usage: At some times since the start, in seconds, what each process took.
    """

    told: list[tuple[float, float]] = field(default_factory=list)
    usage: list[tuple[float, dict[str, Usage]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Level:
    """One load.

    Attributes:
        load: Share of the capacity.
        offered_per_s: Frames a second of all cameras.
        counted: Frames that were counted.
        lost: Frames that were lost.
        captured_s: When each frame was captured, in seconds since 1970.
    """

    load: float
    offered_per_s: float
    counted: int
    lost: int
    captured_s: list[float]


def measure(session: Session) -> dict[str, Figure]:
    """Measure the capacity, then run at each load."""
    kind = session.kinds()[-1]
    video = session.match() / "stand-1.mp4"
    capacity = _capacity(session, kind)
    pictures = jpegs(video, _PICTURES)
    level_s = session.size(session.level_s, 12.0)
    with cameras(pictures) as seen:
        described = [{"id": f"camera-{n}", "uri": seen.address(n)} for n in range(_CAMERAS)]
        # Every frame that a camera sends is taken: the cameras set the pace.
        settings = configured(
            kind, _MIN_FACE_PX, cameras=described, ingest={"sample_fps": 120}, api={"port": free_port()}
        )
        with pipeline(settings) as running:
            running.start("api", "aggregator", "classifier")
            running.start("detector", workers=settings.run.detectors)
            running.start("ingest")
            watched = Watched()
            stop = threading.Event()
            thread = threading.Thread(target=_ask, args=(settings.api.port, watched, stop))
            thread.start()
            try:
                levels = [_level(load, capacity, level_s, seen, running, watched) for load in LOADS]
                # The last frames are waited for as well: those of an overloaded pipeline come late.
                time.sleep(_GRACE_S)
            finally:
                stop.set()
                thread.join()
    window_s = settings.aggregator.window_s
    return {"latency": _latency(levels, watched, capacity, kind, window_s), "memory": _memory(watched, level_s)}


def first_mood_after(captured_s: list[float], told: list[tuple[float, float]]) -> list[float]:
    """From each capture to the first answer whose window ends after it, in seconds; frames without one are left out.

    Args:
        captured_s: Times of capture.
        told: When a window's mood was first told, and the window's end, in the order in which they were told.
    """
    ends = np.array([end_s for _, end_s in told])
    at = np.array([at_s for at_s, _ in told])
    # A late answer about an older window tells nothing new: the newest window so far counts.
    places: list[int] = np.searchsorted(np.maximum.accumulate(ends), captured_s, side="right").tolist() if told else []
    return [float(at[i] - captured) for captured, i in zip(captured_s, places, strict=False) if i < len(at)]


def _capacity(session: Session, kind: str) -> float:
    """Frames a second of the same footage at full speed."""
    videos = sorted(session.match().glob("*.mp4"))
    settings = configured(kind, _MIN_FACE_PX, cameras=footage_cameras(videos), ingest={"speed": "max"})
    return replayed(settings)[1]


def _level(load: float, capacity: float, seconds: float, seen: Cameras, running: Pipeline, watched: Watched) -> Level:
    offered = load * capacity
    (counted, _), lost, sent = running.frames(), running.lost(), len(seen.sent_s)
    started_s = time.monotonic()
    seen.fps = offered / _CAMERAS
    while (left_s := started_s + seconds - time.monotonic()) > 0:
        watched.usage.append((time.monotonic(), running.usage()))
        running.check(started_s + seconds + 60)
        time.sleep(min(left_s, _LOOK_EVERY_S))
    (now_counted, _), now_lost = running.frames(), running.lost()
    return Level(load, offered, now_counted - counted, now_lost - lost, seen.sent_s[sent:])


def _ask(port: int, watched: Watched, stop: threading.Event) -> None:
    """Ask for the mood again and again, as a board would, but far more often."""
    newest_s = 0.0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while not stop.wait(_ASK_EVERY_S):
        try:
            connection.request("GET", "/mood")
            answer = connection.getresponse()
            told = json.loads(answer.read())
        except OSError:
            connection.close()
            continue
        if answer.status == 200 and told["as_of"] and (end_s := to_ms(told["as_of"]) / 1000) > newest_s:
            newest_s = end_s
            watched.told.append((time.time(), end_s))
    connection.close()


def _latency(levels: list[Level], watched: Watched, capacity: float, kind: str, window_s: float) -> Figure:
    rows: list[Row] = []
    for level in levels:
        latency_s = first_mood_after(level.captured_s, watched.told)
        p50, p95, p99 = np.percentile(latency_s, [50, 95, 99]).tolist()
        rows.append(
            {
                "load": f"{level.load:.0%} of capacity",
                "frames/s": level.offered_per_s,
                "frames counted": level.counted,
                "frames lost": level.lost,
                "p50, s": p50,
                "p95, s": p95,
                "p99, s": p99,
            }
        )
    return Figure(
        title="From capture to GET /mood",
        rows=rows,
        chart=Chart(
            [str(row["load"]) for row in rows],
            {name: [number(row, f"{name}, s") for row in rows] for name in ("p50", "p95", "p99")},
            "",
            "seconds from capture to the first mood that counts the frame",
        ),
        goals=[
            Goal(
                f"p95 from capture to mood at {levels[-1].load:.0%} load, s: window of {window_s:g} s + {_GOAL_S:g} s",
                window_s + _GOAL_S,
                number(rows[-1], "p95, s"),
                at_least=False,
            )
        ],
        notes=[
            f"{_CAMERAS} cameras (motion JPEG over HTTP, 1280x720, 80 people each) with {kind}, from the moment at "
            f"which the camera sends a frame to the answer of `GET /mood` that first counts it; asked every "
            f"{_ASK_EVERY_S * 1000:g} ms. A mood comes every second, so half a second of it is waiting for the next "
            f"one. Capacity, the same footage replayed at full speed: {capacity:.1f} frames/s.",
        ],
    )


def _memory(watched: Watched, level_s: float) -> Figure:
    started_s = watched.usage[0][0]
    minutes = [(at_s - started_s) / 60 for at_s, _ in watched.usage]
    names = list(watched.usage[-1][1])
    series = {name: [usage[name].memory_mb if name in usage else 0.0 for _, usage in watched.usage] for name in names}
    # Each load fills windows anew: only the second half of the last one may say whether something grows.
    last = [i for i, minute in enumerate(minutes) if minute >= minutes[-1] - level_s / 120]
    rows: list[Row] = [
        {
            "process": name,
            "MB at the start": values[0],
            "MB at the end": values[-1],
            "MB at most": watched.usage[-1][1][name].peak_mb,
            "MB a minute, last load": float(np.polyfit([minutes[i] for i in last], [values[i] for i in last], 1)[0])
            if len(last) > 2
            else None,
        }
        for name, values in series.items()
    ]
    total = sum(values[-1] for values in series.values())
    rows.append({"process": "all", "MB at the end": total})
    rows.append({"process": "all, a camera", "MB at the end": total / _CAMERAS})
    return Figure(
        title=f"Memory over {minutes[-1]:.0f} minutes",
        rows=rows,
        chart=Chart(minutes, series, "minutes", "MB resident"),
        notes=[
            f"The run of [latency](#latency): {_CAMERAS} cameras at {', '.join(f'{load:.0%}' for load in LOADS)} of "
            "the capacity, one after the other. What a further camera costs is in [growth](#cameras)."
        ],
    )
