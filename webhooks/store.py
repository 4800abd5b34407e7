"""Endpoints and deliveries in the state store. Synchronous: routes and the dispatcher call it from threads."""

import functools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import redis

from crowdmood.bus.connection import Client, Connection
from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError
from crowdmood.store import audit
from crowdmood.store.audit import Actor
from crowdmood.store.keys import StateKeys
from webhooks.deliveries import Delivery, Status
from webhooks.endpoints import Endpoint, Health
from webhooks.events import Watch

T = TypeVar("T")

DEFAULT_KEEP_S = 7 * 24 * 3600.0
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Registered:
    """An endpoint and its health."""

    endpoint: Endpoint
    health: Health

    @property
    def open(self) -> bool:
        """Whether deliveries are sent to it."""
        return self.endpoint.enabled and self.health.disabled_at_ms is None


class WebhookStore:
    """Reads and writes endpoints and deliveries.

    Args:
        url: The server's address.
        key_prefix: First part of every key.
        stop: Set when the process is to stop; calls wait for an unreachable store until then. None: calls never wait.
        keep_s: Seconds after which deliveries and the watch expire, also while nothing runs.
    """

    def __init__(
        self, url: str, key_prefix: str, stop: threading.Event | None = None, keep_s: float = DEFAULT_KEEP_S
    ) -> None:
        self.connection = Connection(url, "state", stop)
        self.keys = StateKeys(key_prefix)
        self._keep_ms = round(keep_s * 1000)
        self._patient = stop is not None

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()

    # Called by the API.

    def find(self, endpoint_id: str) -> Registered | None:
        """Return an endpoint; None when it does not exist."""
        return self._call(lambda client: self._read_one(client, endpoint_id))

    def all(self) -> list[Registered]:
        """Return every endpoint, oldest first."""

        def read(client: Client) -> list[Registered]:
            with client.pipeline(transaction=False) as both:
                both.hgetall(self.keys.webhooks)
                both.hgetall(self.keys.webhooks_health)
                endpoints, health = both.execute()
            registered = (_registered(id_, text, health.get(id_)) for id_, text in endpoints.items())
            return [one for one in registered if one is not None]

        found = self._call(read)
        return sorted(found, key=lambda one: (one.endpoint.created_at_ms, one.endpoint.id))

    # Each change is recorded in the audit log; without `who`, the operating system's user makes it.

    def add(self, endpoint: Endpoint, most: int, who: Actor | None = None) -> bool:
        """Register an endpoint; return False when there are `most` endpoints already."""

        def queue(_found: Registered | None, multi: Client) -> bool:
            multi.hset(self.keys.webhooks, endpoint.id, stored.to_json(endpoint.to_dict()))
            audit.append(multi, self.keys, who, "webhook.created", endpoint.id, after=endpoint.shown())
            return True

        def add(client: Client) -> bool:
            return int(client.hlen(self.keys.webhooks)) < most and self._changed(client, endpoint.id, queue)

        return self._call(add)

    def change(
        self,
        endpoint_id: str,
        change: Callable[[Endpoint], Endpoint],
        *,
        forgive: bool = False,
        who: Actor | None = None,
    ) -> bool:
        """Change an endpoint; return False when it does not exist.

        Args:
            endpoint_id: The endpoint's id.
            change: Returns the new endpoint for the current one.
            forgive: Whether to delete its health, so that a disabled endpoint receives deliveries again.
            who: Who changes it.
        """

        def queue(found: Registered | None, multi: Client) -> bool:
            if found is None:
                return False
            old, new = found.endpoint, change(found.endpoint)
            multi.hset(self.keys.webhooks, endpoint_id, stored.to_json(new.to_dict()))
            if forgive:
                multi.hdel(self.keys.webhooks_health, endpoint_id)
            action: audit.Action = "webhook.changed" if new.secrets == old.secrets else "webhook.secret_rotated"
            before, after = old.difference(new)
            audit.append(multi, self.keys, who, action, endpoint_id, before=before, after=after)
            return True

        return self._call(lambda client: self._changed(client, endpoint_id, queue))

    def remove(self, endpoint_id: str, who: Actor | None = None) -> bool:
        """Delete an endpoint and its deliveries; return False when it does not exist."""

        def queue(found: Registered | None, multi: Client) -> bool:
            if found is None:
                return False
            multi.hdel(self.keys.webhooks, endpoint_id)
            self.queue_forgetting(endpoint_id, ids, multi)
            audit.append(multi, self.keys, who, "webhook.deleted", endpoint_id, before=found.endpoint.shown())
            return True

        ids = self.delivery_ids(endpoint_id)
        return self._call(lambda client: self._changed(client, endpoint_id, queue))

    def delivery(self, endpoint_id: str, delivery_id: str) -> Delivery | None:
        """Return a delivery; None when it does not exist."""
        text = self._call(lambda client: client.get(self.keys.delivery(endpoint_id, delivery_id)))
        return None if text is None else _delivery(delivery_id, text)

    def deliveries(
        self, endpoint_id: str, wanted: Callable[[Delivery], bool], limit: int, before: int | None = None
    ) -> list[Delivery]:
        """Return the newest deliveries of an endpoint, newest first.

        Args:
            endpoint_id: The endpoint's id.
            wanted: Returns whether a delivery is wanted.
            limit: Return at most so many.
            before: Return only deliveries with a smaller sequence.
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
        """Write deliveries that are new or pending again, and notify the dispatcher."""

        def write(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                self._put(multi, endpoint_id, again)
                multi.incr(self.keys.webhooks_revision)
                multi.execute()

        self._call(write)

    def delivery_ids(self, endpoint_id: str) -> list[bytes]:
        """Return the ids of an endpoint's deliveries, oldest first; those that have expired may be among them."""
        ids: list[bytes] = self._call(lambda client: client.zrange(self.keys.delivery_order(endpoint_id), 0, -1))
        return ids

    def next_sequences(self, count: int) -> range:
        """Return `count` new sequences, larger than all before."""
        last = int(self._call(lambda client: client.incrby(self.keys.webhooks_sequence, count)))
        return range(last - count + 1, last + 1)

    # Called by the dispatcher.

    def revision(self) -> int:
        """Return a counter that grows with each write of the API."""
        return int(self._call(lambda client: client.get(self.keys.webhooks_revision)) or 0)

    def watch(self) -> Watch | None:
        """Return how far the dispatcher has read; None before the first one, and when it cannot be read."""
        text = self._call(lambda client: client.get(self.keys.webhooks_watch))
        if text is None:
            return None
        try:
            return Watch.from_json(text)
        except UndecodableError as error:
            stored.skipped("webhook_watch", self.keys.webhooks_watch, error)
            return None

    def earlier_deliveries(self) -> dict[str, list[Delivery]]:
        """Return the deliveries that earlier releases wrote, which do not expire, by endpoint."""

        def read(client: Client) -> dict[str, list[Delivery]]:
            ids = [id_.decode() for id_ in client.hkeys(self.keys.webhooks)]
            found = {id_: client.hgetall(self.keys.deliveries(id_)) for id_ in ids}
            return {
                id_: [one for name, text in texts.items() if (one := _delivery(name, text)) is not None]
                for id_, texts in found.items()
            }

        return {endpoint_id: found for endpoint_id, found in self._call(read).items() if found}

    def queue_moving(self, multi: Client, endpoint_id: str, deliveries: Iterable[Delivery]) -> None:
        """Add to a transaction: the deliveries that earlier releases wrote, as those of this release."""
        for delivery in deliveries:
            self._write(multi, endpoint_id, delivery)
        multi.delete(self.keys.deliveries(endpoint_id))

    def work(self, endpoint_id: str) -> tuple[Registered | None, list[Delivery]]:
        """Return an endpoint and its pending deliveries; give up those that cannot be read."""

        def read(client: Client) -> tuple[Registered | None, list[Delivery]]:
            found = self._read_one(client, endpoint_id)
            ids = client.zrange(self.keys.pending_deliveries(endpoint_id), 0, -1)
            deliveries = self._read_deliveries(client, endpoint_id, ids)
            if lacking := set(ids) - {delivery.id.encode() for delivery in deliveries}:
                client.zrem(self.keys.pending_deliveries(endpoint_id), *lacking)
            return found, deliveries

        return self._call(read)

    def superfluous(self, endpoint_id: str, keep: int) -> list[bytes]:
        """Return the ids of the oldest deliveries beyond the newest `keep`, except pending ones."""

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
        """Add to a transaction: the new deliveries by endpoint, the watch, and the removal of superfluous ones."""
        for endpoint_id, deliveries in made.items():
            self._put(multi, endpoint_id, deliveries)
        for endpoint_id, ids in superfluous.items():
            if ids:
                multi.delete(*(self.keys.delivery(endpoint_id, id_.decode()) for id_ in ids))
                multi.zrem(self.keys.delivery_order(endpoint_id), *ids)
        multi.set(self.keys.webhooks_watch, stored.to_json(watch.to_dict()), px=self._keep_ms)

    def queue_outcome(
        self, multi: Client, endpoint_id: str, deliveries: Iterable[Delivery], health: Health | None = None
    ) -> None:
        """Add to a transaction: the new state of deliveries and the health of their endpoint."""
        for delivery in deliveries:
            # Not if the API has deleted it with its endpoint in the meantime.
            self._write(multi, endpoint_id, delivery, only_present=True)
            if delivery.status is not Status.PENDING:
                multi.zrem(self.keys.pending_deliveries(endpoint_id), delivery.id)
        if health is not None:
            multi.hset(self.keys.webhooks_health, endpoint_id, stored.to_json(health.to_dict()))

    def queue_forgetting(self, endpoint_id: str, delivery_ids: Iterable[bytes], multi: Client) -> None:
        """Add to a transaction: the removal of an endpoint's health and deliveries."""
        multi.hdel(self.keys.webhooks_health, endpoint_id)
        multi.delete(
            *(self.keys.delivery(endpoint_id, id_.decode()) for id_ in delivery_ids),
            self.keys.deliveries(endpoint_id),
            self.keys.delivery_order(endpoint_id),
            self.keys.pending_deliveries(endpoint_id),
        )

    # Shared by both.

    def _call(self, operation: Callable[[Client], T]) -> T:
        return self.connection.call(operation, patient=self._patient)

    def _changed(self, client: Client, endpoint_id: str, queue: Callable[[Registered | None, Client], bool]) -> bool:
        with client.pipeline(transaction=True) as multi:
            while True:
                multi.watch(self.keys.webhooks)
                text = multi.hget(self.keys.webhooks, endpoint_id)
                multi.multi()
                if not queue(None if text is None else _registered(endpoint_id, text, None), multi):
                    return False
                multi.incr(self.keys.webhooks_revision)
                try:
                    multi.execute()
                except redis.WatchError:
                    continue
                return True

    def _read_one(self, client: Client, endpoint_id: str) -> Registered | None:
        text = client.hget(self.keys.webhooks, endpoint_id)
        if text is None:
            return None
        return _registered(endpoint_id, text, client.hget(self.keys.webhooks_health, endpoint_id))

    def _read_deliveries(self, client: Client, endpoint_id: str, ids: Sequence[bytes]) -> list[Delivery]:
        texts = client.mget([self.keys.delivery(endpoint_id, id_.decode()) for id_ in ids]) if ids else []
        found = (_delivery(id_, text) for id_, text in zip(ids, texts, strict=True) if text is not None)
        return [one for one in found if one is not None]

    def _page(self, endpoint_id: str, end: str, client: Client) -> list[Delivery]:
        ids = client.zrevrangebyscore(self.keys.delivery_order(endpoint_id), end, "-inf", 0, _PAGE)
        return self._read_deliveries(client, endpoint_id, ids)

    def _put(self, multi: Client, endpoint_id: str, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self._write(multi, endpoint_id, delivery)
            for key in (self.keys.delivery_order(endpoint_id), self.keys.pending_deliveries(endpoint_id)):
                multi.zadd(key, {delivery.id: delivery.sequence})
                multi.pexpire(key, self._keep_ms)

    def _write(self, multi: Client, endpoint_id: str, delivery: Delivery, *, only_present: bool = False) -> None:
        """Add to a transaction: a delivery, which expires after its creation, or after its owner sent it again."""
        key, expires_ms = self.keys.delivery(endpoint_id, delivery.id), delivery.retry_from_ms + self._keep_ms
        multi.set(key, stored.to_json(delivery.to_dict()), pxat=expires_ms, xx=only_present)


def _registered(endpoint_id: str | bytes, endpoint: bytes, health: bytes | None) -> Registered | None:
    """Return an endpoint with its health; None when the endpoint cannot be read."""
    try:
        read = stored.from_json(Endpoint, endpoint)
    except UndecodableError as error:
        stored.skipped("webhook_endpoint", endpoint_id, error)
        return None
    try:
        return Registered(read, Health() if health is None else stored.from_json(Health, health))
    except UndecodableError as error:
        stored.skipped("webhook_health", endpoint_id, error)
        return Registered(read, Health())


def _delivery(delivery_id: str | bytes, text: bytes) -> Delivery | None:
    try:
        return stored.from_json(Delivery, text)
    except UndecodableError as error:
        stored.skipped("webhook_delivery", delivery_id, error)
        return None
