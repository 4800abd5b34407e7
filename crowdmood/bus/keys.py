"""Every key on the bus, with its type and the reason it exists."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from crowdmood.core.settings import BusSettings

StreamName: TypeAlias = Literal["frames", "faces", "emotions", "control", "dead"]


@dataclass(frozen=True, slots=True)
class BusKeys:
    """Keys of one partition; the hash tag keeps them on one node of a cluster, so that MULTI works there."""

    prefix: str
    partition: int

    @classmethod
    def of(cls, settings: BusSettings) -> "BusKeys":
        """The keys that these settings mean."""
        return cls(settings.key_prefix, settings.partition)

    def stream(self, name: StreamName) -> str:
        """A stream between two stages (`control`: what is never dropped; `dead`: dead letters, no pixels)."""
        return f"{self._root}:{name}"

    def reply(self, photo: str) -> str:
        """Stream of seconds: what became of a photo, for whoever asked; instead of `emotions` and `control`."""
        return f"{self._root}:reply:{photo}"

    @property
    def cursors(self) -> str:
        """Hash, camera to `run_id frame_id`: how far ingest came. Recorded footage is resumed there.

        Beside it, `camera/run_id` marks that publishing began: when that is gone, the bus was emptied.
        """
        return f"{self._root}:cursors"

    @property
    def needed(self) -> str:
        """Hash, camera to `run_id frame_id`: footage is needed from this frame on, should the bus be emptied."""
        return f"{self._root}:needed"

    def health(self, stage: str, worker: str = "*") -> str:
        """String with a time to live: this worker is ready and works."""
        return f"{self._root}:health:{stage}:{worker}"

    @property
    def _root(self) -> str:
        return f"{self.prefix}:{{p{self.partition}}}"


@dataclass(frozen=True, slots=True)
class LeaseKeys:
    """Keys of one lease.

    Attributes:
        lease: String with a time to live: who leads.
        term: Hash, for ever: `token` counts the leaders, `mark` names the one that leads, `writes` counts its writes.
    """

    lease: str
    term: str
