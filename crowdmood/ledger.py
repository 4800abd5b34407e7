"""What became of every frame that ingest accepted: counted once, or late, or lost for a reason, or still under way.

Two that know nothing of each other are compared. Ingest writes on the bus, with each frame, how many there were; the
aggregator keeps, in the checkpoint that it writes with its moods, what it counted and what it was told was lost. Both
outlive the processes.
"""

from dataclasses import dataclass, field

from crowdmood.health import addresses
from crowdmood.settings import Settings
from crowdmood.streams.moods import MoodStore
from crowdmood.streams.partitions import AllPartitions


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
        under_way: Frames on the bus, or in the hands of a worker.
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
    """The account of every camera.

    Args:
        settings: Where the installation is; without server addresses, the embedded servers of the data directory.

    Raises:
        SettingsError: Nothing runs on the data directory.
        ServerUnavailableError: A server does not answer.
    """
    bus_url, state_url = addresses(settings)
    bus, store = AllPartitions(bus_url, settings.bus), MoodStore(state_url, settings.bus.key_prefix)
    try:
        # What ingest told is read first: what the aggregator knows beyond that is none of it.
        cursors = {name: told for partition in bus.partitions for name, told in partition.cursors().items()}
        rows = store.cameras(patient=False)
    finally:
        bus.close()
        store.close()
    accounts = []
    for camera_id in sorted(rows.keys() | cursors.keys()):
        row = rows.get(camera_id, {"accepted": 0, "frames": 0, "late": 0, "lost": {}, "awaited": 0, "run_id": None})
        run_id, told = cursors.get(camera_id, (row["run_id"], 0))
        heard = row.get("run_accepted", 0) if run_id == row["run_id"] else 0
        unheard = max(0, told - heard)
        accounts.append(
            Account(
                camera_id,
                row["accepted"] + unheard,
                row["frames"],
                row["late"],
                row["lost"],
                row["awaited"] + unheard,
            )
        )
    return accounts
