"""The API's keys, the client of a request and its permissions."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from api.problems import Kind, ProblemError
from crowdmood.store.api_keys import ApiKey, KeyTable, Scope, split

UNAUTHORIZED = Kind("unauthorized", 401, "A valid key is required.")
FORBIDDEN = Kind("forbidden", 403, "The key does not allow this.")
NOT_READY = Kind("not-ready", 503, "The keys have not been read yet.")


class KeyRing:
    """The keys of the API, updated by its follower.

    Args:
        local: Whether only this machine can reach the API.
        clock: Wall-clock time in seconds since 1970-01-01 UTC.
    """

    def __init__(self, *, local: bool, clock: Callable[[], float] = time.time) -> None:
        self.local = local
        self._clock = clock
        self._table: KeyTable | None = None

    def take(self, table: KeyTable) -> None:
        """Replace the keys."""
        self._table = table

    @property
    def loaded(self) -> bool:
        """Return whether the keys were ever read."""
        return self._table is not None

    @property
    def open(self) -> bool:
        """Return whether requests need no key: only this machine can reach the API, and no key was ever created."""
        return self.local and self._table == {}

    def find(self, text: str) -> ApiKey | None:
        """Return the key with this text, or None if it is unknown, revoked or expired."""
        key_id, secret = split(text)
        key = (self._table or {}).get(key_id)
        return key if key is not None and key.opens(secret, self._clock() * 1000) else None

    def opens_still(self, key: ApiKey) -> bool:
        """Return whether a key still exists and is neither revoked nor expired."""
        now = (self._table or {}).get(key.key_id)
        return now is not None and now.state(self._clock() * 1000) == "active"


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of a request.

    Attributes:
        ring: The keys of the API.
        address: The client's address or IPv6 network, by which limits count.
        key: The client's key; None if it sent no valid one.
        gave: Whether the client sent a key, valid or not.
    """

    ring: KeyRing
    address: str
    key: ApiKey | None
    gave: bool

    @property
    def name(self) -> str:
        """Return the name by which limits count: the key's id, or the address of a client without a key."""
        return self.address if self.key is None else self.key.key_id

    def require(self, scope: Scope) -> None:
        """Check that the client has a scope.

        Raises:
            ProblemError: It does not.
        """
        if self.ring.open or (self.key is not None and self.key.allows(scope)):
            return
        if not self.ring.loaded:
            if self.ring.local and scope == "read":
                return  # the state store has not been read, so there is nothing to disclose
            raise ProblemError(NOT_READY, "the state store has not been read yet: try again", {"Retry-After": "1"})
        if self.key is not None:
            allowed = ", ".join(map(repr, self.key.scopes))
            raise ProblemError(FORBIDDEN, f"the key {self.key.key_id} allows {allowed}, not {scope!r}")
        wrong = "this key is unknown, expired or revoked" if self.gave else "send 'Authorization: Bearer <key>'"
        how = {"WWW-Authenticate": "Bearer"}
        raise ProblemError(UNAUTHORIZED, f"{wrong} (`crowdmood keys create` creates keys)", how)

    def may(self, scope: Scope) -> bool:
        """Return whether the client has a scope."""
        try:
            self.require(scope)
        except ProblemError:
            return False
        return True

    def now(self) -> "Caller":
        """Return the same client with the present state of its key, for long-lived connections."""
        lasts = self.key is not None and self.ring.opens_still(self.key)
        return Caller(self.ring, self.address, self.key if lasts else None, self.gave)
