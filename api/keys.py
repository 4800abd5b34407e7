"""Which keys there are, who asks with one, and what that allows."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from api.problems import Kind, ProblemError
from crowdmood.store.api_keys import ApiKey, KeyTable, Scope, split

UNAUTHORIZED = Kind("unauthorized", 401, "A key is needed.")
FORBIDDEN = Kind("forbidden", 403, "The key does not allow this.")
NOT_READY = Kind("not-ready", 503, "The keys have not been read yet.")


class KeyRing:
    """The keys that the API knows, kept fresh by its follower.

    Args:
        local: Whether only this machine can reach the API.
        clock: Wall-clock time in seconds since 1970-01-01 UTC.
    """

    def __init__(self, *, local: bool, clock: Callable[[], float] = time.time) -> None:
        self.local = local
        self._clock = clock
        self._table: KeyTable | None = None

    def take(self, table: KeyTable) -> None:
        """Know these keys, and no others."""
        self._table = table

    @property
    def loaded(self) -> bool:
        """Whether the keys were ever read."""
        return self._table is not None

    @property
    def open(self) -> bool:
        """Whether everybody may do everything: only this machine can ask, and nobody ever made a key."""
        return self.local and self._table == {}

    def find(self, text: str) -> ApiKey | None:
        """The key that this text is, if it opens anything."""
        key_id, secret = split(text)
        key = (self._table or {}).get(key_id)
        return key if key is not None and key.opens(secret, self._clock() * 1000) else None

    def opens_still(self, key: ApiKey) -> bool:
        """Whether a key that was found is there yet, and neither revoked nor expired since."""
        now = (self._table or {}).get(key.key_id)
        return now is not None and now.state(self._clock() * 1000) == "active"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        ring: The keys that there are.
        address: The network that the request came from, as limits count it.
        key: The caller's; None when it gave none that opens anything.
        gave: Whether it gave one at all.
    """

    ring: KeyRing
    address: str
    key: ApiKey | None
    gave: bool

    @property
    def name(self) -> str:
        """What limits are counted by: the key, or the address of a client without one."""
        return self.address if self.key is None else self.key.key_id

    def require(self, scope: Scope) -> None:
        """Return when the caller may do that.

        Raises:
            ProblemError: It may not.
        """
        if self.ring.open or (self.key is not None and self.key.allows(scope)):
            return
        if not self.ring.loaded:
            if self.ring.local and scope == "read":
                return  # nothing has been read yet that could be told
            raise ProblemError(NOT_READY, "the state store has not been read yet: try again", {"Retry-After": "1"})
        if self.key is not None:
            allowed = ", ".join(map(repr, self.key.scopes))
            raise ProblemError(FORBIDDEN, f"the key {self.key.key_id} allows {allowed}, not {scope!r}")
        wrong = "this key is unknown, expired or revoked" if self.gave else "send 'Authorization: Bearer <key>'"
        how = {"WWW-Authenticate": "Bearer"}
        raise ProblemError(UNAUTHORIZED, f"{wrong} (`crowdmood keys create` makes keys)", how)

    def may(self, scope: Scope) -> bool:
        """Whether the caller may do that."""
        try:
            self.require(scope)
        except ProblemError:
            return False
        return True

    def now(self) -> "Caller":
        """The same caller by what is known of its key now: for what goes on for long."""
        lasts = self.key is not None and self.ring.opens_still(self.key)
        return Caller(self.ring, self.address, self.key if lasts else None, self.gave)
