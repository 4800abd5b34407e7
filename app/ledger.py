"""What became of every frame that ingest accepted: counted once, or late, or lost for a reason, or still under way.

Three that know nothing of each other are compared. Ingest writes on the bus, with each frame, how many there were. The
aggregator keeps, in the checkpoint that it writes with its moods, what it counted and what it was told was lost. What
neither has told of must be on the bus: frames for which it has no entries are gone, and the account does not balance.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.check import addresses
from crowdmood.bus.keys import StreamName
from crowdmood.bus.partitions import AllPartitions
from crowdmood.core.settings import Settings
from crowdmood.store.moods import CameraTable, MoodStore

_LOOKS: Final = 7
LOOK_EVERY_S: Final = 0.5
"""Bus and state store are not read at one moment, and the aggregator writes once a second: what is gone stays gone."""


@dataclass(frozen=True, slots=True)
class Account:
    """The frames of one camera, over all runs that the aggregator knows.

    Attributes:
        camera: The camera's name.
        accepted: Frames that ingest gave a number to and told of.
        counted: Frames counted in windows, each once.
        late: Frames that came after their windows had closed.
        lost: Frames that never came, by reason: dropped by ingest, given up by a stage (a dead letter is kept of
            those), or `missing`, of which nobody told what became of them.
        under_way: Frames that may still come: on the bus or in the hands of a worker, whose entries stay on the bus;
            or of footage that ingest reads again, since the bus was emptied.
    """

    camera: str
    accepted: int
    counted: int
    late: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    under_way: int = 0

    @property
    def balance(self) -> int:
        """Frames of which nothing is known, or (negative) that were accounted for twice: 0, or there is a bug."""
        return self.accepted - self.counted - self.late - sum(self.lost.values()) - self.under_way


def read(settings: Settings) -> list[Account]:
    """The account of every camera, looked at again for some seconds where it does not balance.

    Args:
        settings: Where the installation is; without server addresses, the embedded servers of the data directory.

    Raises:
        SettingsError: Nothing runs on the data directory.
        ServerUnavailableError: A server does not answer.
    """
    bus_url, state_url = addresses(settings)
    bus, store = AllPartitions(bus_url, settings.bus), MoodStore(state_url, settings.bus.key_prefix)
    configured = {camera.id for camera in settings.cameras}
    try:
        for look in range(_LOOKS):
            time.sleep(LOOK_EVERY_S if look else 0)
            accounts = list(_accounts(bus, store, configured))
            if not any(account.balance for account in accounts):
                break
    finally:
        bus.close()
        store.close()
    return accounts


def _accounts(bus: AllPartitions, store: MoodStore, configured: set[str]) -> Iterator[Account]:
    # The bus is read first: what the aggregator knows beyond that is none of it.
    cursors = {name: told for partition in bus.partitions for name, told in partition.published_frames().items()}
    entries = [partition.stream_lengths() for partition in bus.partitions]
    rows = store.cameras(patient=False)
    # Of cameras that are no longer configured the aggregator tells nothing.
    listed = rows.keys() | {name for name in cursors if name in configured or not configured}
    on_the_bus = _under_way(entries, rows)
    for camera_id in sorted(listed):
        row = rows.get(camera_id, {"accepted": 0, "frames": 0, "late": 0, "lost": {}, "awaited": 0, "run_id": None})
        run_id, told = cursors.get(camera_id, (row["run_id"], 0))
        heard = row.get("run_accepted", 0) if run_id == row["run_id"] else 0
        unheard = max(0, told - heard)
        # A live camera's gap is `missing` after a while; footage, when the bus was emptied, is told of anew.
        certain = unheard + (row["awaited"] if row.get("recorded") and told >= heard > 0 else 0)
        gone = max(0, certain - on_the_bus)
        yield Account(
            camera_id,
            row["accepted"] + unheard,
            row["frames"],
            row["late"],
            row["lost"],
            row["awaited"] + unheard - gone,
        )


def _under_way(partitions: Sequence[Mapping[StreamName, int]], rows: CameraTable) -> int:
    """Entries of frames that the aggregator does not know; as many as you like while others wait to tell what was lost.

    Args:
        partitions: How many entries each stream holds.
        rows: What the aggregator knows of cameras: frames that it holds for windows keep their entries.
    """
    streams = {name: sum(entries[name] for entries in partitions) for name in partitions[0]}
    if streams["control"]:
        return sys.maxsize
    held: int = sum(row.get("held", 0) for row in rows.values())
    return streams["frames"] + streams["faces"] + max(0, streams["emotions"] - held)
