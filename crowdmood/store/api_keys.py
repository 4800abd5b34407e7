"""API keys in the state store, with their scopes; secrets are kept as salted hashes only."""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from crowdmood.bus.connection import Client, Connection
from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError
from crowdmood.domain.mood import to_rfc3339
from crowdmood.store import audit
from crowdmood.store.audit import Actor
from crowdmood.store.keys import StateKeys

Scope: TypeAlias = Literal["read", "operate", "manage", "predict", "audit"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""`manage` includes `read` and `operate`; every other scope allows only what it names."""

_PREFIX = "cm"
_SECRET_BYTES = 32
"""A secret that cannot be guessed needs no slow hash: verifying it costs a request some microseconds."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The stored part of a key, which recognises the key but cannot reproduce it.

    Attributes:
        key_id: Identifies the key; not secret.
        name: Its owner, for people.
        scopes: Its scopes, in the order of `SCOPES`.
        salt: Hexadecimal; different for each key.
        digest: Hexadecimal HMAC-SHA-256 of the secret under the salt.
        created_at_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        expires_at_ms: The key is invalid from then on; None: it never expires.
        revoked_at_ms: The key is invalid since then; None while it has not been revoked.
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
        """Return the text of a new key, which is stored nowhere, and its stored part."""
        wanted = {scopes} if isinstance(scopes, str) else set(scopes)
        allowed = tuple(scope for scope in SCOPES if scope in wanted)
        key_id, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES), secrets.token_hex(16)
        key = cls(key_id, name, allowed, salt, _digest(salt, secret), created_at_ms, expires_at_ms)
        return f"{_PREFIX}_{key_id}_{secret}", key

    def opens(self, secret: str, now_ms: float) -> bool:
        """Return whether this is the key's secret and the key is neither revoked nor expired."""
        known = hmac.compare_digest(self.digest, _digest(self.salt, secret))
        return known and self.state(now_ms) == "active"

    def allows(self, scope: Scope) -> bool:
        """Return whether the key includes a scope."""
        return scope in self.scopes or (scope in ("read", "operate") and "manage" in self.scopes)

    def state(self, now_ms: float) -> Literal["active", "revoked", "expired"]:
        """Return whether the key is active, revoked or expired."""
        if self.revoked_at_ms is not None:
            return "revoked"
        return "expired" if self.expires_at_ms is not None and now_ms >= self.expires_at_ms else "active"

    def to_json(self) -> str:
        """Return the key as it is stored."""
        return stored.to_json(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read the JSON of `to_json` of this or an earlier release; ignore fields that a newer release added.

        Raises:
            UndecodableError: The text is not a key.
        """
        try:
            given = stored.parse(text)
            # Earlier releases stored one scope per key.
            scopes = [given["scope"]] if "scopes" not in given else given["scopes"]
            key = stored.build(cls, given | {"scopes": [scope for scope in SCOPES if scope in scopes]})
            bytes.fromhex(key.salt)
        except (UndecodableError, ValueError, TypeError, KeyError) as error:
            raise UndecodableError(f"not an API key: {error}") from None
        return key


KeyTable: TypeAlias = dict[str, ApiKey]
"""Keys by their ids."""


def split(text: str) -> tuple[str, str]:
    """Return a key's id and secret; two empty strings when the text is not a key."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == _PREFIX and secret else ("", "")


def read_table(raw: Mapping[bytes, bytes]) -> KeyTable:
    """Return the stored keys, oldest first; skip keys that cannot be read, which makes them invalid."""
    found = []
    for key_id, text in raw.items():
        try:
            found.append(ApiKey.from_json(text))
        except UndecodableError as error:
            stored.skipped("api_key", key_id, error)
    return {key.key_id: key for key in sorted(found, key=lambda key: (key.created_at_ms, key.key_id))}


class ApiKeyStore:
    """Adds and revokes keys, and records both in the audit log; synchronous.

    While the store is unreachable, calls raise ServerUnavailableError at once unless they take `patient`. Without
    `who`, the operating system's user acts.
    """

    def __init__(self, url: str, key_prefix: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self._keys = StateKeys(key_prefix)
        self._key = self._keys.api_keys

    def add(self, key: ApiKey, who: Actor | None = None) -> None:
        """Store a key."""
        expires_at = None if key.expires_at_ms is None else to_rfc3339(key.expires_at_ms)
        shown = {"name": key.name, "scopes": key.scopes, "expires_at": expires_at}

        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                multi.hset(self._key, key.key_id, key.to_json())
                audit.append(multi, self._keys, who, "key.created", key.key_id, after=shown)
                multi.execute()

        self.connection.call(transaction, patient=False)

    def table(self, *, patient: bool = False) -> KeyTable:
        """Return every key, also expired and revoked ones.

        Args:
            patient: Whether to wait while the store is unreachable.
        """
        raw: Any = self.connection.call(lambda client: client.hgetall(self._key), patient=patient)
        return read_table(raw)

    def revoke(self, key_id: str, at_ms: int, who: Actor | None = None) -> ApiKey | None:
        """Revoke a key and return it; None when it does not exist.

        The key stays in the table: without any key, the API would not require one.
        """

        def transaction(client: Client) -> ApiKey | None:
            text = client.hget(self._key, key_id)
            if text is None:
                return None
            key = ApiKey.from_json(text)
            if key.revoked_at_ms is not None:
                return key
            revoked = replace(key, revoked_at_ms=at_ms)
            before, after = ({"name": one.name, "state": one.state(at_ms)} for one in (key, revoked))
            with client.pipeline(transaction=True) as multi:
                multi.hset(self._key, key_id, revoked.to_json())
                audit.append(multi, self._keys, who, "key.revoked", key_id, before=before, after=after)
                multi.execute()
            return revoked

        return self.connection.call(transaction, patient=False)

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()


def _digest(salt: str, secret: str) -> str:
    return hmac.new(bytes.fromhex(salt), secret.encode(), hashlib.sha256).hexdigest()
