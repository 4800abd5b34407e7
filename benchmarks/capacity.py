"""The cores and servers that a stadium needs, from measured costs of a frame: `python -m benchmarks.capacity`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.figures import RESULTS, Row, table

if TYPE_CHECKING:
    from collections.abc import Sequence

STAGES: Final = ("ingest", "detector", "classifier", "aggregator")
_BUSY: Final = 0.7
"""Share of its cores that an installation keeps busy, so that there is room for peaks."""

_FACE_OUT_BYTES: Final = 16 + 16 + 2 + 2
"""Bytes of a face in a message with emotions: its box, eight probabilities, readable, quality."""


@dataclass(frozen=True, slots=True)
class Stadium:
    """A stadium to watch.

    Attributes:
        seats: Number of seats, all of them taken.
        cameras: Number of cameras; each seat is before one of them.
        sample_fps: Frames a second that are sampled of each camera.
    """

    seats: int = 60_000
    cameras: int = 40
    sample_fps: float = 1.0

    @property
    def faces(self) -> float:
        """Number of faces in a frame, if every one is seen."""
        return self.seats / self.cameras

    @property
    def frames_per_s(self) -> float:
        """Frames a second of all cameras."""
        return self.cameras * self.sample_fps


def needs(measured: Sequence[dict[str, Any]], stadium: Stadium) -> Row:
    """Return what a stadium needs.

    Args:
        measured: The rows of the figure about faces a frame.
        stadium: The stadium.
    """

    def at(column: str) -> float:
        """Return a cost of a frame of the stadium, interpolated between the measured ones."""
        sizes = [float(row["faces found"]) for row in measured]
        return float(np.interp(stadium.faces, sizes, [float(row[column]) for row in measured]))

    rate = stadium.frames_per_s
    cores = {stage: rate * at(f"{stage}, ms a frame") / 1000 for stage in STAGES}
    servers = rate * at("of it servers, ms") / 1000
    # Everything is written to the bus once and read once.
    one_way_mb = rate * (at("JPEG, MB") + at("faces, MB") + stadium.faces * _FACE_OUT_BYTES / 1e6)
    row: Row = {"frames/s a camera": stadium.sample_fps, "faces/s": rate * stadium.faces}
    row |= {f"{stage}, cores": seconds for stage, seconds in cores.items()}
    return row | {
        "of them Redis": servers,
        f"cores to buy, {_BUSY:.0%} busy": math.ceil(sum(cores.values()) / _BUSY),
        "Redis shards": max(1, math.ceil(servers / _BUSY)),
        "Gbit/s into the bus": one_way_mb * 8 / 1000,
    }


def page() -> str:
    """Return the table of `docs/capacity.md`, from the committed results."""
    measured = json.loads((RESULTS / "faces.json").read_text())["rows"]
    return table([needs(measured, Stadium(sample_fps=fps)) for fps in (0.5, 1, 2, 5)])


if __name__ == "__main__":
    print(page())
