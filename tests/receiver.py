"""A real HTTP server that takes webhooks, and answers as a test requests."""

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.waiting import eventually


@dataclass(frozen=True)
class Taken:
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Answer:
    """What to answer, and how long to wait before."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    body: bytes = b""


@dataclass
class Receiver:
    """What arrived, and where."""

    port: int
    taken: list[Taken] = field(default_factory=list)
    answer: Callable[[Taken], Answer] = lambda _: Answer()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str = "/hook") -> list[Taken]:
        return [one for one in self.taken if one.path == path]

    def wait(self, count: int, path: str = "/hook") -> list[Taken]:
        """Return the requests to a path once there are so many."""
        return eventually(lambda: self.at(path), until=lambda arrived: len(arrived) >= count)


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port of this machine, over TLS where it is given how."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:
                return  # the sender was killed in the meantime
            taken = Taken(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            receiver.taken.append(taken)
            answer = receiver.answer(taken)
            time.sleep(answer.after_s)
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)
            except OSError:
                pass  # it waited no longer

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # a client that did not like our certificate
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
