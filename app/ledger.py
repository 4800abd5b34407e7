"""The ledger of frames: every frame that ingest accepted is counted, late, lost for a reason, or under way.

Three independent sources are compared. With each frame, ingest writes to the bus how many frames it has numbered. The
aggregator writes, in the checkpoint that it publishes with its moods, how many frames it counted and how many were
reported as lost. All other frames must have entries on the bus. When entries are missing, the ledger does not balance.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.check import server_urls
from crowdmood.bus.keys import StreamName
from crowdmood.bus.partitions import AllPartitions
from crowdmood.core.settings import Settings
from crowdmood.store.moods import CameraTable, MoodStore

_ATTEMPTS: Final = 7
RETRY_EVERY_S: Final = 0.5
"""Pause between two attempts. The bus and the state store are not read at the same moment, and the aggregator writes
only once a second, so that the ledger may not balance for a moment. A frame that is really missing stays missing."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The frames of one camera, over all runs that the aggregator knows.

    Attributes:
        camera: Id of the camera.
        accepted: Frames that ingest numbered, and published or reported as lost.
        counted: Frames counted in windows, each once.
        late: Frames that arrived after their windows had closed.
        lost: Frames that never arrived, by reason: dropped by ingest, dead-lettered by a stage, or `missing` when no
            process reported a reason.
        under_way: Frames that may still arrive: those on the bus, where entries stay while a worker processes them, and
            those of footage that ingest reads again because the bus was emptied.
    """

    camera: str
    accepted: int
    counted: int
    late: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    under_way: int = 0

    @property
    def balance(self) -> int:
        """Frames that are unaccounted for, or (negative) accounted for twice. Anything but 0 is a bug."""
        return self.accepted - self.counted - self.late - sum(self.lost.values()) - self.under_way


def read(settings: Settings) -> list[LedgerRow]:
    """Return the row of every camera. As long as a row does not balance, all are read again for up to 3 seconds.

    Args:
        settings: Server addresses; without them, the embedded servers of the data directory are read.

    Raises:
        SettingsError: Neither a URL nor a running embedded server is known.
        ServerUnavailableError: A server is unreachable.
    """
    bus_url, state_url = server_urls(settings)
    bus, store = AllPartitions(bus_url, settings.bus), MoodStore(state_url, settings.bus.key_prefix)
    configured = {camera.id for camera in settings.cameras}
    try:
        for attempt in range(_ATTEMPTS):
            time.sleep(RETRY_EVERY_S if attempt else 0)
            rows = list(_rows(bus, store, configured))
            if not any(row.balance for row in rows):
                break
    finally:
        bus.close()
        store.close()
    return rows


def _rows(bus: AllPartitions, store: MoodStore, configured: set[str]) -> Iterator[LedgerRow]:
    # The bus is read first. Frames that arrive until the state store is read are then known, and not missing.
    published = {name: run for partition in bus.partitions for name, run in partition.published_frames().items()}
    entries = [partition.stream_lengths() for partition in bus.partitions]
    table = store.cameras(patient=False)
    # The aggregator ignores cameras that are not configured. Without any configured camera, it counts all of them.
    listed = table.keys() | {name for name in published if name in configured or not configured}
    on_bus = _entries_of_unknown_frames(entries, table)
    for camera_id in sorted(listed):
        row = table.get(camera_id, {"accepted": 0, "frames": 0, "late": 0, "lost": {}, "awaited": 0, "run_id": None})
        run_id, numbered = published.get(camera_id, (row["run_id"], 0))
        known = row.get("run_accepted", 0) if run_id == row["run_id"] else 0
        unknown = max(0, numbered - known)
        # Awaited frames of recorded footage must be on the bus, unless the bus was emptied: then ingest reads the
        # footage again, and has numbered fewer frames than are known. Those of a live camera become `missing` in time.
        expected = unknown + (row["awaited"] if row.get("recorded") and numbered >= known > 0 else 0)
        vanished = max(0, expected - on_bus)
        yield LedgerRow(
            camera_id,
            row["accepted"] + unknown,
            row["frames"],
            row["late"],
            row["lost"],
            row["awaited"] + unknown - vanished,
        )


def _entries_of_unknown_frames(partitions: Sequence[Mapping[StreamName, int]], table: CameraTable) -> int:
    """Return how many frames that the aggregator does not know may be on the bus.

    Args:
        partitions: Number of entries by stream, for each partition. One entry of the control stream can report any
            number of lost frames: while there is one, the result is `sys.maxsize`.
        table: The aggregator's figures by camera. The frames in `held` are known, and still have entries.
    """
    streams = {name: sum(entries[name] for entries in partitions) for name in partitions[0]}
    if streams["control"]:
        return sys.maxsize
    held: int = sum(row.get("held", 0) for row in table.values())
    return streams["frames"] + streams["faces"] + max(0, streams["emotions"] - held)
