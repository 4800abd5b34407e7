"""The timeline as data: rows for CSV and Parquet, an object for JSON. README.md in this folder lists all fields."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa
from pyarrow import parquet

from app.replay import minutes
from app.reports.timeline import CameraSummary, Timeline
from crowdmood import __version__
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, to_rfc3339

TIMELINE_SCHEMA_VERSION: Final = 2
KIND: Final = "crowdmood.timeline"
"""Identifies the JSON object and the Parquet file."""

Row: TypeAlias = dict[str, Any]

_SHARE_COLUMNS: Final = [f"{label}{end}" for label in LABELS for end in ("", "_low", "_high", "_raw")]

SCHEMA: Final = pa.schema(
    [
        pa.field("zone", pa.string(), nullable=False),
        pa.field("camera", pa.string()),
        pa.field("match_s", pa.float64(), nullable=False),
        pa.field("as_of", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("people", pa.int32()),
        pa.field("readable", pa.int32()),
        pa.field("dominant", pa.string()),
        pa.field("change", pa.string()),
        *(pa.field(f"{name}{end}", pa.float64()) for name in ("valence", "energy") for end in ("", "_low", "_high")),
        *(pa.field(name, pa.float64()) for name in _SHARE_COLUMNS),
        pa.field("cameras_live", pa.int32(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("fit", pa.float64()),
        pa.field("model", pa.string()),
        pa.field("detector", pa.string()),
    ],
    metadata={"kind": KIND, "schema": str(TIMELINE_SCHEMA_VERSION)},
)
"""Columns of CSV and Parquet, in order."""


def rows(timeline: Timeline) -> Iterator[Row]:
    """Yield one row per mood: first those of the stadium, oldest first, then those of each zone and each camera."""
    for scope, moods in timeline.moods.items():
        changed = {change.as_of_ms: change.to_label for change in timeline.changes_of(scope)}
        for mood in moods:
            yield _row(mood, changed.get(mood.as_of_ms))


def _row(mood: Mood, change: str | None) -> Row:
    row: Row = {
        "zone": mood.zone,
        "camera": mood.camera,
        "match_s": mood.as_of_ms / 1000,
        "as_of": mood.as_of_ms,
        "status": mood.status,
        "people": mood.people,
        "readable": mood.readable,
        "dominant": mood.dominant,
        "change": change,
        "valence": mood.valence,
        "valence_low": mood.valence_low,
        "valence_high": mood.valence_high,
        "energy": mood.energy,
        "energy_low": mood.energy_low,
        "energy_high": mood.energy_high,
        "cameras_live": sum(state == "live" for state in mood.cameras.values()),
        "method": mood.method,
        "fit": mood.fit,
        "model": mood.model,
        "detector": mood.detector,
    }
    for end, shares in (("", mood.shares), ("_low", mood.low), ("_high", mood.high), ("_raw", mood.raw)):
        row |= {f"{label}{end}": None if shares is None else shares[label] for label in LABELS}
    return row


def write_csv(timeline: Timeline, path: Path) -> None:
    """Write the rows as CSV in UTF-8. Figures that are withheld or not known are empty."""
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, SCHEMA.names, lineterminator="\n")
        writer.writeheader()
        for row in rows(timeline):
            writer.writerow(row | {"as_of": to_rfc3339(row["as_of"])})


def write_parquet(timeline: Timeline, path: Path) -> None:
    """Write the rows as Parquet. Figures that are withheld or not known are null."""
    parquet.write_table(pa.Table.from_pylist(list(rows(timeline)), schema=SCHEMA), path)


def write_json(timeline: Timeline, path: Path) -> None:
    """Write the timeline as one JSON object, on one line."""
    text = json.dumps(to_dict(timeline), separators=(",", ":"), ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def to_dict(timeline: Timeline) -> dict[str, Any]:
    """Return the timeline as a JSON object; the order of the keys is fixed."""
    return {
        "kind": KIND,
        "schema": TIMELINE_SCHEMA_VERSION,
        "crowdmood": __version__,
        "complete": timeline.complete,
        "start": to_rfc3339(timeline.start_ms),
        "end": to_rfc3339(timeline.end_ms),
        "window_s": timeline.window_ms / 1000,
        "hop_s": timeline.hop_ms / 1000,
        "min_faces": timeline.min_faces,
        "windows": timeline.windows(),
        "frames": sum(camera.frames for camera in timeline.cameras),
        "faces": sum(camera.faces for camera in timeline.cameras),
        "late": sum(camera.late for camera in timeline.cameras),
        "lost": timeline.lost(),
        "cameras": [_camera(camera) for camera in timeline.cameras],
        "changes": [change.to_dict() for change in timeline.changes],
        "minutes": [
            {"minute": minute + 1, "moods": count, "shares": {label: _rounded(mean) for label, mean in means.items()}}
            for minute, count, means in minutes(timeline.stadium)
        ],
        "moods": [mood.to_dict() for moods in timeline.moods.values() for mood in moods],
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _camera(camera: CameraSummary) -> dict[str, Any]:
    return {
        "camera": camera.camera,
        "footage": camera.footage,
        "frames": camera.frames,
        "faces": camera.faces,
        "late": camera.late,
        "lost": camera.lost,
        "detail": camera.detail,
        "states": [
            {"state": period.state, "start": to_rfc3339(period.start_ms), "end": to_rfc3339(period.end_ms)}
            for period in camera.periods
        ],
    }
