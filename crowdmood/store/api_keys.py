"""API keys in the state store: what each allows, kept as salted hashes only."""

import hashlib
import hmac
import json
import logging
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from crowdmood.bus.connection import Client, Connection
from crowdmood.core.errors import UndecodableError
from crowdmood.store.keys import StateKeys

log = logging.getLogger(__name__)

Scope: TypeAlias = Literal["read", "manage", "predict"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""`manage` includes `read`; every other scope allows what it names and nothing else."""

_PREFIX = "cm"
_SECRET_BYTES = 32
"""A secret that nobody can guess needs no slow hash: verifying it costs a request some microseconds."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key: enough to recognise it, not to make it.

    Attributes:
        key_id: Names the key; no secret.
        name: Who has it, for people.
        scopes: What it allows, in the order of `SCOPES`.
        salt: Hexadecimal; of this key alone.
        digest: Hexadecimal HMAC-SHA-256 of the secret under the salt.
        created_at_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        expires_at_ms: From then on it opens nothing; None for never.
        revoked_at_ms: Since then it opens nothing; None while it has not been revoked.
    """

    key_id: str
    name: str
    scopes: tuple[Scope, ...]
    salt: str
    digest: str
    created_at_ms: int
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None

    @classmethod
    def make(
        cls, name: str, scopes: Scope | Iterable[Scope], created_at_ms: int, expires_at_ms: int | None
    ) -> tuple[str, Self]:
        """Return a new key: the text to hand over, which is nowhere kept, and what is kept of it."""
        wanted = {scopes} if isinstance(scopes, str) else set(scopes)
        allowed = tuple(scope for scope in SCOPES if scope in wanted)
        key_id, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES), secrets.token_hex(16)
        key = cls(key_id, name, allowed, salt, _digest(salt, secret), created_at_ms, expires_at_ms)
        return f"{_PREFIX}_{key_id}_{secret}", key

    def opens(self, secret: str, now_ms: float) -> bool:
        """Whether this is its secret, and it is neither revoked nor expired."""
        known = hmac.compare_digest(self.digest, _digest(self.salt, secret))
        return known and self.state(now_ms) == "active"

    def allows(self, scope: Scope) -> bool:
        """Return whether it may be used for that."""
        return scope in self.scopes or (scope == "read" and "manage" in self.scopes)

    def state(self, now_ms: float) -> Literal["active", "revoked", "expired"]:
        """Whether it opens anything now."""
        if self.revoked_at_ms is not None:
            return "revoked"
        return "expired" if self.expires_at_ms is not None and now_ms >= self.expires_at_ms else "active"

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` of this or an earlier release wrote; ignore fields that a newer writer added.

        Raises:
            UndecodableError: It is no key.
        """
        try:
            given = json.loads(text)
            known = {name: value for name, value in given.items() if name in cls.__slots__}
            # Earlier releases knew one scope a key.
            scopes = [given["scope"]] if "scopes" not in given else given["scopes"]
            return cls(**known | {"scopes": tuple(scope for scope in SCOPES if scope in scopes)})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UndecodableError(f"no API key: {error!r}") from None


KeyTable: TypeAlias = dict[str, ApiKey]
"""Keys by their ids."""


def split(text: str) -> tuple[str, str]:
    """A key's id and secret; two empty texts where it is no key."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == _PREFIX and secret else ("", "")


def read_table(raw: Mapping[bytes, bytes]) -> KeyTable:
    """The stored keys, oldest first; one that cannot be read opens nothing and is passed over."""
    found = []
    for key_id, text in raw.items():
        try:
            found.append(ApiKey.from_json(text))
        except UndecodableError as error:
            log.warning("passed over the API key %s: %s", key_id.decode(errors="replace")[:40], error)
    return {key.key_id: key for key in sorted(found, key=lambda key: (key.created_at_ms, key.key_id))}


class ApiKeyStore:
    """The command line's view: makes and revokes keys; synchronous.

    Unless said otherwise no call waits for a store that is away: it raises ServerUnavailableError.
    """

    def __init__(self, url: str, key_prefix: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self._key = StateKeys(key_prefix).api_keys

    def add(self, key: ApiKey) -> None:
        """Keep a key."""
        self.connection.call(lambda client: client.hset(self._key, key.key_id, key.to_json()), patient=False)

    def table(self, *, patient: bool = False) -> KeyTable:
        """Every key, also those that open nothing any more.

        Args:
            patient: Whether to wait for a store that is away.
        """
        raw: Any = self.connection.call(lambda client: client.hgetall(self._key), patient=patient)
        return read_table(raw)

    def revoke(self, key_id: str, at_ms: int) -> ApiKey | None:
        """Make a key open nothing any more; None when there is no such key.

        It stays in the table: without it, who owned the last key would leave an API that asks for none.
        """

        def transaction(client: Client) -> ApiKey | None:
            text = client.hget(self._key, key_id)
            if text is None:
                return None
            key = ApiKey.from_json(text)
            revoked = key if key.revoked_at_ms is not None else replace(key, revoked_at_ms=at_ms)
            client.hset(self._key, key_id, revoked.to_json())
            return revoked

        return self.connection.call(transaction, patient=False)

    def close(self) -> None:
        """Give the sockets back."""
        self.connection.close()


def _digest(salt: str, secret: str) -> str:
    return hmac.new(bytes.fromhex(salt), secret.encode(), hashlib.sha256).hexdigest()
