"""The audit log in the state store: who did what, when, from what to what.

Entries are only appended, and deleted by age alone. A change of the state store and its entry are written in one
transaction, so neither exists without the other. An entry has no mood, no secret and no credential.
"""

import os
import pwd
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from crowdmood.bus.connection import Client, Connection
from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError
from crowdmood.domain.mood import to_rfc3339
from crowdmood.store.keys import StateKeys
from crowdmood.store.positions import order

Action: TypeAlias = Literal[
    "preview.viewed",
    "photo.classified",
    "regions.saved",
    "regions.deleted",
    "model.chosen",
    "model.reset",
    "override.set",
    "override.cleared",
    "override.ended",
    "key.created",
    "key.revoked",
    "webhook.created",
    "webhook.changed",
    "webhook.deleted",
    "webhook.secret_rotated",
]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)

COLUMNS: Final = ("id", "at", "via", "key", "name", "address", "action", "target", "from", "to")
"""The fields of an entry as JSON or CSV, in this order."""

_PAGE: Final = 500
_MOST_SCANNED: Final = 10_000
"""Most entries that one page searches, which limits how long its request takes."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts.

    Attributes:
        via: `api`: a client; `command line`: a user of the machine; `system`: CrowdMood itself, at a set time.
        key: Id of the client's API key; None without a key.
        name: Name of the API key, or of the operating system's user.
        address: The client's IP address, a /64 network for IPv6, or the name of the user's machine.
    """

    via: Literal["api", "command line", "system"]
    key: str | None = None
    name: str | None = None
    address: str | None = None


def this_user() -> Actor:
    """Return the operating system's user who runs this process."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run with a user id that has no name
        name = f"uid {uid}"
    return Actor("command line", name=name, address=socket.gethostname())


@dataclass(frozen=True, slots=True)
class Entry:
    """One action.

    Attributes:
        id: The entry's id in the store; a page continues before it.
        who: Who acted.
        action: One of `ACTIONS`, or an action of a newer release.
        target: What it was done to: a camera, a key, a webhook, an override or a run; None where nothing needs a name.
        before: The state before, as JSON; None where there was none.
        after: The state after, as JSON; None where there is none.
    """

    id: str
    who: Actor
    action: str
    target: str | None
    before: Any
    after: Any

    @classmethod
    def read(cls, id_: bytes, fields: dict[bytes, bytes]) -> Self:
        """Read a stored entry.

        Raises:
            UndecodableError: It is not an entry.
        """
        try:
            given = stored.parse(fields[b"json"])
            who = Actor(**{name: given[name] for name in Actor.__slots__})
            return cls(id_.decode(), who, given["action"], given["target"], given["from"], given["to"])
        except (TypeError, KeyError) as error:
            raise UndecodableError(f"not an entry of the audit log: {error!r}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the public JSON object, with the fields of `COLUMNS`."""
        at = to_rfc3339(order(self.id.encode())[0])
        values = (self.id, at, *asdict(self.who).values(), self.action, self.target, self.before, self.after)
        return dict(zip(COLUMNS, values, strict=True))


def append(
    client: Client,
    keys: StateKeys,
    who: Actor | None,
    action: Action,
    target: str | None = None,
    *,
    before: object = None,
    after: object = None,
) -> None:
    """Append an entry, or add its appending to a transaction.

    Args:
        client: A client, or a transaction in progress.
        keys: The keys of the state store.
        who: Who acts; None: the operating system's user who runs this process.
        action: The action.
        target: What it is done to.
        before: The state before, JSON.
        after: The state after, JSON.
    """
    entry = asdict(who or this_user()) | {"action": action, "target": target, "from": before, "to": after}
    client.xadd(keys.audit, {"json": stored.to_json(entry)})


def shown(text: bytes | None) -> object:
    """Return the text of a stored object as JSON for an entry; a damaged one is quoted, since it is replaced."""
    if text is None:
        return None
    try:
        return stored.parse(text)
    except UndecodableError:
        return text.decode(errors="replace")


class AuditLog:
    """Reads the audit log, records actions that change nothing in the state store, and deletes what is too old.

    While the store is unreachable, calls raise ServerUnavailableError at once.

    Args:
        url: The server's address.
        key_prefix: First part of every key.
        keep_days: Days after which entries are deleted; older entries are not returned.
        stop: Set when the process is to stop.
        clock: Wall-clock time in seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        url: str,
        key_prefix: str,
        keep_days: float,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.connection = Connection(url, "state", stop)
        self._keys = StateKeys(key_prefix)
        self._keep_ms = keep_days * 86_400_000
        self._clock = clock

    def record(self, who: Actor | None, action: Action, target: str | None = None, *, after: object = None) -> None:
        """Append an entry; the action may begin when this returns."""
        self._call(lambda client: append(client, self._keys, who, action, target, after=after))

    def page(
        self,
        from_ms: int | None,
        to_ms: int | None,
        limit: int,
        before: bytes | None = None,
        wanted: Callable[[Entry], bool] = lambda _: True,
    ) -> tuple[list[Entry], bytes | None]:
        """Return the newest entries of a range of time, newest first, and the id before which the search continues.

        Args:
            from_ms: Earliest time, inclusive, in milliseconds since 1970-01-01 UTC; None for no bound.
            to_ms: Latest time, exclusive; None for no bound.
            limit: Most entries.
            before: Only entries before this id; None for no bound.
            wanted: Returns whether an entry is wanted.

        Returns:
            The entries, and None when everything was searched. A page may be short, or empty, before the last one.
        """
        first, end = self._bounds(from_ms, to_ms)
        if before is not None and (end == "+" or order(before) < order(end[1:].encode())):
            end = f"({before.decode()}"
        found: list[Entry] = []
        for _ in range(_MOST_SCANNED // _PAGE):
            entries = self._range("xrevrange", end, first, _PAGE)
            for id_, entry in entries:
                if entry is not None and wanted(entry):
                    if len(found) == limit:
                        return found, found[-1].id.encode()
                    found.append(entry)
                end = f"({id_.decode()}"
            if len(entries) < _PAGE:
                return found, None
        return found, end[1:].encode()

    def entries(self, from_ms: int | None = None, to_ms: int | None = None) -> Iterator[Entry]:
        """Yield the entries of a range of time, oldest first; see `page`."""
        first, end = self._bounds(from_ms, to_ms)
        while entries := self._range("xrange", first, end, _PAGE):
            for id_, entry in entries:
                if entry is not None:
                    yield entry
                first = f"({id_.decode()}"

    def trim(self) -> None:
        """Delete the entries that are too old."""
        oldest, _ = self._bounds(None, None)
        self._call(lambda client: client.xtrim(self._keys.audit, minid=oldest, approximate=False))

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()

    def _bounds(self, from_ms: int | None, to_ms: int | None) -> tuple[str, str]:
        kept_from_ms = max(0, round(self._clock() * 1000 - self._keep_ms))
        return str(max(from_ms or 0, kept_from_ms)), "+" if to_ms is None else f"({max(to_ms, 1)}-0"

    def _range(self, command: str, start: str, end: str, count: int) -> list[tuple[bytes, Entry | None]]:
        read = self._call(lambda client: getattr(client, command)(self._keys.audit, start, end, count))
        return [(id_, _read(id_, fields)) for id_, fields in read]

    def _call(self, operation: Callable[[Client], Any]) -> Any:
        return self.connection.call(operation, patient=False)


def _read(id_: bytes, fields: dict[bytes, bytes]) -> Entry | None:
    try:
        return Entry.read(id_, fields)
    except UndecodableError as error:
        stored.skipped("audit_entry", id_, error)
        return None
