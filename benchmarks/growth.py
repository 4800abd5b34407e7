"""How cost grows with the number of cameras, of faces in a frame, and of zones: curves with their exponents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from app.footage import footage_cameras
from benchmarks.figures import Chart, Figure, Goal, Row, number
from benchmarks.processes import ROOMY, pipeline, spent, stages
from benchmarks.session import configured
from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import Emotions, Faces, FrameRef
from ingest.cameras import IngestRun
from simulator.match import Match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.processes import Stages
    from benchmarks.session import Session
    from crowdmood.core.settings import Settings

CAMERAS: Final = (1, 4, 16, 64)
FACES: Final = (10, 100, 1000, 3000)
ZONES: Final = (1, 4, 16, 64)
_SAMPLE_FPS: Final = 5
_WINDOWS_S: Final = 12
_LINEAR: Final = 1.05
"""Largest exponent that counts as linear on a machine with some noise."""


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the power of the size with which the cost grows: the slope of the line through their logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def steepest(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the exponent between the two largest sizes, where a constant cost of each frame hides the least."""
    return exponent(sizes[-2:], costs[-2:])


def cameras(session: Session) -> Figure:
    """Measure real processes with more and more cameras, which replay a small clip at a low rate."""
    kind = session.kinds()[-1]
    counts = session.size(CAMERAS, CAMERAS[:2])
    seconds = session.size(20, 3)
    video = session.rendered("small", Match(seconds / 60, 1, 20, 1, (640, 360))) / "stand-1.mp4"
    rows: list[Row] = []
    for count in counts:
        described = footage_cameras([video] * count)
        settings = configured(kind, 24, cameras=described, ingest={"sample_fps": 1, "speed": 1})
        with pipeline(settings) as running:
            running.start("aggregator", "classifier")
            running.start("detector", workers=settings.run.detectors)
            before = running.usage()
            running.start("ingest")
            # Before the end: a process that has ended has no usage.
            running.wait(lambda wanted=0.9 * count * seconds: running.counted()[0] >= wanted)  # type: ignore[misc]
            usage, (frames, _) = running.usage(), running.counted()
            running.wait(running.ended)
        taken = spent(before, usage)
        memory = {name: one.peak_mb for name, one in usage.items()}
        rows.append(
            {
                "cameras": count,
                "processor s": sum(taken.values()),
                "ms a frame": 1000 * sum(taken.values()) / frames,
                "aggregator, ms a frame": 1000 * taken["aggregator"] / frames,
                "ingest, MB": memory.get("ingest-0"),
                "all processes, MB": sum(memory.values()),
            }
        )
    memory_mb = [number(row, "all processes, MB") for row in rows]
    a_camera = (memory_mb[-1] - memory_mb[0]) / (counts[-1] - counts[0])
    return _figure(
        "cameras",
        rows,
        Chart("cameras", ["processor s", "all processes, MB"], "seconds of processor time, megabytes", log=True),
        f"Each camera replays {seconds} s of 640x360 at one frame a second and real pace ({kind}); processes are "
        f"loaded before the clock starts, except ingest. A further camera takes {a_camera:.1f} MB in all processes "
        "together.",
    )


def faces(session: Session) -> Figure:
    """Measure every stage on frames of one size with more and more people in them."""
    kind = session.kinds()[-1]
    size = session.size((3840, 2160), (1280, 720))
    rows: list[Row] = []
    for people in session.size(FACES, FACES[:2]):
        video = session.rendered("faces", Match(1 / 60, 1, people, _SAMPLE_FPS, size)) / "stand-1.mp4"
        settings = configured(kind, 20, cameras=footage_cameras([video]), ingest={"speed": "max"}, bus=ROOMY)
        with stages(settings) as running:
            costs = {"ingest": running.run("ingest")}
            jpeg_bytes = [len(fields[b"jpeg"]) for fields in running.entries("frames")]
            costs["detector"] = running.run("detector")
            entries = running.entries("faces")
        found = [Faces.from_fields(fields) for fields in entries]
        # The aggregator's work is constant once its windows are full: the same faces are repeated until then.
        frames = _WINDOWS_S * _SAMPLE_FPS
        with stages(settings) as running:
            _repeat(running, settings, found, frames)
            costs |= {name: running.run(name) for name in ("classifier", "aggregator")}
        count = {"ingest": len(found), "detector": len(found)}
        row: Row = {"people": people, "faces found": float(np.mean([len(one.boxes) for one in found]))}
        row |= {f"{name}, ms a frame": 1000 * cost.whole_s / count.get(name, frames) for name, cost in costs.items()}
        row["of it servers, ms"] = 1000 * sum(cost.servers_s / count.get(name, frames) for name, cost in costs.items())
        row["JPEG, MB"] = float(np.mean(jpeg_bytes)) / 1e6
        row["faces, MB"] = float(np.mean([sum(map(len, fields.values())) for fields in entries])) / 1e6
        rows.append(row)
    columns = [name for name in rows[0] if name.endswith("ms a frame")]
    return _figure(
        "faces a frame",
        rows,
        Chart("faces found", columns, "milliseconds of processor time a frame", log=True),
        f"Frames of {size[0]}x{size[1]} with {kind}; the aggregator's windows of 10 s at {_SAMPLE_FPS} frames a "
        "second. Milliseconds of processor time a frame, servers included.",
    )


def zones(session: Session) -> Figure:
    """Measure the aggregator with 64 cameras of 20 faces each, and zones of four cameras each."""
    count = session.size(64, 8)
    frames = _WINDOWS_S * 2
    rng = np.random.default_rng(0)
    described = [{"id": f"camera-{n}", "uri": f"{n}.mp4"} for n in range(count)]
    rows: list[Row] = []
    for zones in session.size(ZONES, ZONES[:2]):
        named = {f"zone-{z}": [f"camera-{(z * count // zones + n) % count}" for n in range(4)] for z in range(zones)}
        settings = configured("haar", 40, cameras=described, zones=named, bus=ROOMY)
        with stages(settings) as running:
            _publish_emotions(running, settings, frames, rng)
            taken = running.run("aggregator").whole_s
        rows.append(
            {"zones": zones, "moods a second of footage": 1 + zones + count, "ms a window": 1000 * taken / _WINDOWS_S}
        )
    return _figure(
        "zones",
        rows,
        Chart("zones", ["ms a window"], "milliseconds of the aggregator's processor time", log=True),
        f"{count} cameras of 20 faces at 2 frames a second, zones of four cameras each; every camera and the stadium "
        "have a mood as well.",
    )


def _repeat(running: Stages, settings: Settings, found: Sequence[Faces], frames: int) -> None:
    """Publish the same faces again and again as the footage of one camera."""
    run = IngestRun(settings.cameras[0], settings.run_id)
    running.bus.publish([("control", run.opening())])
    for place in range(frames):
        faces = found[place % len(found)]
        ref = _ref(run, place, faces.ref.width, faces.ref.height)
        running.bus.publish([("faces", replace(faces, ref=ref))])
    running.bus.publish([("control", run.state("ended", frame_count=frames))])


def _publish_emotions(running: Stages, settings: Settings, frames: int, rng: np.random.Generator) -> None:
    """Publish classified faces of every camera, to the end of its footage."""
    left, top = np.meshgrid(np.arange(5) * 200, np.arange(4) * 150)
    corner = np.stack([left.ravel(), top.ravel()], axis=1)
    boxes = np.concatenate([corner, corner + 60], axis=1).astype(np.int32)
    runs = [IngestRun(camera, settings.run_id) for camera in settings.cameras]
    running.bus.publish([("control", run.opening()) for run in runs])
    ones = np.ones(len(boxes), np.float16)
    for place in range(frames):
        for run in runs:
            probabilities = rng.dirichlet(np.ones(len(LABELS)), len(boxes)).astype(np.float16)
            ref = _ref(run, place, 1280, 720, fps=2)
            running.bus.publish([("emotions", Emotions(ref, boxes, probabilities, ones, ones, "bench/none", "haar"))])
    running.bus.publish([("control", run.state("ended", frame_count=frames)) for run in runs])


def _ref(run: IngestRun, number: int, width: int, height: int, fps: int = _SAMPLE_FPS) -> FrameRef:
    return FrameRef(run.camera.id, run.run_id, number, number * 1000 // fps, width, height, recorded=True)


def _figure(what: str, rows: Sequence[Row], chart: Chart, note: str) -> Figure:
    """Return the curves with the exponent of each, which should be linear at most."""
    sizes = [number(row, chart.x) for row in rows]
    costs = {column: [number(row, column) for row in rows] for column in chart.y}
    exponents = "; ".join(
        f"{name}: {exponent(sizes, values):.2f} overall, {steepest(sizes, values):.2f} at the end"
        for name, values in costs.items()
    )
    return Figure(
        title=f"Growth: {what}",
        rows=rows,
        chart=chart,
        goals=[
            Goal(f"growth with {what}, {name}: exponent at the end", _LINEAR, steepest(sizes, values), at_least=False)
            for name, values in costs.items()
        ],
        notes=[note, f"Exponents: {exponents}."],
    )
