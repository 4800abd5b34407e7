"""A connection to Redis that retries failed operations until they succeed or the process stops."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from crowdmood.bus.cluster import Cluster, is_cluster
from crowdmood.core import metrics
from crowdmood.core.backoff import Backoff
from crowdmood.core.errors import ServerUnavailableError, SettingsError
from crowdmood.core.health import WATCHDOG
from crowdmood.core.logs import redact

log = logging.getLogger(__name__)
T = TypeVar("T")
Client: TypeAlias = Any
"""A `redis.Redis`. Its annotations cover the synchronous and the asynchronous client at once, so they are not used."""

_CONFIRM_MS = 500
_UNCONFIRMED_S = 30.0
_TRANSIENT = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.TryAgainError,
    # The connection broke while it watched keys. Callers that watch keys handle changed keys themselves.
    redis.WatchError,
    # Slots of a cluster moved, or a replica was promoted.
    redis.exceptions.AskError,
    redis.exceptions.ClusterDownError,
)
_DISK_FULL = "MISCONF"
"""Begins what a server answers to writes while it cannot write its file; it goes on answering reads."""

_full: set[tuple[str, str]] = set()
"""Role and address of each server that cannot write to its disk."""

_full_lock = threading.Lock()

# redis-py derives these from ConnectionError, but retrying does not help.
_REFUSED = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)


def is_full(error: Exception) -> bool:
    """Return whether a server refused a command because its memory is full; commands that free memory still work."""
    aborted = isinstance(error, redis.exceptions.ExecAbortError) and "OOM" in str(error)
    return aborted or isinstance(error, redis.exceptions.OutOfMemoryError)


def connect(url: str, timeout_s: float = 10.0) -> Client:
    """Return a client for a Redis-protocol server; it connects when first used.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
        timeout_s: Longest wait for a reply, in seconds.

    Raises:
        SettingsError: The URL is none of these.
    """
    # redis-py refuses this option for a unix socket, even when it is off.
    keepalive = {} if url.startswith("unix") else {"socket_keepalive": True}
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            **keepalive,
            # `Connection.call` retries, because it knows when the process stops.
            retry=Retry(NoBackoff(), 0),
        )
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{redact(url)!r} is no server address: use redis://, rediss:// or unix://") from error


class Connection:
    """Runs operations on one server and retries them while it is unreachable, and writes while its disk is full.

    Args:
        url: The server's URL.
        role: `bus` or `state`, for logs, metrics and errors.
        stop: Set when the process is to stop.
        key: Any of the keys in use. A cluster needs it to find the node that has all of them.

    Attributes:
        client: The current client; operations get it from `call`.
        stop: Set when the process is to stop; operations are no longer retried then.
        outages: Number of outages so far. In each, a reply may have been lost.
    """

    def __init__(self, url: str, role: str, stop: threading.Event | None = None, key: str = "") -> None:
        self._cluster = Cluster(url, key) if key and is_cluster(url) else None
        self.client = connect(self._cluster.nodes[0] if self._cluster else url)
        self._primary_unknown = self._cluster is not None
        self._skip_confirm_until = 0.0
        self.stop = stop or threading.Event()
        self.outages = 0
        self._role = role
        self._shown = redact(url)
        self._user = self.client.get_connection_kwargs().get("username") or "default"
        self._up = True
        metrics.SERVER_UP.labels(role).set(1)
        metrics.SERVER_WRITABLE.labels(role).set(1)

    def call(self, operation: Callable[[Client], T], *, patient: bool = True) -> T:
        """Run an operation; while the server is unreachable or refuses it, retry it with a jittered, growing pause.

        An operation may have taken effect although its reply was lost, so it can take effect twice. Receivers of
        messages recognise duplicates by the frame's identity.

        Args:
            operation: Called with the client.
            patient: Whether to retry. If not, the first failure is raised.

        Raises:
            ServerUnavailableError: The server is unreachable or cannot write to its disk, and the process stops or
                `patient` is false.
            SettingsError: The server refuses the login, or the user lacks a permission.
        """
        backoff = Backoff()
        refused = False
        while True:
            try:
                self._find_primary()
                result = operation(self.client)
            except _REFUSED as error:
                raise SettingsError(f"{self._role} server {self._shown} refuses the login: {error}") from None
            except redis.exceptions.NoPermissionError as error:
                # For a pipeline the text quotes the command with its arguments, which must not be shown.
                why = str(error).rpartition("caused error: ")[2]
                raise SettingsError(
                    f"{self._role} server {self._shown} does not let user {self._user!r} do this: {why}; "
                    f"deploy/redis/{self._role}.acl has what each user needs"
                ) from None
            except _TRANSIENT as error:
                self._wait_for_server(error, backoff, patient=patient)
            except redis.ResponseError as error:
                if is_full(error):
                    self._wait_for_server(error, backoff, patient=patient)
                    continue
                # Errors of a pipeline quote the command first, with its arguments, which must not be shown.
                _, misconfigured, why = str(error).partition(_DISK_FULL)
                if not misconfigured:
                    raise
                refused = True
                self._report_writable(writable=False, why=why.strip())
                WATCHDOG.extend()
                if not patient or self.stop.wait(backoff.next_s()):
                    raise ServerUnavailableError(
                        f"{self._role} server {self._shown} cannot write to its disk: {why.strip()}; free space there"
                    ) from None
            else:
                self._report(up=True)
                if refused:
                    self._report_writable(writable=True)
                return result

    def confirm(self, client: Client) -> None:
        """On a cluster, wait until a replica has this thread's last write, so that the write survives its node.

        If no replica confirms in time, log it, return, and skip the wait for some time.

        Args:
            client: The client that wrote.
        """
        if self._cluster is None or time.monotonic() < self._skip_confirm_until:
            return
        # The pool returns the connection that was used last; WAIT covers the writes of that connection.
        if client.wait(1, _CONFIRM_MS) < 1:
            self._skip_confirm_until = time.monotonic() + _UNCONFIRMED_S
            log.warning("no replica of the %s server confirms writes: they are lost if the server fails", self._role)

    def close(self) -> None:
        """Close the sockets."""
        self.client.close()

    def _wait_for_server(self, error: redis.RedisError, backoff: Backoff, *, patient: bool) -> None:
        """Report the outage and wait; raise if the caller does not wait, or if the process stops."""
        self._report(up=False, why=str(error))
        self._primary_unknown = self._cluster is not None
        WATCHDOG.extend()
        if not patient or self.stop.wait(backoff.next_s()):
            raise ServerUnavailableError(f"{self._role} server {self._shown} cannot be reached: {error}") from None

    def _find_primary(self) -> None:
        """Connect to the cluster node that has the keys, at first and after each failure."""
        if self._cluster is not None and self._primary_unknown:
            self.client.close()
            self.client = connect(self._cluster.primary())
            self._primary_unknown, self._skip_confirm_until = False, 0.0

    def _report(self, *, up: bool, why: str = "") -> None:
        if up is self._up:
            return
        self._up = up
        metrics.SERVER_UP.labels(self._role).set(up)
        if up:
            log.warning("%s server %s is reachable again", self._role, self._shown)
        else:
            self.outages += 1
            log.warning("%s server %s is unreachable, retrying: %s", self._role, self._shown, why)

    def _report_writable(self, *, writable: bool, why: str = "") -> None:
        # A process may have several connections to a server; only one of them reports its disk.
        with _full_lock:
            if writable is ((self._role, self._shown) not in _full):
                return
            (_full.discard if writable else _full.add)((self._role, self._shown))
        metrics.SERVER_WRITABLE.labels(self._role).set(writable)
        if writable:
            log.warning("%s server %s writes to its disk again", self._role, self._shown)
        else:
            log.error(
                "%s server %s cannot write to its disk, so writes wait and reads go on; free space there: %s",
                self._role,
                self._shown,
                why,
            )
