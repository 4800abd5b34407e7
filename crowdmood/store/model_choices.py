"""The network chosen for a run's classifiers, in the state store: it applies while they run, and after restarts."""

import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

from crowdmood.bus.connection import Client, Connection
from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError
from crowdmood.store import audit
from crowdmood.store.audit import Actor
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
    """The choice of one run: a replay has its own run, so a live choice does not apply to it.

    Changes are recorded in the audit log; without `who`, the operating system's user makes them.
    """

    def __init__(self, url: str, key_prefix: str, run_id: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self._keys = StateKeys(key_prefix)
        self._run_id = run_id
        self._key = self._keys.model(run_id)

    def choose(self, folder: str, model_id: str, who: Actor | None = None) -> ModelChoice:
        """Make every classifier of the run use this network from now on.

        Raises:
            ServerUnavailableError: The state store is unreachable.
        """
        choice = ModelChoice(folder, model_id, time.time_ns() // 1_000_000)
        self._replace(choice, "model.chosen", who)
        return choice

    def forget(self) -> None:
        """Make every classifier use the network of its settings again.

        Raises:
            ServerUnavailableError: The state store is unreachable.
        """
        self._replace(None, "model.reset", None)

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

    def _replace(self, choice: ModelChoice | None, action: audit.Action, who: Actor | None) -> None:
        def transaction(client: Client) -> None:
            text: Any = client.get(self._key)
            new = None if choice is None else stored.to_json(asdict(choice)).encode()
            if text is None and new is None:
                return
            before, after = audit.shown(text), audit.shown(new)
            with client.pipeline(transaction=True) as multi:
                if new is None:
                    multi.delete(self._key)
                else:
                    multi.set(self._key, new)
                audit.append(multi, self._keys, who, action, self._run_id, before=before, after=after)
                multi.execute()

        self.connection.call(transaction, patient=False)

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()
