"""How cost grows with the number of cameras, of faces in a frame, and of zones: curves with their exponents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from app.footage import footage_cameras
from benchmarks.pipeline import pipeline, spent
from benchmarks.results import Chart, Figure, Goal, Row, number
from benchmarks.session import configured
from benchmarks.stages import ROOMY, Stages, stages
from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import Emotions, Faces, FrameRef
from ingest.cameras import IngestRun
from simulator.match import Match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.session import Session
    from crowdmood.core.settings import Settings

CAMERAS: Final = (1, 4, 16, 64)
FACES: Final = (10, 100, 1000, 3000)
ZONES: Final = (1, 4, 16, 64)
_SAMPLE_FPS: Final = 5
_WINDOWS_S: Final = 12
_LINEAR: Final = 1.05
"""An exponent that is no more than linear, measured on a machine that is never quite still."""


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """With which power of the size the cost grows: the slope of the straight line through their logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def steepest(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The same between the two largest sizes, where what every frame costs anyway hides the least."""
    return exponent(sizes[-2:], costs[-2:])


def cameras(session: Session) -> Figure:
    """Real processes; cameras replay a small clip at a low rate."""
    kind = session.kinds()[-1]
    counts = session.size(CAMERAS, CAMERAS[:2])
    seconds = session.size(20, 3)
    video = session.rendered("small", Match(seconds / 60, 1, 20, 1, (640, 360))) / "stand-1.mp4"
    rows: list[Row] = []
    for count in counts:
        cameras = footage_cameras([video] * count)
        settings = configured(kind, 24, cameras=cameras, ingest={"sample_fps": 1, "speed": 1})
        with pipeline(settings) as running:
            running.start("aggregator", "classifier")
            running.start("detector", workers=settings.run.detectors)
            before = running.usage()
            running.start("ingest")
            while running.frames()[0] < count * seconds * 0.9:
                running.check(float("inf"))
            # Just before the end: an ingest that has ended tells nothing any more.
            usage, (frames, _) = running.usage(), running.frames()
            running.wait_for_end()
        taken = spent(before, usage)
        memory = {name: one.peak_mb for name, one in usage.items()}
        rows.append(
            {
                "cameras": count,
                "processor s": sum(taken.values()),
                "ms a frame": 1000 * sum(taken.values()) / frames,
                "aggregator, ms a frame": 1000 * taken["aggregate"] / frames,
                "ingest, MB": memory.get("ingest-0"),
                "all processes, MB": sum(memory.values()),
            }
        )
    cost = [number(row, "processor s") for row in rows]
    memory_mb = [number(row, "all processes, MB") for row in rows]
    a_camera = (memory_mb[-1] - memory_mb[0]) / (counts[-1] - counts[0])
    return _figure(
        "Cameras",
        rows,
        counts,
        {"processor time, s": cost, "memory, MB": memory_mb},
        "cameras",
        "seconds of processor time, megabytes",
        [
            f"Each camera replays {seconds} s of 640x360 at one frame a second and real pace ({kind}); processes are "
            f"loaded before the clock starts, ingest's own start is in it. A further camera takes {a_camera:.1f} MB "
            "in all processes together.",
        ],
    )


def faces(session: Session) -> Figure:
    """Every stage on frames of one size with more and more people in them."""
    kind = session.kinds()[-1]
    rows: list[Row] = []
    for people in session.size(FACES, FACES[:2]):
        size = session.size((3840, 2160), (1280, 720))
        video = session.rendered("faces", Match(1 / 60, 1, people, _SAMPLE_FPS, size)) / "stand-1.mp4"
        settings = configured(kind, 20, cameras=footage_cameras([video]), ingest={"speed": "max"}, bus=ROOMY)
        with stages(settings) as running:
            taken = {"ingest": running.run("ingest")}
            jpeg_bytes = [len(fields[b"jpeg"]) for _, fields in running.entries("frames")]
            taken["detector"] = running.run("detector")
            entries = [fields for _, fields in running.entries("faces")]
        face_bytes = [sum(map(len, fields.values())) for fields in entries]
        seen = [Faces.from_fields(fields) for fields in entries]
        # The windows must be full before the aggregator's work is what it always is: the same faces, on and on.
        frames = _WINDOWS_S * _SAMPLE_FPS
        with stages(settings) as running:
            _again(running, settings, seen, frames)
            later = {name: running.run(name) for name in ("classifier", "aggregator")}
        of_frame = [(name, spent, len(seen)) for name, spent in taken.items()]
        of_frame += [(name, spent, frames) for name, spent in later.items()]
        row: Row = {"people": people, "faces found": float(np.mean([len(one.boxes) for one in seen]))}
        row |= {f"{name}, ms a frame": 1000 * spent.whole_s / count for name, spent, count in of_frame}
        row["of it servers, ms"] = 1000 * sum(spent.servers_s / count for _, spent, count in of_frame)
        row |= {"JPEG, MB": float(np.mean(jpeg_bytes)) / 1e6, "faces, MB": float(np.mean(face_bytes)) / 1e6}
        rows.append(row)
    columns = [name for name in rows[0] if name.endswith("ms a frame")]
    series = {name.partition(",")[0]: [number(row, name) for row in rows] for name in columns}
    return _figure(
        "Faces a frame",
        rows,
        [number(row, "faces found") for row in rows],
        series,
        "faces found in a frame",
        "milliseconds of processor time a frame",
        [
            f"Frames of {size[0]}x{size[1]} with {kind}; the aggregator's windows of 10 s at {_SAMPLE_FPS} frames a "
            "second. Milliseconds of processor time a frame, servers included.",
        ],
    )


def _again(running: Stages, settings: Settings, seen: Sequence[Faces], frames: int) -> None:
    """The same faces on the bus, again and again, as one camera's whole footage."""
    camera = IngestRun(settings.cameras[0], settings.run_id)
    running.bus.publish([("control", camera.opening())])
    for place in range(frames):
        faces = seen[place % len(seen)]
        ref = _ref(camera.camera.id, settings.run_id, place, faces.ref.width, faces.ref.height)
        running.bus.publish([("faces", replace(faces, ref=ref))])
    running.bus.publish([("control", camera.state("ended", frame_count=frames))])


def zones(session: Session) -> Figure:
    """The aggregator with 64 cameras of 20 faces each, and zones of four cameras each."""
    count = session.size(64, 8)
    frames = _WINDOWS_S * 2
    rng = np.random.default_rng(0)
    cameras = [{"id": f"camera-{n}", "uri": f"{n}.mp4"} for n in range(count)]
    rows: list[Row] = []
    for zones in session.size(ZONES, ZONES[:2]):
        named = {f"zone-{z}": [f"camera-{(z * count // zones + n) % count}" for n in range(4)] for z in range(zones)}
        settings = configured("haar", 40, cameras=cameras, zones=named, bus=ROOMY)
        with stages(settings) as running:
            _emotions(running, settings, frames, rng)
            taken = running.run("aggregator").whole_s
        rows.append(
            {"zones": zones, "moods a second of footage": 1 + zones + count, "ms a window": 1000 * taken / _WINDOWS_S}
        )
    return _figure(
        "Zones",
        rows,
        [number(row, "zones") for row in rows],
        {"aggregator": [number(row, "ms a window") for row in rows]},
        "zones of four cameras each",
        "milliseconds of processor time a window",
        [f"{count} cameras of 20 faces at 2 frames a second; every camera and the stadium have a mood besides."],
    )


def _emotions(running: Stages, settings: Settings, frames: int, rng: np.random.Generator) -> None:
    """Judged faces of every camera on the bus, to their end."""
    left, top = np.meshgrid(np.arange(5) * 200, np.arange(4) * 150)
    corner = np.stack([left.ravel(), top.ravel()], axis=1)
    boxes = np.concatenate([corner, corner + 60], axis=1).astype(np.int32)
    runs = [IngestRun(camera, settings.run_id) for camera in settings.cameras]
    running.bus.publish([("control", run.opening()) for run in runs])
    ones = np.ones(len(boxes), np.float16)
    for place in range(frames):
        for run in runs:
            ref = _ref(run.camera.id, run.run_id, place, 1280, 720, fps=2)
            told = rng.dirichlet(np.ones(len(LABELS)), len(boxes)).astype(np.float16)
            running.bus.publish([("emotions", Emotions(ref, boxes, told, ones, ones, "bench/none", "haar"))])
    running.bus.publish([("control", run.state("ended", frame_count=frames)) for run in runs])


def _ref(camera_id: str, run_id: str, number: int, width: int, height: int, fps: int = _SAMPLE_FPS) -> FrameRef:
    return FrameRef(camera_id, run_id, number, number * 1000 // fps, width, height, recorded=True)


def _figure(
    title: str,
    rows: Sequence[Row],
    sizes: Sequence[float],
    series: dict[str, list[float]],
    x_label: str,
    y_label: str,
    notes: list[str],
) -> Figure:
    """A curve with the exponents of each of its series."""
    told = [
        f"{name}: {exponent(sizes, values):.2f} overall, {steepest(sizes, values):.2f} at the end"
        for name, values in series.items()
    ]
    return Figure(
        title=f"Growth: {title.lower()}",
        rows=rows,
        chart=Chart([float(size) for size in sizes], series, x_label, y_label, log=True),
        goals=[
            Goal(
                f"growth with {x_label}, {name}: exponent at the end", _LINEAR, steepest(sizes, values), at_least=False
            )
            for name, values in series.items()
        ],
        notes=[*notes, "Exponents: " + "; ".join(told) + "."],
    )
