"""Clients of the API's stream: server-sent events and the WebSocket, which carry the same messages."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.sync.client import connect

from tests.serving import Running


@dataclass(frozen=True)
class Message:
    """A message, however it came."""

    event: str
    id: str
    data: Any


class Events:
    """A client of server-sent events, by the HTML standard's rules."""

    def __init__(self, response: httpx.Response) -> None:
        self.last_id = ""
        self._lines = response.iter_lines()

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        event, data = "", ""
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                event = value
            elif name == "data":
                data = value
            elif not line and data:
                return Message(event, self.last_id, json.loads(data))
            elif line == ": heartbeat":
                event = "heartbeat"
            elif not line and event == "heartbeat":
                return Message(event, self.last_id, None)
        raise StopIteration

    def take(self, count: int) -> list[Message]:
        return [next(self) for _ in range(count)]


class Socket:
    """The same over a WebSocket."""

    def __init__(self, received: Callable[[], str | bytes]) -> None:
        self._received = received

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        return Message(**json.loads(self._received()))

    def take(self, count: int) -> list[Message]:
        return [next(self) for _ in range(count)]


@contextlib.contextmanager
def events_of(api: Running, after: str | None = None, **query: str) -> Iterator[Events]:
    headers = {} if after is None else {"Last-Event-ID": after}
    with httpx.stream("GET", f"{api.url}/mood/stream", params=query, headers=headers, timeout=60) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Events(response)


@contextlib.contextmanager
def socket_of(api: Running, after: str | None = None, **query: str) -> Iterator[Socket]:
    address = httpx.URL(api.url.replace("http", "ws", 1) + "/mood/stream", params=query | _given(after))
    with connect(str(address), close_timeout=1) as connection:
        yield Socket(lambda: connection.recv(timeout=60))


def _given(after: str | None) -> dict[str, str]:
    return {} if after is None else {"last_event_id": after}
