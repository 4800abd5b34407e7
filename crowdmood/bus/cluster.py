"""Redis Cluster: find the node that serves a partition, whose keys all share one slot."""

from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from crowdmood.core.errors import SettingsError
from crowdmood.core.logs import redact

_SUFFIX = "+cluster"


def is_cluster(url: str) -> bool:
    """Return whether a URL is a cluster's: `redis+cluster://HOST:PORT,HOST:PORT`, or `rediss+cluster://…` with TLS."""
    return urlsplit(url).scheme in ("redis" + _SUFFIX, "rediss" + _SUFFIX)


class Cluster:
    """The nodes of a cluster, from which the node of a partition is looked up.

    Args:
        url: The cluster's URL, with some of its nodes; one reachable node is enough.
        key: A key of the partition.
        timeout_s: Longest wait for a node's reply, in seconds.

    Attributes:
        nodes: URLs of the nodes; those that replied most recently come first.
    """

    def __init__(self, url: str, key: str, timeout_s: float = 2.0) -> None:
        self._parts = urlsplit(url)
        self._parts = self._parts._replace(scheme=self._parts.scheme.removesuffix(_SUFFIX))
        self._slot = key_slot(key.encode())
        self._timeout_s = timeout_s
        self.nodes = [self._url(host) for host in self._parts.netloc.rpartition("@")[2].split(",")]

    def primary(self) -> str:
        """Return the URL of the node that serves the partition now.

        Raises:
            redis.ConnectionError: No node is reachable, or none serves the partition.
            SettingsError: The server is not a cluster.
        """
        failure: Exception = redis.ConnectionError("the URL names no node")
        for url in self.nodes:
            try:
                ranges = self._slot_ranges(url)
            except (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError):
                raise
            except (redis.ConnectionError, redis.TimeoutError) as error:
                failure = error
                continue
            # A node that does not know its own address returns an empty host: it is the host that was queried.
            queried = urlsplit(url).hostname or ""
            servers = [[self._url(_joined(s[0] or queried, s[1])) for s in found] for _, _, *found in ranges]
            known = [server for found in servers for server in found]
            self.nodes = list(dict.fromkeys([url, *known, *self.nodes]))
            for (first, last, *_), (primary, *_) in zip(ranges, servers, strict=True):
                if first <= self._slot <= last:
                    return primary
            failure = redis.ConnectionError(f"no node has slot {self._slot}")
        raise redis.ConnectionError(str(failure)) from failure

    def _slot_ranges(self, url: str) -> list[Any]:
        """Return ranges of slots: first, last, then host and port of the primary and of its replicas."""
        client: Any = redis.Redis.from_url(
            url,
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        client.response_callbacks.pop("CLUSTER SLOTS", None)
        try:
            return list(client.execute_command("CLUSTER SLOTS"))
        except redis.ResponseError as error:
            if "cluster support disabled" in str(error):
                raise SettingsError(f"{redact(url)!r} is no node of a cluster: use redis:// or rediss://") from None
            raise
        finally:
            client.close()

    def _url(self, host: str) -> str:
        user, at, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{user}{at}{host}").geturl()


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
