"""The API as a process serves it, in a thread of the test."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from api import service
from crowdmood.core.settings import Settings
from tests.waiting import eventually


@dataclass
class Running:
    """A service in a thread of its own."""

    url: str
    stop: threading.Event
    result: Future[int]

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.get(self.url + path, headers=headers, timeout=60)

    def eventually(self, path: str, holds: Callable[[httpx.Response], bool], key: str | None = None) -> httpx.Response:
        """Return the first answer of a path that is as wanted."""
        return eventually(lambda: self.get(path, key), until=holds)


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """Serve; the service is stopped at the end."""
    stop, bound = threading.Event(), queue.Queue[str]()
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(service.run, settings, stop, bound.put)
        try:
            yield Running(bound.get(timeout=60), stop, result)
        finally:
            stop.set()


@contextmanager
def ready(settings: Settings) -> Iterator[Running]:
    """Serve, and begin when answers are kept fresh."""
    with running(settings) as api:
        api.eventually("/readyz", lambda response: response.status_code == 200)
        yield api
