"""The network that a run's classifiers shall use, in the state store: chosen while they work, kept over restarts."""

import json
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

from crowdmood.bus.connection import Connection
from crowdmood.store.keys import StateKeys


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A choice that somebody made.

    Attributes:
        folder: The model's folder, as every classifier's machine knows it.
        model_id: The network that was in it.
        chosen_at_ms: When, in milliseconds since 1970: the same folder chosen again is a new choice.
    """

    folder: str
    model_id: str
    chosen_at_ms: int


class ModelChoices:
    """The choice of one run: a replay has a run of its own, so a live choice does not reach it."""

    def __init__(self, url: str, key_prefix: str, run_id: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self._key = StateKeys(key_prefix).model(run_id)

    def choose(self, folder: str, model_id: str) -> ModelChoice:
        """Make every classifier of the run use this network, from now on.

        Raises:
            ServerUnavailableError: The state store is away.
        """
        choice = ModelChoice(folder, model_id, time.time_ns() // 1_000_000)
        self.connection.call(lambda client: client.set(self._key, json.dumps(asdict(choice))), patient=False)
        return choice

    def forget(self) -> None:
        """Make every classifier use what its settings name again.

        Raises:
            ServerUnavailableError: The state store is away.
        """
        self.connection.call(lambda client: client.delete(self._key), patient=False)

    def chosen(self, *, patient: bool = False) -> ModelChoice | None:
        """The choice in force; None when there is none.

        Args:
            patient: Whether to wait while the state store is away.

        Raises:
            ServerUnavailableError: It is away and waiting was not wanted or was cut short.
        """
        value: Any = self.connection.call(lambda client: client.get(self._key), patient=patient)
        return None if value is None else ModelChoice(**json.loads(value))

    def close(self) -> None:
        """Give the sockets back."""
        self.connection.close()
