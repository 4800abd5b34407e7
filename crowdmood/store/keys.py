"""Every key of the state store, with its type and purpose."""

from dataclasses import dataclass

from crowdmood.bus.keys import LeaseKeys


@dataclass(frozen=True, slots=True)
class HistoryKeys:
    """Keys of the history of moods or of changes (`crowdmood.store.history`).

    Attributes:
        single: Stream that earlier releases wrote; it is read until it expires.
    """

    single: str

    @property
    def table(self) -> str:
        """Hash: `first` and `last` id that were published, and what is known of each segment, by its number."""
        return f"{self.single}:segments"

    def segment(self, number: int) -> str:
        """Return the key of a segment: a stream, oldest first, that expires; an entry's id is its publication."""
        return f"{self.single}:{number}"


@dataclass(frozen=True, slots=True)
class StateKeys:
    """Keys of the state store. They share one hash tag, since moods, cameras and checkpoint are written together."""

    prefix: str

    @property
    def moods(self) -> HistoryKeys:
        """History of all moods."""
        return HistoryKeys(f"{self._root}:moods")

    @property
    def changes(self) -> HistoryKeys:
        """History of all changes of mood."""
        return HistoryKeys(f"{self._root}:changes")

    @property
    def cameras(self) -> str:
        """Hash, camera to JSON: its state and the account of its frames."""
        return f"{self._root}:cameras"

    @property
    def api_keys(self) -> str:
        """Hash, key id to JSON: the API keys, as salted hashes; revoked keys stay."""
        return f"{self._root}:api_keys"

    @property
    def audit(self) -> str:
        """Stream of the audit log, oldest first; an entry's id is the wall-clock time of the action."""
        return f"{self._root}:audit"

    @property
    def overrides(self) -> str:
        """Hash, override to JSON: those in force or scheduled."""
        return f"{self._root}:overrides"

    def model(self, run_id: str) -> str:
        """String, JSON: the network that this run's classifiers use instead of the one in their settings."""
        return f"{self._root}:model:{run_id}"

    def regions(self, run_id: str) -> str:
        """Hash, camera to JSON: the regions that narrow those of the settings for this run's detectors."""
        return f"{self._root}:regions:{run_id}"

    def checkpoint(self, run_id: str) -> str:
        """String, JSON: the state from which the aggregator of this run continues."""
        return f"{self._root}:checkpoint:{run_id}"

    def leader(self) -> LeaseKeys:
        """Lease of the aggregator that may write moods."""
        return LeaseKeys(f"{self._root}:leader", f"{self._root}:term")

    def dispatcher(self) -> LeaseKeys:
        """Lease of the dispatcher that may make and send deliveries."""
        return LeaseKeys(f"{self._root}:webhooks:leader", f"{self._root}:webhooks:term", "dispatch")

    @property
    def webhooks(self) -> str:
        """Hash, endpoint to JSON: the owner's settings and the signing secrets in plain text; the API writes it."""
        return f"{self._root}:webhooks"

    @property
    def webhooks_health(self) -> str:
        """Hash, endpoint to JSON: its health; the dispatcher writes it."""
        return f"{self._root}:webhooks:health"

    @property
    def webhooks_revision(self) -> str:
        """Counter of the API's writes; it notifies the dispatcher of changes."""
        return f"{self._root}:webhooks:revision"

    @property
    def webhooks_sequence(self) -> str:
        """Counter for the sequences of deliveries."""
        return f"{self._root}:webhooks:sequence"

    @property
    def webhooks_watch(self) -> str:
        """String, JSON: how far the dispatcher has read moods, changes and cameras."""
        return f"{self._root}:webhooks:watch"

    def delivery(self, endpoint_id: str, delivery_id: str) -> str:
        """String with a time to live, JSON: a delivery."""
        return f"{self.deliveries(endpoint_id)}:{delivery_id}"

    def deliveries(self, endpoint_id: str) -> str:
        """Hash, delivery to JSON, that earlier releases wrote; the dispatcher moves its deliveries at its start."""
        return f"{self._root}:webhooks:{endpoint_id}:deliveries"

    def delivery_order(self, endpoint_id: str) -> str:
        """Sorted set of an endpoint's deliveries by sequence."""
        return f"{self._root}:webhooks:{endpoint_id}:order"

    def pending_deliveries(self, endpoint_id: str) -> str:
        """Sorted set of an endpoint's pending deliveries by sequence."""
        return f"{self._root}:webhooks:{endpoint_id}:pending"

    @property
    def _root(self) -> str:
        return f"{self.prefix}:{{state}}"
