"""What a frame and a face cost each stage, and how much of it goes to Redis and to coding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.footage import footage_cameras
from benchmarks.results import Chart, Figure, Goal, Row, number
from benchmarks.session import configured
from benchmarks.stages import ROOMY, STAGES, Spent, stages
from crowdmood.core.settings import required_url
from crowdmood.store.moods import MoodStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.session import Session

_GOAL: Final = 0.2


def measure(session: Session) -> Figure:
    """Run both simulated crowds through every stage."""
    kind = session.kinds()[-1]
    clips = {
        "match": (session.match() / "stand-1.mp4", 40),
        "dense crowd": (session.dense() / "stand-1.mp4", 20),
    }
    rows: list[Row] = []
    goals = []
    for clip, (video, min_face_px) in clips.items():
        by_stage, frames, faces = spent_on(video, kind, min_face_px)
        rows += [_row(f"{clip}: {stage}", one, frames, faces) for stage, one in by_stage.items()]
        total = together(by_stage.values())
        rows.append(_row(f"{clip}: all stages", total, frames, faces))
        share = (total.redis_s + total.coding_s) / total.whole_s
        goals.append(Goal(f"Redis and coding, share of the processor time, {clip}", _GOAL, share, at_least=False))
    shown = [row for row in rows if "all" not in str(row["stage"])]
    return Figure(
        title="Processor time by stage",
        rows=rows,
        chart=Chart(
            [str(row["stage"]) for row in shown],
            {
                "ms a frame": [number(row, "ms a frame") for row in shown],
                "of it Redis and coding": [
                    number(row, "Redis, ms") + number(row, "messages, ms") + number(row, "JPEG, ms") for row in shown
                ],
            },
            "",
            "milliseconds of processor time a frame",
        ),
        goals=goals,
        notes=[
            f"Detector: {kind}. Redis is the server and the client's side of each call; messages are their coding and "
            "decoding; JPEG is ingest's encoding and the detector's decoding. A time by face is the stage's whole "
            "time over all faces.",
        ],
    )


def spent_on(video: Path, kind: str, min_face_px: int) -> tuple[dict[str, Spent], int, int]:
    """What each stage takes for footage; and the frames and faces that were counted."""
    settings = configured(kind, min_face_px, cameras=footage_cameras([video]), ingest={"speed": "max"}, bus=ROOMY)
    with stages(settings) as running:
        by_stage = {stage: running.run(stage) for stage in STAGES}
        store = MoodStore(required_url(running.settings.state_url, "state"), settings.bus.key_prefix)
        (row,) = store.cameras().values()
        store.close()
    return by_stage, row["frames"], row["faces"]


def together(parts: Iterable[Spent]) -> Spent:
    """The sum of several."""
    total = Spent()
    for one in parts:
        total.own_s += one.own_s
        total.servers_s += one.servers_s
        for part, seconds in one.parts_s.items():
            total.parts_s[part] += seconds
    return total


def _row(name: str, spent: Spent, frames: int, faces: int) -> Row:
    a_frame = 1000 / max(frames, 1)
    return {
        "stage": name,
        "ms a frame": spent.whole_s * a_frame,
        "µs a face": spent.whole_s * 1e6 / faces if faces else None,
        "Redis, ms": spent.redis_s * a_frame,
        "messages, ms": spent.parts_s["messages"] * a_frame,
        "JPEG, ms": spent.parts_s["jpeg"] * a_frame,
        "Redis and coding, %": 100 * (spent.redis_s + spent.coding_s) / spent.whole_s if spent.whole_s else None,
    }
