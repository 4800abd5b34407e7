"""A state store, and a receiver to deliver to."""

from collections.abc import Iterator

import pytest

from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.store.moods import MoodStore
from tests.receiver import Receiver, receiving
from webhooks.store import WebhookStore


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    allowed = {"allow_networks": ["127.0.0.0/8"], "disable_after_s": 1.5, "deliveries_kept": 20}
    return load(state_url=server_url, bus=bus_settings.model_dump(), webhooks=allowed)


@pytest.fixture
def webhooks(server_url: str, bus_settings: BusSettings) -> Iterator[WebhookStore]:
    store = WebhookStore(server_url, bus_settings.key_prefix)
    yield store
    store.close()


@pytest.fixture
def moods(server_url: str, bus_settings: BusSettings) -> Iterator[MoodStore]:
    store = MoodStore(server_url, bus_settings.key_prefix)
    yield store
    store.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver
