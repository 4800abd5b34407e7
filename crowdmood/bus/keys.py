"""Every key on the bus, with its type and its purpose, and the names of the consumer groups."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from crowdmood.core.settings import BusSettings

StreamName: TypeAlias = Literal["frames", "faces", "emotions", "control", "dead", "photos", "photo_faces"]

DETECTOR_GROUP = "detector"
"""Consumer group that reads `frames`; also the name of the stage in metrics, health keys and dead letters."""

CLASSIFIER_GROUP = "classifier"
"""Consumer group that reads `faces`; also the name of the stage."""

AGGREGATOR_GROUP = "aggregator"
"""Consumer group that reads `emotions` and `control`; also the name of the stage."""

PUBLICATIONS = "aggregator/"
"""Field of the hash `needed` with the number of times that the aggregator has published; no camera has such a name."""

READERS: dict[StreamName, str] = {
    "frames": DETECTOR_GROUP,
    "faces": CLASSIFIER_GROUP,
    "emotions": AGGREGATOR_GROUP,
    "control": AGGREGATOR_GROUP,
}
"""The consumer group that reads each stream between the stages."""


@dataclass(frozen=True, slots=True)
class BusKeys:
    """The keys of one partition. Their hash tag puts them on one node of a cluster, so that MULTI works there."""

    prefix: str
    partition: int

    @classmethod
    def of(cls, settings: BusSettings) -> "BusKeys":
        """Return the keys of the configured partition."""
        return cls(settings.key_prefix, settings.partition)

    def stream(self, name: StreamName) -> str:
        """Return the key of a stream.

        `control` has messages that are never dropped, and `dead` dead letters, without pixels. `photos` and
        `photo_faces` are the `frames` and `faces` of single photos: workers read them when no camera's wait, and they
        expire after seconds.
        """
        return f"{self._root}:{name}"

    def reply(self, name: str) -> str:
        """Return the key of a stream with the result of one photo. It expires after seconds."""
        return f"{self._root}:reply:{name}"

    @property
    def cursors(self) -> str:
        """Hash, camera to `run_id frame_id`: the last published frame. Ingest resumes recorded footage after it.

        The field `camera/run_id` marks that publishing began. If it is missing, the bus was emptied.
        """
        return f"{self._root}:cursors"

    @property
    def needed(self) -> str:
        """Hash, camera to `run_id frame_id`: the first frame that windows still need.

        Ingest publishes recorded footage again from there if the bus is emptied, or if the value decreases: the
        aggregator then continues from an older checkpoint. `PUBLICATIONS` is a field too.
        """
        return f"{self._root}:needed"

    def health(self, stage: str, worker: str = "*") -> str:
        """Return the key of a worker's heartbeat: a string with a time to live, whose value is `Stage.using`."""
        return f"{self._root}:health:{stage}:{worker}"

    @property
    def _root(self) -> str:
        return f"{self.prefix}:{{p{self.partition}}}"


@dataclass(frozen=True, slots=True)
class LeaseKeys:
    """The keys of one lease.

    Attributes:
        lease: String with a time to live: name of the leader.
        term: Hash without a time to live: `token` counts the terms, `mark` identifies the leader of the current term,
            `writes` counts its writes.
        role: What its holder does, for metrics.
    """

    lease: str
    term: str
    role: str = "aggregator"
