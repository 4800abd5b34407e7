"""A state store, and the API on it."""

from collections.abc import Iterator

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from api.app import context_of, create_app
from crowdmood.core.settings import BusSettings, CameraSettings, Settings
from crowdmood.store.moods import MoodReader, MoodStore
from tests.answering import Api, Wall
from tests.waiting import eventually


@pytest.fixture
def api(server_url: str, bus_settings: BusSettings, store: MoodStore) -> Iterator[Api]:
    wall = Wall()
    settings = Settings(
        state_url=server_url,
        bus=bus_settings,
        cameras=(CameraSettings(id="configured", uri="rtsp://user:secret@camera.example/"),),
    )
    app = create_app(settings, MoodReader(server_url, bus_settings.key_prefix), wall)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        api = Api(portal, client, store, wall)
        eventually(lambda: context_of(app).board.loaded)
        yield api
