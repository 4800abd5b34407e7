"""Endpoints that tests register, events for them, and the deliveries."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from crowdmood.core.settings import Settings, required_url
from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.store.moods import MoodStore
from tests import timelines
from tests.waiting import eventually
from webhooks import service
from webhooks.adapters import Adapter, AdapterName
from webhooks.deliveries import Delivery
from webhooks.endpoints import Endpoint, Secret, new_secret
from webhooks.events import EventType
from webhooks.store import WebhookStore


@contextmanager
def dispatching(settings: Settings, name: str = "dispatch") -> Iterator[None]:
    """A dispatcher in a thread of its own, once one of them watches; stopped at the end."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(service.run, settings, stop, name)
        store = WebhookStore(required_url(settings.state_url, "state"), settings.bus.key_prefix)
        try:
            eventually(lambda: result.done() or store.connection.client.exists(store.keys.webhooks_watch))
            yield
        finally:
            stop.set()
            store.close()
            result.result(timeout=60)


def endpoint(url: str, id_: str = "ep_1", **changes: Any) -> Endpoint:
    """One that wants every event at once."""
    adapter = Adapter(AdapterName.STANDARD, "crowd_mood", "unavailable", "", "text/plain; charset=utf-8")
    plain = Endpoint(id_, url, tuple(EventType), (), False, 0.0, 0.0, adapter, "", True, 1, (Secret(new_secret()),))
    return replace(plain, **changes)


def with_webhooks(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update={"webhooks": settings.webhooks.model_copy(update=changes)})


def change(sequence: int, valid_s: int = 60, **changes: Any) -> MoodChange:
    """A change that is published now."""
    now = int(time.time())
    return replace(timelines.change(sequence, now), valid_until_ms=(now + valid_s) * 1000, **changes)


def mood(valid_s: int = 60, **changes: Any) -> Mood:
    now = int(time.time())
    return replace(timelines.mood(now), valid_until_ms=(now + valid_s) * 1000, **changes)


def publish(store: MoodStore, *, new: Mood | None = None, changed: MoodChange | None = None, **cameras: str) -> None:
    since_ms = time.time_ns() // 1_000_000
    rows = {name: {"state": state, "since_ms": since_ms, "detail": "said so"} for name, state in cameras.items()}
    store.publish(
        [new] if new else [],
        changes=[changed] if changed else [],
        run_id="test",
        checkpoint={},
        cameras=rows,
    )


def deliveries(store: WebhookStore, endpoint_id: str = "ep_1") -> list[Delivery]:
    """All there are, oldest first."""
    return store.deliveries(endpoint_id, lambda _: True, 1000)[::-1]


def statuses(store: WebhookStore) -> list[str]:
    return [delivery.status.value for delivery in deliveries(store)]
