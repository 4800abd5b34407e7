"""Processor time of a frame and of a face in each stage, and the share of Redis and coding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.footage import footage_cameras
from benchmarks.figures import Chart, Figure, Goal, Row, number
from benchmarks.processes import ROOMY, STAGES, Cost, stages
from benchmarks.session import configured
from crowdmood.core.settings import required_url
from crowdmood.store.moods import MoodStore

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.session import Session

_GOAL: Final = 0.2


def measure(session: Session) -> Figure:
    """Run both simulated crowds through every stage."""
    kind = session.kinds()[-1]
    rows: list[Row] = []
    plotted: list[Row] = []
    goals = []
    for clip, folder, min_face_px in (("match", session.match(), 40), ("dense crowd", session.dense(), 20)):
        by_stage, frames, faces = costs_of(folder / "stand-1.mp4", kind, min_face_px)
        of_stages = [_row(f"{clip}: {stage}", cost, frames, faces) for stage, cost in by_stage.items()]
        total = sum(by_stage.values(), Cost())
        rows += [*of_stages, _row(f"{clip}: all stages", total, frames, faces)]
        plotted += [
            row | {"of it Redis and coding": sum(number(row, f"{part}, ms") for part in ("Redis", "messages", "JPEG"))}
            for row in of_stages
        ]
        share = (total.redis_s + total.coding_s) / total.whole_s
        goals.append(Goal(f"Redis and coding, share of the processor time, {clip}", _GOAL, share, at_least=False))
    return Figure(
        title="Processor time by stage",
        rows=rows,
        chart=Chart("stage", ["ms a frame", "of it Redis and coding"], "milliseconds of processor time a frame"),
        plotted=plotted,
        goals=goals,
        notes=[
            f"Detector: {kind}. Redis is the server and the client's side of each call; messages are their coding and "
            "decoding; JPEG is ingest's encoding and the detector's decoding. A time by face is the stage's whole "
            "time over all faces.",
        ],
    )


def costs_of(video: Path, kind: str, min_face_px: int) -> tuple[dict[str, Cost], int, int]:
    """Return what footage costs each stage, and the frames and faces that were counted."""
    settings = configured(kind, min_face_px, cameras=footage_cameras([video]), ingest={"speed": "max"}, bus=ROOMY)
    with stages(settings) as running:
        by_stage = {stage: running.run(stage) for stage in STAGES}
        store = MoodStore(required_url(running.settings.state_url, "state"), settings.bus.key_prefix)
        (row,) = store.cameras().values()
        store.close()
    return by_stage, row["frames"], row["faces"]


def _row(name: str, cost: Cost, frames: int, faces: int) -> Row:
    a_frame = 1000 / max(frames, 1)
    return {
        "stage": name,
        "ms a frame": cost.whole_s * a_frame,
        "µs a face": cost.whole_s * 1e6 / faces if faces else None,
        "Redis, ms": cost.redis_s * a_frame,
        "messages, ms": cost.parts_s["messages"] * a_frame,
        "JPEG, ms": cost.parts_s["jpeg"] * a_frame,
        "Redis and coding, %": 100 * (cost.redis_s + cost.coding_s) / cost.whole_s if cost.whole_s else None,
    }
