"""Every key in the state store, with its type and the reason it exists."""

from dataclasses import dataclass

from crowdmood.bus.keys import LeaseKeys


@dataclass(frozen=True, slots=True)
class StateKeys:
    """Keys of the state store; one hash tag, since moods, cameras and checkpoint are written together."""

    prefix: str

    @property
    def moods(self) -> str:
        """Stream of every mood, oldest first; the entry's id is the wall-clock time of publication."""
        return f"{self._root}:moods"

    @property
    def changes(self) -> str:
        """Stream of every change of mood, oldest first, as moods are kept."""
        return f"{self._root}:changes"

    @property
    def cameras(self) -> str:
        """Hash, camera to JSON: its state and what became of its frames."""
        return f"{self._root}:cameras"

    @property
    def api_keys(self) -> str:
        """Hash, key id to JSON: who may use the API, as salted hashes; revoked keys stay."""
        return f"{self._root}:api_keys"

    def model(self, run_id: str) -> str:
        """String, JSON: the network that this run's classifiers shall use instead of the one in their settings."""
        return f"{self._root}:model:{run_id}"

    def regions(self, run_id: str) -> str:
        """Hash, camera to JSON: where this run's detectors look instead of where the settings say."""
        return f"{self._root}:regions:{run_id}"

    def checkpoint(self, run_id: str) -> str:
        """String, JSON: how far the aggregator of this run has come."""
        return f"{self._root}:checkpoint:{run_id}"

    def leader(self) -> LeaseKeys:
        """Who may write what the aggregator makes."""
        return LeaseKeys(f"{self._root}:leader", f"{self._root}:term")

    def dispatcher(self) -> LeaseKeys:
        """Who may make and send webhook deliveries."""
        return LeaseKeys(f"{self._root}:webhooks:leader", f"{self._root}:webhooks:term")

    @property
    def webhooks(self) -> str:
        """Hash, endpoint to JSON: what its owner set, and the secrets as signing needs them; the API writes it."""
        return f"{self._root}:webhooks"

    @property
    def webhooks_health(self) -> str:
        """Hash, endpoint to JSON: what became of it; the dispatcher writes it."""
        return f"{self._root}:webhooks:health"

    @property
    def webhooks_revision(self) -> str:
        """Counter of the API's writes, by which the dispatcher sees that there is something new."""
        return f"{self._root}:webhooks:revision"

    @property
    def webhooks_sequence(self) -> str:
        """Counter that gives deliveries their order."""
        return f"{self._root}:webhooks:sequence"

    @property
    def webhooks_watch(self) -> str:
        """String, JSON: how far the dispatcher has watched moods, changes and cameras."""
        return f"{self._root}:webhooks:watch"

    def deliveries(self, endpoint_id: str) -> str:
        """Hash, delivery to JSON: the newest deliveries of an endpoint, and those that are pending."""
        return f"{self._root}:webhooks:{endpoint_id}:deliveries"

    def delivery_order(self, endpoint_id: str) -> str:
        """Sorted set of those deliveries by their sequence."""
        return f"{self._root}:webhooks:{endpoint_id}:order"

    def pending_deliveries(self, endpoint_id: str) -> str:
        """Sorted set of those that are pending, by their sequence."""
        return f"{self._root}:webhooks:{endpoint_id}:pending"

    @property
    def _root(self) -> str:
        return f"{self.prefix}:{{state}}"
