"""A connection that outlives its server: failed operations are tried again until they work or we must stop."""

import logging
import random
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from crowdmood import metrics
from crowdmood.errors import ServerUnavailableError, SettingsError
from crowdmood.logs import redact

log = logging.getLogger(__name__)
T = TypeVar("T")
Client: TypeAlias = Any
"""A `redis.Redis`, whose annotations answer for the synchronous and the asynchronous client at once."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_TRANSIENT = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.TryAgainError,
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

    Attributes:
        client: The client underneath, for operations given to `call`.
        stop: Set when the process is to stop: then an outage is no longer waited out.
        outages: How many outages there were: an answer may have been lost in each.
    """

    def __init__(self, url: str, role: str, stop: threading.Event | None = None) -> None:
        self.client = connect(url)
        self.stop = stop or threading.Event()
        self.outages = 0
        self._role = role
        self._shown = redact(url)
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
            SettingsError: The server refuses our credentials.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                result = operation(self.client)
            except _REFUSED as error:
                raise SettingsError(f"{self._role} server {self._shown} refuses us: {error}") from None
            except _TRANSIENT as error:
                self._note(up=False, why=str(error))
                if not patient or self.stop.wait(pause_s * random.uniform(0.5, 1.0)):
                    raise ServerUnavailableError(
                        f"{self._role} server {self._shown} cannot be reached: {error}"
                    ) from None
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                self._note(up=True)
                return result

    def close(self) -> None:
        """Give the sockets back."""
        self.client.close()

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
