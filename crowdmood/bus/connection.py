"""A connection that outlives its server: failed operations are tried again until they work or we must stop."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from crowdmood.bus.cluster import Cluster, is_cluster
from crowdmood.core import metrics
from crowdmood.core.errors import ServerUnavailableError, SettingsError
from crowdmood.core.logs import redact

log = logging.getLogger(__name__)
T = TypeVar("T")
Client: TypeAlias = Any
"""A `redis.Redis`, whose annotations answer for the synchronous and the asynchronous client at once."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_CONFIRM_MS = 500
_UNCONFIRMED_S = 30.0
_TRANSIENT = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.TryAgainError,
    # A connection that broke while it watched keys; who watches deals with keys that changed.
    redis.WatchError,
    # Of a cluster, whose slots move and whose nodes follow one another.
    redis.exceptions.AskError,
    redis.exceptions.ClusterDownError,
)
# Refusals that waiting cannot heal, although redis-py counts them among connection errors.
_REFUSED = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)


def connect(url: str, timeout_s: float = 10.0) -> Client:
    """A client for a Redis-protocol server; connects when first used.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
        timeout_s: Longest wait for an answer, in seconds.

    Raises:
        SettingsError: Not such an address.
    """
    # A unix socket has no such option, and redis-py refuses it there even when off.
    keepalive = {} if url.startswith("unix") else {"socket_keepalive": True}
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            **keepalive,
            # Retrying is `Connection.call`'s: it knows when to give up.
            retry=Retry(NoBackoff(), 0),
        )
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{redact(url)!r} is no server address: use redis://, rediss:// or unix://") from error


class Connection:
    """Runs operations against one server, through its outages.

    Args:
        url: Its address.
        role: What it is to us: `bus` or `state`.
        stop: Set when the process is to stop.
        key: Any of the keys in use, for a cluster: they are all on the node that has this one.

    Attributes:
        client: The client underneath, for operations given to `call`.
        stop: Set when the process is to stop: then an outage is no longer waited out.
        outages: How many outages there were: an answer may have been lost in each.
    """

    def __init__(self, url: str, role: str, stop: threading.Event | None = None, key: str = "") -> None:
        self._cluster = Cluster(url, key) if key and is_cluster(url) else None
        self.client = connect(self._cluster.nodes[0] if self._cluster else url)
        self._lost = self._cluster is not None
        self._alone_until = 0.0
        self.stop = stop or threading.Event()
        self.outages = 0
        self._role = role
        self._shown = redact(url)
        self._user = self.client.get_connection_kwargs().get("username") or "default"
        self._up = True
        metrics.SERVER_UP.labels(role).set(1)

    def call(self, operation: Callable[[Client], T], *, patient: bool = True) -> T:
        """Run an operation, again and again with a jittered, growing pause while the server is away.

        An operation may have taken effect although its answer was lost, so it can take effect twice: receivers
        tell by the frame's identity.

        Args:
            operation: What to do with the client.
            patient: Whether to wait an outage out; else the first failure is raised.

        Raises:
            ServerUnavailableError: Away, and we were told to stop or not to wait.
            SettingsError: The server refuses our credentials, or does not let our user do this.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                self._find()
                result = operation(self.client)
            except _REFUSED as error:
                raise SettingsError(f"{self._role} server {self._shown} refuses us: {error}") from None
            except redis.exceptions.NoPermissionError as error:
                # Of a pipeline it quotes what was sent, which is nothing to be shown.
                why = str(error).rpartition("caused error: ")[2]
                raise SettingsError(
                    f"{self._role} server {self._shown} does not let user {self._user!r} do this: {why}; "
                    f"deploy/redis/{self._role}.acl has what each user needs"
                ) from None
            except _TRANSIENT as error:
                self._note(up=False, why=str(error))
                self._lost = self._cluster is not None
                if not patient or self.stop.wait(pause_s * random.uniform(0.5, 1.0)):
                    raise ServerUnavailableError(
                        f"{self._role} server {self._shown} cannot be reached: {error}"
                    ) from None
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                self._note(up=True)
                return result

    def confirm(self, client: Client) -> None:
        """On a cluster, wait until a replica has what this thread wrote last: then it outlives its node.

        Without a replica that answers it goes on all the same, and for a while does not ask again.

        Args:
            client: What it was written with.
        """
        if self._cluster is None or time.monotonic() < self._alone_until:
            return
        # The pool gives the connection that was used last, which is the one whose writes are waited for.
        if client.wait(1, _CONFIRM_MS) < 1:
            self._alone_until = time.monotonic() + _UNCONFIRMED_S
            log.warning("no replica of the %s server confirms: what is written now may die with it", self._role)

    def close(self) -> None:
        """Give the sockets back."""
        self.client.close()

    def _find(self) -> None:
        """Turn to the cluster's node that has our keys, when we do not know it or it was away."""
        if self._cluster is not None and self._lost:
            self.client.close()
            self.client = connect(self._cluster.primary())
            self._lost, self._alone_until = False, 0.0

    def _note(self, *, up: bool, why: str = "") -> None:
        if up is self._up:
            return
        self._up = up
        metrics.SERVER_UP.labels(self._role).set(up)
        if up:
            log.warning("%s server %s is back", self._role, self._shown)
        else:
            self.outages += 1
            log.warning("%s server %s is away, trying again: %s", self._role, self._shown, why)
