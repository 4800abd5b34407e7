"""Endpoints and deliveries in the state store. Synchronous: routes and the dispatcher call it from threads."""

import functools
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import redis

from crowdmood.bus.connection import Client, Connection
from crowdmood.store.keys import StateKeys
from webhooks.deliveries import Delivery, Status
from webhooks.endpoints import Endpoint, Health
from webhooks.events import Watch

T = TypeVar("T")

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Registered:
    """An endpoint and what became of it."""

    endpoint: Endpoint
    health: Health

    @property
    def open(self) -> bool:
        """Whether anything is sent to it."""
        return self.endpoint.enabled and self.health.disabled_at_ms is None


class WebhookStore:
    """The state store as webhooks see it.

    Args:
        url: The server's address.
        key_prefix: First part of every key.
        stop: Set when the process is to stop: then an outage is no longer waited out. None: none ever is.
    """

    def __init__(self, url: str, key_prefix: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self.keys = StateKeys(key_prefix)
        self._patient = stop is not None

    def close(self) -> None:
        """Give the sockets back."""
        self.connection.close()

    # What the API does.

    def find(self, endpoint_id: str) -> Registered | None:
        """One endpoint; None when there is none."""
        return self._call(lambda client: self._read_one(client, endpoint_id))

    def all(self) -> list[Registered]:
        """Every endpoint, oldest first."""

        def read(client: Client) -> list[Registered]:
            with client.pipeline(transaction=False) as both:
                both.hgetall(self.keys.webhooks)
                both.hgetall(self.keys.webhooks_health)
                endpoints, health = both.execute()
            return [_registered(text, health.get(id_)) for id_, text in endpoints.items()]

        found = self._call(read)
        return sorted(found, key=lambda one: (one.endpoint.created_at_ms, one.endpoint.id))

    def add(self, endpoint: Endpoint, most: int) -> bool:
        """Register an endpoint; False when there are as many as there may be."""

        def queue(_found: Registered | None, multi: Client) -> bool:
            multi.hset(self.keys.webhooks, endpoint.id, json.dumps(endpoint.to_dict()))
            return True

        def add(client: Client) -> bool:
            return int(client.hlen(self.keys.webhooks)) < most and self._changed(client, endpoint.id, queue)

        return self._call(add)

    def change(self, endpoint_id: str, change: Callable[[Endpoint], Endpoint], *, forgive: bool = False) -> bool:
        """Change an endpoint; False when there is none.

        Args:
            endpoint_id: Which.
            change: Makes the new one of the one there is.
            forgive: Whether what it failed of is forgotten, so that it is sent to again.
        """

        def queue(found: Registered | None, multi: Client) -> bool:
            if found is None:
                return False
            multi.hset(self.keys.webhooks, endpoint_id, json.dumps(change(found.endpoint).to_dict()))
            if forgive:
                multi.hdel(self.keys.webhooks_health, endpoint_id)
            return True

        return self._call(lambda client: self._changed(client, endpoint_id, queue))

    def remove(self, endpoint_id: str) -> bool:
        """Forget an endpoint and its deliveries; False when there is none."""

        def queue(found: Registered | None, multi: Client) -> bool:
            if found is None:
                return False
            multi.hdel(self.keys.webhooks, endpoint_id)
            self.queue_forgetting(endpoint_id, multi)
            return True

        return self._call(lambda client: self._changed(client, endpoint_id, queue))

    def delivery(self, endpoint_id: str, delivery_id: str) -> Delivery | None:
        """One delivery; None when there is none."""
        text = self._call(lambda client: client.hget(self.keys.deliveries(endpoint_id), delivery_id))
        return None if text is None else Delivery.from_dict(json.loads(text))

    def deliveries(
        self, endpoint_id: str, wanted: Callable[[Delivery], bool], limit: int, before: int | None = None
    ) -> list[Delivery]:
        """The newest deliveries of an endpoint.

        Args:
            endpoint_id: Which endpoint.
            wanted: Which deliveries.
            limit: At most this many.
            before: Only those of a smaller sequence.
        """
        found: list[Delivery] = []
        end = "+inf" if before is None else f"({before}"
        while len(found) < limit:
            page = self._call(functools.partial(self._page, endpoint_id, end))
            if not page:
                break
            found += filter(wanted, page)
            end = f"({page[-1].sequence}"
        return found[:limit]

    def send_again(self, endpoint_id: str, again: Sequence[Delivery]) -> None:
        """Write deliveries that are new or pending again, and tell the dispatcher."""

        def write(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                self._put(multi, endpoint_id, again)
                multi.incr(self.keys.webhooks_revision)
                multi.execute()

        self._call(write)

    def next_sequences(self, count: int) -> range:
        """So many places in the order, after all that were given before."""
        last = int(self._call(lambda client: client.incrby(self.keys.webhooks_sequence, count)))
        return range(last - count + 1, last + 1)

    # What the dispatcher does.

    def revision(self) -> int:
        """Changes when the API wrote something."""
        return int(self._call(lambda client: client.get(self.keys.webhooks_revision)) or 0)

    def watch(self) -> Watch | None:
        """How far a dispatcher has watched; None when none ever did."""
        text = self._call(lambda client: client.get(self.keys.webhooks_watch))
        return None if text is None else Watch.from_dict(json.loads(text))

    def work(self, endpoint_id: str) -> tuple[Registered | None, list[Delivery]]:
        """An endpoint and its pending deliveries."""

        def read(client: Client) -> tuple[Registered | None, list[Delivery]]:
            found = self._read_one(client, endpoint_id)
            ids = client.zrange(self.keys.pending_deliveries(endpoint_id), 0, -1)
            return found, self._read_deliveries(client, endpoint_id, ids)

        return self._call(read)

    def superfluous(self, endpoint_id: str, keep: int) -> list[bytes]:
        """Ids of the oldest deliveries beyond those that are kept; what is pending is kept."""

        def read(client: Client) -> list[bytes]:
            order = self.keys.delivery_order(endpoint_id)
            excess = int(client.zcard(order)) - keep
            if excess <= 0:
                return []
            pending = set(client.zrange(self.keys.pending_deliveries(endpoint_id), 0, -1))
            oldest = client.zrange(order, 0, excess + len(pending) - 1)
            return [id_ for id_ in oldest if id_ not in pending][:excess]

        return self._call(read)

    def queue_events(
        self,
        multi: Client,
        watch: Watch,
        made: Mapping[str, Sequence[Delivery]],
        superfluous: Mapping[str, list[bytes]],
    ) -> None:
        """Into a transaction: new deliveries by endpoint, how far was watched, and what is no longer kept."""
        for endpoint_id, deliveries in made.items():
            self._put(multi, endpoint_id, deliveries)
        for endpoint_id, ids in superfluous.items():
            if ids:
                multi.hdel(self.keys.deliveries(endpoint_id), *ids)
                multi.zrem(self.keys.delivery_order(endpoint_id), *ids)
        multi.set(self.keys.webhooks_watch, json.dumps(watch.to_dict()))

    def queue_outcome(
        self, multi: Client, endpoint_id: str, deliveries: Iterable[Delivery], health: Health | None = None
    ) -> None:
        """Into a transaction: what became of deliveries, and of their endpoint."""
        for delivery in deliveries:
            multi.hset(self.keys.deliveries(endpoint_id), delivery.id, json.dumps(delivery.to_dict()))
            if delivery.status is not Status.PENDING:
                multi.zrem(self.keys.pending_deliveries(endpoint_id), delivery.id)
        if health is not None:
            multi.hset(self.keys.webhooks_health, endpoint_id, json.dumps(health.to_dict()))

    def queue_forgetting(self, endpoint_id: str, multi: Client) -> None:
        """Into a transaction: nothing is left of an endpoint but what its owner set."""
        multi.hdel(self.keys.webhooks_health, endpoint_id)
        multi.delete(
            self.keys.deliveries(endpoint_id),
            self.keys.delivery_order(endpoint_id),
            self.keys.pending_deliveries(endpoint_id),
        )

    # How both do it.

    def _call(self, operation: Callable[[Client], T]) -> T:
        return self.connection.call(operation, patient=self._patient)

    def _changed(self, client: Client, endpoint_id: str, queue: Callable[[Registered | None, Client], bool]) -> bool:
        with client.pipeline(transaction=True) as multi:
            while True:
                multi.watch(self.keys.webhooks)
                text = multi.hget(self.keys.webhooks, endpoint_id)
                multi.multi()
                if not queue(None if text is None else _registered(text, None), multi):
                    return False
                multi.incr(self.keys.webhooks_revision)
                try:
                    multi.execute()
                except redis.WatchError:
                    continue
                return True

    def _read_one(self, client: Client, endpoint_id: str) -> Registered | None:
        text = client.hget(self.keys.webhooks, endpoint_id)
        return None if text is None else _registered(text, client.hget(self.keys.webhooks_health, endpoint_id))

    def _read_deliveries(self, client: Client, endpoint_id: str, ids: Sequence[bytes]) -> list[Delivery]:
        texts = client.hmget(self.keys.deliveries(endpoint_id), ids) if ids else []
        return [Delivery.from_dict(json.loads(text)) for text in texts if text is not None]

    def _page(self, endpoint_id: str, end: str, client: Client) -> list[Delivery]:
        ids = client.zrevrangebyscore(self.keys.delivery_order(endpoint_id), end, "-inf", 0, _PAGE)
        return self._read_deliveries(client, endpoint_id, ids)

    def _put(self, multi: Client, endpoint_id: str, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            multi.hset(self.keys.deliveries(endpoint_id), delivery.id, json.dumps(delivery.to_dict()))
            multi.zadd(self.keys.delivery_order(endpoint_id), {delivery.id: delivery.sequence})
            multi.zadd(self.keys.pending_deliveries(endpoint_id), {delivery.id: delivery.sequence})


def _registered(endpoint: bytes, health: bytes | None) -> Registered:
    known = Health() if health is None else Health(**json.loads(health))
    return Registered(Endpoint.from_dict(json.loads(endpoint)), known)
