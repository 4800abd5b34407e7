"""Several pieces of recorded footage advance together: one sequence of steps, in the order of event time."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from crowdmood.core.errors import SourceError
from ingest.sources.base import Shot


@dataclass(frozen=True, slots=True)
class Step:
    """The next thing that happens in recorded footage.

    Attributes:
        camera: Index of the camera it happens to.
        at_ms: Event time in milliseconds.
        frame_id: The frame's number; at the end, how many frames there were.
        shot: The frame; None at the end.
        problem: At the end: why the footage broke off; empty when it is complete.
    """

    camera: int
    at_ms: int
    frame_id: int
    shot: Shot | None
    problem: str = ""


def merge(footage: Sequence[Iterable[Shot]]) -> Iterator[Step]:
    """Every camera's steps by event time, then by camera; a camera's last step is its end, however it came."""
    return heapq.merge(
        *(_steps(camera, shots) for camera, shots in enumerate(footage)), key=lambda step: (step.at_ms, step.camera)
    )


def _steps(camera: int, shots: Iterable[Shot]) -> Iterator[Step]:
    at_ms, count, problem = 0, 0, ""
    try:
        for shot in shots:
            at_ms = shot.at_ms
            yield Step(camera, at_ms, count, shot)
            count += 1
    except SourceError as error:
        problem = str(error)
    yield Step(camera, at_ms, count, None, problem)
