"""Throughput of a stage with one and with two workers: real processes, from a full stream to an empty one."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.pipeline import pipeline
from benchmarks.results import Chart, Figure, Goal, Row, number
from benchmarks.session import configured, jpegs
from benchmarks.stages import ROOMY
from crowdmood.domain.messages import Faces, Frame, FrameRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.session import Session
    from crowdmood.bus.streams import Bus
    from crowdmood.core.settings import Settings
    from crowdmood.domain.messages import Message

_GOAL: Final = 0.85
_FACES_A_FRAME: Final = 100
_INTO: Final[dict[str, tuple[Any, Any]]] = {"detect": ("frames", "faces"), "classify": ("faces", "emotions")}
"""The stream that each command empties, and the one that it fills."""


def measure(session: Session) -> Figure:
    """Measure detectors and classifiers, one and two of them in turns."""
    ways = {f"detector, {kind}": _detecting(session, kind) for kind in session.kinds()}
    ways["classifier"] = _classifying(session)
    rounds = session.size(3, 1)
    rows: list[Row] = []
    goals = []
    for name, (command, settings, messages) in ways.items():
        one, two = [], []
        for _ in range(rounds):
            one.append(rate(command, settings, messages, 1))
            two.append(rate(command, settings, messages, 2))
        # Each pair was measured side by side.
        of_twice = statistics.median(b / a / 2 for a, b in zip(one, two, strict=True))
        rows.append(
            {
                "stage": name,
                "frames/s, 1 worker": statistics.median(one),
                "frames/s, 2 workers": statistics.median(two),
                "of twice": of_twice,
            }
        )
        goals.append(Goal(f"{name}: two workers over twice one", _GOAL, of_twice))
    return Figure(
        title="One worker and two",
        rows=rows,
        chart=Chart(
            [str(row["stage"]) for row in rows],
            {
                "1 worker": [number(row, "frames/s, 1 worker") for row in rows],
                "2 workers": [number(row, "frames/s, 2 workers") for row in rows],
            },
            "",
            "frames a second",
            log=True,
        ),
        goals=goals,
        notes=[
            "From a full stream to an empty one; workers are warm, each on a core of its own, the server wherever it "
            f"likes: one classifier alone takes more than a core. Medians of {rounds} rounds. Detectors get a match "
            f"as `make demo` shows it, classifiers {_FACES_A_FRAME} faces a frame. The aggregator has one leader at a "
            "time, by design; each ingest process has cameras of its own.",
        ],
    )


def rate(command: str, settings: Settings, messages: Sequence[Message], workers: int) -> float:
    """Frames a second from stream to stream, by the server's clock between the first and the last that came out."""
    source, output = _INTO[command]
    with pipeline(settings) as running:
        running.start(command, workers=workers)
        running.spread()
        # What comes first warms the workers up for pictures of this size.
        _publish(running.bus, source, messages[: 4 * workers])
        running.wait_for_empty(source)
        client, key = running.bus.connection.client, running.bus.keys.stream(output)
        client.delete(key)
        _publish(running.bus, source, messages)
        running.wait_for_empty(source)
        at_ms = np.sort([int(entry_id.split(b"-")[0]) for entry_id, _ in client.xrange(key)])
    # The clock starts when the first have come out: what came with them took its time before.
    return float((at_ms > at_ms[0]).sum() * 1000 / max(at_ms[-1] - at_ms[0], 1))


def _detecting(session: Session, kind: str) -> tuple[str, Settings, list[Message]]:
    pictures = jpegs(session.match() / "stand-1.mp4", 40)
    count = session.size({"haar": 30, "yunet": 160}, {"haar": 10, "yunet": 20})[kind]
    frames: list[Message] = [Frame(_ref(number), pictures[number % len(pictures)]) for number in range(count)]
    return "detect", configured(kind, 40, bus=ROOMY), frames


def _classifying(session: Session) -> tuple[str, Settings, list[Message]]:
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (_FACES_A_FRAME, 48, 48), dtype=np.uint8)
    boxes = np.tile(np.array([0, 0, 48, 48], np.int32), (_FACES_A_FRAME, 1))
    scores = np.ones(_FACES_A_FRAME, np.float32)
    count = session.size(300, 40)
    faces: list[Message] = [Faces(_ref(number), boxes, scores, crops, "haar") for number in range(count)]
    return "classify", configured("haar", 40, bus=ROOMY, classifier={"threads": 1}), faces


def _ref(number: int) -> FrameRef:
    return FrameRef("north", "run", number, number * 200, 1280, 720, recorded=True)


def _publish(bus: Bus, stream: Any, messages: Sequence[Message]) -> None:
    for message in messages:
        bus.publish([(stream, message)])
