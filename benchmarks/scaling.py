"""Throughput of a stage with one and with two workers: real processes, from a full stream to an empty one."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.classify import frames_of
from benchmarks.figures import Chart, Figure, Goal, Row
from benchmarks.processes import ROOMY, worker_rate
from benchmarks.session import configured, jpegs
from crowdmood.domain.messages import Frame, FrameRef

if TYPE_CHECKING:
    from benchmarks.session import Session

_GOAL: Final = 0.85
_FACES_A_FRAME: Final = 100


def measure(session: Session) -> Figure:
    """Measure detectors and classifiers, one and two of them in turns."""
    images = jpegs(session.match() / "stand-1.mp4", 40)
    counts = session.size({"haar": 30, "yunet": 160}, {"haar": 10, "yunet": 20})
    stages: dict[str, tuple[str, Any, list[Any]]] = {}
    for kind in session.kinds():
        refs = (FrameRef("north", "run", number, number * 200, 1280, 720, True) for number in range(counts[kind]))
        frames = [Frame(ref, images[ref.frame_id % len(images)]) for ref in refs]
        stages[f"detector, {kind}"] = "detector", configured(kind, 40, bus=ROOMY), frames
    crops = np.random.default_rng(0).integers(0, 256, (_FACES_A_FRAME, 48, 48), dtype=np.uint8)
    one_thread = configured("haar", 40, bus=ROOMY, classifier={"threads": 1})
    stages["classifier"] = "classifier", one_thread, frames_of(crops, _FACES_A_FRAME, session.size(300, 40))
    rounds = session.size(3, 1)
    rows: list[Row] = []
    goals = []
    for name, (stage, settings, messages) in stages.items():
        pairs = [
            [worker_rate(stage, settings, messages, workers, pinned=True) for workers in (1, 2)] for _ in range(rounds)
        ]
        one, two = (statistics.median(rates) for rates in zip(*pairs, strict=True))
        of_twice = statistics.median(b / a / 2 for a, b in pairs)
        rows.append({"stage": name, "frames/s, 1 worker": one, "frames/s, 2 workers": two, "of twice": of_twice})
        goals.append(Goal(f"{name}: two workers over twice one", _GOAL, of_twice))
    return Figure(
        title="One worker and two",
        rows=rows,
        chart=Chart("stage", ["frames/s, 1 worker", "frames/s, 2 workers"], "frames a second", log=True),
        goals=goals,
        notes=[
            "From a full stream to an empty one; workers are warm and have a core each, the server has none of its "
            f"own: one classifier alone needs more than a core. Medians of {rounds} rounds. Detectors get a match as "
            f"in `make demo`, classifiers {_FACES_A_FRAME} faces a frame. The aggregator has one leader at a time, by "
            "design; each ingest process has cameras of its own.",
        ],
    )
