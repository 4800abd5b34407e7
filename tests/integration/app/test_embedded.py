"""Embedded servers: what they persist, and that they stop with their parent process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded import embedded_servers, running_servers
from crowdmood.bus.connection import connect
from crowdmood.core.errors import AlreadyRunningError, CrowdMoodError
from crowdmood.core.settings import EmbeddedSettings
from tests.waiting import eventually

SETTINGS = EmbeddedSettings()


def test_bus_writes_nothing_to_disk_and_state_store_persists(tmp_path: Path) -> None:
    with embedded_servers(tmp_path, SETTINGS) as keeper:
        connect(keeper.servers.bus_url).xadd("frames", {"jpeg": b"pixels" * 1000})
        connect(keeper.servers.state_url).set("mood", "happy")
        assert connect(keeper.servers.bus_url).config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert running_servers(tmp_path) == keeper.servers
    assert running_servers(tmp_path) is None
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"pixels" not in written
    with embedded_servers(tmp_path, SETTINGS) as keeper:
        assert connect(keeper.servers.bus_url).dbsize() == 0
        assert connect(keeper.servers.state_url).get("mood") == b"happy"


def test_refuses_a_second_instance_on_the_same_directory(tmp_path: Path) -> None:
    with (
        embedded_servers(tmp_path, SETTINGS) as keeper,
        pytest.raises(AlreadyRunningError, match="another CrowdMood runs on the data directory"),
        embedded_servers(tmp_path, SETTINGS),
    ):
        pass
    with embedded_servers(tmp_path, SETTINGS) as again:
        assert connect(again.servers.bus_url).ping()
    assert keeper.servers == again.servers


def test_sockets_of_a_long_path_are_in_a_temporary_directory(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 20) / ("path" * 20)
    with embedded_servers(deep, SETTINGS) as keeper:
        assert connect(keeper.servers.state_url).ping()
        socket = Path(keeper.servers.state_url.removeprefix("unix://"))
    assert not socket.parent.exists()


def test_names_a_directory_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CrowdMoodError, match="do not start in"), embedded_servers(tmp_path / "file", SETTINGS):
        pass


HOLDER = """
import sys, time
from pathlib import Path
from app.embedded import embedded_servers
from crowdmood.core.settings import EmbeddedSettings
try:
    with embedded_servers(Path(sys.argv[1]), EmbeddedSettings()):
        print("ready", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    pass
"""


def server_processes(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in command or (
                b"valkey" in command and (entry / "cwd").resolve().is_relative_to(folder)
            ):
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_servers_stop_when_their_parent_process_ends(tmp_path: Path, number: signal.Signals) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    assert len(server_processes(tmp_path)) >= 3  # two servers and their keeper
    os.killpg(holder.pid, number)  # to the whole process group, like Ctrl-C
    holder.communicate(timeout=60)
    eventually(lambda: not server_processes(tmp_path))
    assert running_servers(tmp_path) is None


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_next_keeper_stops_servers_that_a_killed_keeper_left_running(tmp_path: Path) -> None:
    with embedded_servers(tmp_path, SETTINGS) as keeper:
        connect(keeper.servers.state_url).set("mood", "sad")
        keepers = [
            pid for pid in server_processes(tmp_path) if b"app.embedded" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(keepers[0], signal.SIGKILL)
    assert json.loads((tmp_path / "servers.json").read_text())
    with embedded_servers(tmp_path, SETTINGS) as again:
        assert connect(again.servers.state_url).get("mood") == b"sad"
    assert server_processes(tmp_path) == []
