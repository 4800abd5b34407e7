"""Redis Cluster, as far as a partition needs it: its keys share a slot, so that one node at a time has all of them."""

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
    """Whether an address is a cluster's: `redis+cluster://HOST:PORT,HOST:PORT`, or `rediss+cluster://…` with TLS."""
    return urlsplit(url).scheme in ("redis" + _SUFFIX, "rediss" + _SUFFIX)


class Cluster:
    """Knows which node has a partition, also after another one has taken its place.

    Args:
        url: The cluster's address, with some of its nodes: any one that answers will do.
        key: A key of the partition.
        timeout_s: Longest wait for a node's answer, in seconds.

    Attributes:
        nodes: Addresses of the nodes, those that answered last first.
    """

    def __init__(self, url: str, key: str, timeout_s: float = 2.0) -> None:
        self._parts = urlsplit(url)
        self._parts = self._parts._replace(scheme=self._parts.scheme.removesuffix(_SUFFIX))
        self._slot = key_slot(key.encode())
        self._timeout_s = timeout_s
        self.nodes = [self._address(host) for host in self._parts.netloc.rpartition("@")[2].split(",")]

    def primary(self) -> str:
        """Address of the node that has the partition now.

        Raises:
            redis.ConnectionError: No node answers, or none has the partition.
            SettingsError: That is no cluster.
        """
        failure: Exception = redis.ConnectionError("no node is named")
        for address in self.nodes:
            try:
                ranges = self._ask(address)
            except (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError):
                raise
            except (redis.ConnectionError, redis.TimeoutError) as error:
                failure = error
                continue
            # A node may not know its own address, and then means the one that it was asked at.
            asked = urlsplit(address).hostname or ""
            servers = [[self._address(_joined(s[0] or asked, s[1])) for s in found] for _, _, *found in ranges]
            known = [server for found in servers for server in found]
            self.nodes = list(dict.fromkeys([address, *known, *self.nodes]))
            for (first, last, *_), (primary, *_) in zip(ranges, servers, strict=True):
                if first <= self._slot <= last:
                    return primary
            failure = redis.ConnectionError(f"no node has slot {self._slot}")
        raise redis.ConnectionError(str(failure)) from failure

    def _ask(self, address: str) -> list[Any]:
        """Ranges of slots: first, last, then host and port of the primary and of its replicas."""
        client: Any = redis.Redis.from_url(
            address,
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
                raise SettingsError(f"{redact(address)!r} is no node of a cluster: use redis:// or rediss://") from None
            raise
        finally:
            client.close()

    def _address(self, host: str) -> str:
        user, at, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{user}{at}{host}").geturl()


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
