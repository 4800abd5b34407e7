"""The network chosen for a run's classifiers, in the state store: it applies while they run, and after restarts."""

import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

from crowdmood.bus.connection import Connection
from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError
from crowdmood.store.keys import StateKeys


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A chosen network.

    Attributes:
        folder: The model's folder, at the same path on every machine with a classifier.
        model_id: The network in the folder at that time.
        chosen_at_ms: Time of the choice, in milliseconds since 1970; choosing the same folder again is a new choice.
    """

    folder: str
    model_id: str
    chosen_at_ms: int


class ModelChoices:
    """The choice of one run: a replay has its own run, so a live choice does not apply to it."""

    def __init__(self, url: str, key_prefix: str, run_id: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self._key = StateKeys(key_prefix).model(run_id)

    def choose(self, folder: str, model_id: str) -> ModelChoice:
        """Make every classifier of the run use this network from now on.

        Raises:
            ServerUnavailableError: The state store is unreachable.
        """
        choice = ModelChoice(folder, model_id, time.time_ns() // 1_000_000)
        self.connection.call(lambda client: client.set(self._key, stored.to_json(asdict(choice))), patient=False)
        return choice

    def forget(self) -> None:
        """Make every classifier use the network of its settings again.

        Raises:
            ServerUnavailableError: The state store is unreachable.
        """
        self.connection.call(lambda client: client.delete(self._key), patient=False)

    def chosen(self, *, patient: bool = False) -> ModelChoice | None:
        """Return the current choice; None without one, and for one that cannot be read.

        Args:
            patient: Whether to wait while the state store is unreachable.

        Raises:
            ServerUnavailableError: It is unreachable, and `patient` is False or the process is stopping.
        """
        value: Any = self.connection.call(lambda client: client.get(self._key), patient=patient)
        if value is None:
            return None
        try:
            return stored.from_json(ModelChoice, value)
        except UndecodableError as error:
            stored.skipped("model_choice", self._key, error)
            return None

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()
