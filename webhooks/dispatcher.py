"""Watches the state store and sends deliveries: one feeder, and a worker for each endpoint."""

import asyncio
import contextlib
import functools
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import ParamSpec, TypeVar

from crowdmood.bus.lease import Lease
from crowdmood.core import metrics, tasks
from crowdmood.core.backoff import Backoff
from crowdmood.core.errors import ServerUnavailableError
from crowdmood.core.health import READINESS
from crowdmood.core.settings import Settings
from crowdmood.store.moods import CameraTable, MoodReader
from crowdmood.store.positions import Position
from webhooks import fan_out
from webhooks.deliveries import Attempt, Delivery, Status, plan
from webhooks.endpoints import Health
from webhooks.events import Watch
from webhooks.schedule import Schedule
from webhooks.sending import TOTAL_TIMEOUT_S, Sender
from webhooks.store import Registered, WebhookStore

log = logging.getLogger("crowdmood.webhooks")
P = ParamSpec("P")
T = TypeVar("T")

BLOCK_MS = 250
"""Longest wait for new entries of the state store."""
_CAMERAS_EVERY_S = 0.5
_LONGEST_SLEEP_S = 3600.0


@dataclass(slots=True)
class _Worker:
    task: asyncio.Task[None]
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Dispatcher:
    """Makes and sends deliveries; one process does this at a time.

    Args:
        settings: The settings.
        store: Endpoints and deliveries.
        reader: Moods, changes and cameras.
        lease: The right to write, already acquired.
        sender: Posts the bodies.
        stop: Set when to stop.
        clock: Wall-clock time in seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        settings: Settings,
        store: WebhookStore,
        reader: MoodReader,
        lease: Lease,
        sender: Sender,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._store = store
        self._reader = reader
        self._lease = lease
        self._sender = sender
        self._stop = stop
        self._clock = clock
        self._chance = random.Random()
        self._schedule = Schedule()
        # One thread, so that the leader's writes keep their order.
        self._writing = ThreadPoolExecutor(1, "state")
        self._workers: dict[str, _Worker] = {}
        self._endpoints: list[Registered] = []
        self._revision = -1
        self._sent = 0

    async def run(self) -> None:
        """Watch and send until `stop` is set, then finish the current attempts.

        Raises:
            LeadershipLostError: Another dispatcher has acquired the lease.
        """
        feeding_on = asyncio.create_task(self._feed(), name="feeder")
        try:
            while not self._stop.is_set():
                running = [feeding_on, *(worker.task for worker in self._workers.values())]
                done, _ = await asyncio.wait(running, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                self._workers = {id_: worker for id_, worker in self._workers.items() if worker.task not in done}
        except ServerUnavailableError:
            if not self._stop.is_set():
                raise
        finally:
            await tasks.end(feeding_on)
            await self._finish([worker.task for worker in self._workers.values()])
            await self._sender.close()
            await self._reader.close()
            self._writing.shutdown()
            log.info("dispatch stops after %d attempts", self._sent)

    async def _finish(self, sending: list[asyncio.Task[None]]) -> None:
        for worker in self._workers.values():
            worker.wake.set()
        if sending and self._stop.is_set():
            await asyncio.wait(sending, timeout=TOTAL_TIMEOUT_S)
        await tasks.end(*sending)

    # Watching.

    async def _feed(self) -> None:
        watch = await self._begin()
        table: CameraTable = {}
        cameras_read_s = -_CAMERAS_EVERY_S
        backoff = Backoff()
        while True:
            try:
                await self._in_thread(self._lease.renew)
                READINESS.renew()
                position = Position(watch.moods.encode(), watch.changes.encode())
                published = await self._reader.follow(position, BLOCK_MS)
                overrides = await self._reader.overrides()
                if published or time.monotonic() - cameras_read_s >= _CAMERAS_EVERY_S:
                    table, cameras_read_s = await self._reader.cameras(), time.monotonic()
            except ServerUnavailableError:
                if self._stop.is_set():
                    raise
                await asyncio.sleep(backoff.next_s())
                continue
            backoff.reset()
            await self._reload()
            before = watch.to_dict()
            now_ms = self._now_ms()
            stale_after_s = self._settings.aggregator.stale_after_s
            events = fan_out.events_of(watch, published, table, now_ms, stale_after_s, overrides)
            open_ones = [one.endpoint for one in self._endpoints if one.open]
            wanted = fan_out.wanted(watch, events, open_ones, now_ms)
            if wanted or watch.to_dict() != before:
                sequences = await self._in_thread(self._store.next_sequences, len(wanted))
                made = fan_out.deliveries_of(wanted, sequences, now_ms)
                await self._in_thread(self._write_events, watch, made)
                for endpoint_id in made:
                    self._wake(endpoint_id)

    async def _begin(self) -> Watch:
        """Continue where the last dispatcher stopped; the first one starts with new moods and changes."""
        backoff = Backoff()
        while True:
            try:
                await self._in_thread(self._move_earlier_deliveries)
                watch = await self._in_thread(self._store.watch)
                if watch is None:
                    newest = await self._reader.newest_position()
                    watch = Watch(newest.moods.decode(), newest.changes.decode())
                    await self._in_thread(self._write_events, watch, {})
                for key, crowd in watch.crowds.items():
                    if (mood := await self._reader.mood_at(crowd.position.encode())) is not None:
                        watch.newest[key] = mood
                return watch
            except ServerUnavailableError:
                if self._stop.is_set():
                    raise
                await asyncio.sleep(backoff.next_s())

    def _move_earlier_deliveries(self) -> None:
        for endpoint_id, deliveries in self._store.earlier_deliveries().items():
            move = functools.partial(self._store.queue_moving, endpoint_id=endpoint_id, deliveries=deliveries)
            self._lease.write(move)

    def _write_events(self, watch: Watch, made: dict[str, list[Delivery]]) -> None:
        keep = self._settings.webhooks.deliveries_kept
        superfluous = {endpoint_id: self._store.superfluous(endpoint_id, keep) for endpoint_id in made}
        self._lease.write(lambda multi: self._store.queue_events(multi, watch, made, superfluous))

    async def _reload(self) -> None:
        """Read endpoints that the API has changed, and wake their workers, also those of removed endpoints."""
        revision = await self._in_thread(self._store.revision)
        if revision == self._revision:
            return
        self._endpoints = await self._in_thread(self._store.all)
        self._revision = revision
        for endpoint_id in {one.endpoint.id for one in self._endpoints} | set(self._workers):
            self._wake(endpoint_id)

    def _wake(self, endpoint_id: str) -> None:
        if endpoint_id not in self._workers:
            wake = asyncio.Event()
            task = asyncio.create_task(self._serve(endpoint_id, wake), name=endpoint_id)
            self._workers[endpoint_id] = _Worker(task, wake)
        self._workers[endpoint_id].wake.set()

    # Sending.

    async def _serve(self, endpoint_id: str, wake: asyncio.Event) -> None:
        found, pending, read_at = None, dict[str, Delivery](), -1
        while not self._stop.is_set():
            # Read only after another process may have written: an unreachable receiver has hundreds pending.
            revision = await self._in_thread(self._store.revision)
            if found is None or wake.is_set() or revision != read_at:
                wake.clear()
                found, read = await self._in_thread(self._store.work, endpoint_id)
                pending, read_at = {one.id: one for one in read}, revision
                if found is None:
                    # The owner deleted it. Remove the deliveries that this worker and the feeder wrote after that.
                    ids = await self._in_thread(self._store.delivery_ids, endpoint_id)
                    await self._in_thread(
                        self._lease.write, functools.partial(self._store.queue_forgetting, endpoint_id, ids)
                    )
                    del self._workers[endpoint_id]  # a feeder that has not read this yet starts another worker
                    return
            now_ms = self._now_ms()
            due = [replace(one, due_at_ms=self._schedule.when(one.due_at_ms, now_ms)) for one in pending.values()]
            todo = plan(due, now_ms, self._schedule.when(found.health.hold_until_ms, now_ms))
            if todo.settled:
                tried, health = list(todo.settled), None
            elif todo.next is not None and found.open:
                one, health = await self._attempt(found, todo.next)
                tried = [one]
            else:
                # Pending deliveries of a disabled endpoint only wait until they end.
                ends = min((delivery.ends_at_ms for delivery in due), default=None)
                await _sleep(wake, todo.wake_at_ms if found.open else ends, now_ms)
                continue
            await self._record(endpoint_id, tried, health)
            if health is not None:
                self._report(found, health)
                found = replace(found, health=health)
            for delivery in tried:
                if delivery.status is Status.PENDING:
                    pending[delivery.id] = delivery
                else:
                    del pending[delivery.id]

    async def _attempt(self, found: Registered, delivery: Delivery) -> tuple[Delivery, Health | None]:
        """Send a delivery; return it after the attempt, and the endpoint's health when a request was sent."""
        endpoint, now_ms = found.endpoint, self._now_ms()
        try:
            body = endpoint.adapter.render(delivery.event, now_ms)
        except ValueError as error:
            return delivery.refused(Attempt(now_ms, 0, None, str(error))), None
        attempt = await self._sender.send(endpoint.url, body, endpoint.signing(now_ms), delivery.id)
        self._sent += 1
        metrics.WEBHOOK_ATTEMPTS.labels("failed" if attempt.error else "delivered").inc()
        health = found.health.after(attempt, self._settings.webhooks.disable_after_s)
        tried = delivery.after(attempt, self._chance)
        for at_ms in (tried.due_at_ms, health.hold_until_ms):
            self._schedule.set(at_ms, attempt.at_ms + attempt.duration_ms)
        return tried, health

    def _report(self, found: Registered, health: Health) -> None:
        endpoint_id = found.endpoint.id
        if health.disabled_at_ms is not None:
            log.warning("webhook %s is disabled: %s", endpoint_id, health.reason)
            metrics.WEBHOOKS_DISABLED.inc()
            self._revision = -1
        elif (health.failing_since_ms is None) != (found.health.failing_since_ms is None):
            why = "works again" if health.failing_since_ms is None else f"fails: {health.last_error}"
            log.warning("webhook %s %s", endpoint_id, why)

    async def _record(self, endpoint_id: str, deliveries: list[Delivery], health: Health | None = None) -> None:
        def write() -> None:
            self._lease.write(lambda multi: self._store.queue_outcome(multi, endpoint_id, deliveries, health))

        await self._in_thread(write)
        for delivery in deliveries:
            if delivery.status is not Status.PENDING:
                metrics.WEBHOOK_DELIVERIES.labels(delivery.event.type.value, delivery.status.value).inc()

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, lambda: call(*args, **kwargs))

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)


async def _sleep(wake: asyncio.Event, until_ms: int | None, now_ms: int) -> None:
    wait_s = _LONGEST_SLEEP_S if until_ms is None else min((until_ms - now_ms) / 1000, _LONGEST_SLEEP_S)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await wake.wait()
