"""Overrides in the state store: they apply while something serves moods, and after restarts."""

import threading
from collections.abc import Callable
from typing import Any

import redis

from crowdmood.bus.connection import Client, Connection
from crowdmood.domain.override import Override, read_all
from crowdmood.store import audit
from crowdmood.store.audit import Actor
from crowdmood.store.keys import StateKeys

MOST = 100
"""Most overrides in force or scheduled."""


class OverrideStore:
    """Sets, clears and ends overrides, and records each in the audit log; synchronous.

    While the store is unreachable, calls raise ServerUnavailableError at once. Without `who`, the operating system's
    user acts.
    """

    def __init__(self, url: str, key_prefix: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self._keys = StateKeys(key_prefix)

    def all(self) -> list[Override]:
        """Return every override, the earliest start first."""
        raw: Any = self.connection.call(lambda client: client.hgetall(self._keys.overrides), patient=False)
        return sorted(read_all(raw), key=lambda one: (one.from_ms, one.id))

    def set(self, override: Override, who: Actor | None = None) -> bool:
        """Store an override in place of the one with its id; return False when there are `MOST` others."""
        stored = True

        def queue(found: list[Override], multi: Client) -> None:
            nonlocal stored
            replaced = next((one for one in found if one.id == override.id), None)
            stored = replaced is not None or len(found) < MOST
            if stored:
                multi.hset(self._keys.overrides, override.id, override.to_json())
                before = None if replaced is None else replaced.to_dict()
                after = override.to_dict()
                audit.append(multi, self._keys, who, "override.set", override.id, before=before, after=after)

        self._change(queue)
        return stored

    def clear(self, zone: str, now_ms: float, id_: str | None = None, who: Actor | None = None) -> list[Override]:
        """Delete overrides, and return them: those of a zone that are in force, or the one with an id."""

        def wanted(one: Override) -> bool:
            return one.id == id_ if id_ is not None else one.zone == zone and one.in_force(now_ms)

        return self._remove(wanted, "override.cleared", who)

    def end(self, now_ms: float) -> list[Override]:
        """Delete the overrides that have ended, and return them; of several processes, one does."""
        return self._remove(lambda one: one.until_ms <= now_ms, "override.ended", Actor("system"))

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()

    def _remove(self, wanted: Callable[[Override], bool], action: audit.Action, who: Actor | None) -> list[Override]:
        removed: list[Override] = []

        def queue(found: list[Override], multi: Client) -> None:
            removed[:] = filter(wanted, found)
            for one in removed:
                multi.hdel(self._keys.overrides, one.id)
                audit.append(multi, self._keys, who, action, one.id, before=one.to_dict())

        self._change(queue)
        return removed

    def _change(self, queue: Callable[[list[Override], Client], None]) -> None:
        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                while True:
                    multi.watch(self._keys.overrides)
                    found = read_all(multi.hgetall(self._keys.overrides))
                    multi.multi()
                    queue(found, multi)
                    try:
                        multi.execute()
                    except redis.WatchError:
                        continue
                    return

        self.connection.call(transaction, patient=False)
