"""Either Python client, used in the same way: synchronously, or asynchronously in a loop of another thread."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

import crowdmood.domain.mood as published
from crowdmood_client import AsyncClient, Client, ClientError, Event
from crowdmood_client.decoding import decode

T = TypeVar("T")
ITERATORS = ("moods", "changes")


class Connect(Protocol):
    """Makes a client of the kind that is tested; all are closed at the end of the test."""

    def __call__(self, url: str, key: str | None = None, **more: Any) -> "Crowd": ...


@dataclass
class Crowd:
    """A client, its clock, the HTTP statuses that it got, and the problems that it reported."""

    portal: BlockingPortal
    client: Client | AsyncClient = field(init=False)
    ahead_s: float = 0.0
    statuses: list[int] = field(default_factory=list)
    reported: list[ClientError] = field(default_factory=list)

    def ask(self, name: str, *words: Any, **named: Any) -> Any:
        """Call a method; return what it returns, or the list of what it yields."""
        method = getattr(self.client, name)
        if isinstance(self.client, Client):
            found = method(*words, **named)
            return list(found) if name in ITERATORS else found

        async def awaited() -> Any:
            if name in ITERATORS:
                return [item async for item in method(*words, **named)]
            return await method(*words, **named)

        return self.portal.call(awaited)

    @contextlib.contextmanager
    def stream(self, **named: Any) -> Iterator[Iterator[Event]]:
        """Open a stream; leaving it closes it."""
        if isinstance(self.client, Client):
            with contextlib.closing(self.client.stream(**named)) as events:
                yield events
        else:
            awaited = self.client.stream(**named)

            def events_of() -> Iterator[Event]:
                while True:
                    yield self.portal.call(awaited.__anext__)

            try:
                yield events_of()
            finally:
                self.portal.call(awaited.aclose)


class _Noting(httpx.HTTPTransport):
    def __init__(self, crowd: Crowd) -> None:
        super().__init__()
        self._crowd = crowd

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self._crowd.statuses.append(response.status_code)
        return response


class _NotingAsync(httpx.AsyncHTTPTransport):
    def __init__(self, crowd: Crowd) -> None:
        super().__init__()
        self._crowd = crowd

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        self._crowd.statuses.append(response.status_code)
        return response


@contextlib.contextmanager
def connecting(kind: str) -> Iterator[Connect]:
    """Give what makes clients of a kind: `sync` or `async`."""
    with start_blocking_portal() as portal, contextlib.ExitStack() as made:

        def connect(url: str, key: str | None = None, **more: Any) -> Crowd:
            crowd = Crowd(portal)
            common = {"clock": lambda: time.monotonic() + crowd.ahead_s, "on_problem": crowd.reported.append} | more
            if kind == "sync":
                crowd.client = Client(url, key, transport=_Noting(crowd), **common)
            else:
                crowd.client = AsyncClient(url, key, transport=_NotingAsync(crowd), **common)
            made.callback(crowd.ask, "close")
            return crowd

        yield connect


def as_client(kind: type[T], item: published.Mood | published.MoodChange) -> T:
    """Return what the client should make of something published."""
    return decode(kind, item.to_dict())
