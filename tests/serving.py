"""The API as a process serves it, in a thread of the test."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from api import service
from crowdmood.core.settings import Settings


@dataclass
class Running:
    """A service in a thread of its own."""

    url: str
    stop: threading.Event
    result: Future[int]

    def get(self, path: str, key: str | None = None) -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.get(self.url + path, headers=headers, timeout=5)

    def eventually(self, path: str, holds: Callable[[httpx.Response], bool], key: str | None = None) -> httpx.Response:
        deadline = time.monotonic() + 30
        while not holds(response := self.get(path, key)):
            assert time.monotonic() < deadline, response.text
            time.sleep(0.02)
        return response


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """Serve; the service is told to stop at the end."""
    stop, bound = threading.Event(), queue.Queue[str]()
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(service.run, settings, stop, bound.put)
        try:
            yield Running(bound.get(timeout=10), stop, result)
        finally:
            stop.set()


@contextmanager
def ready(settings: Settings) -> Iterator[Running]:
    """Serve, and begin when answers are kept fresh."""
    with running(settings) as api:
        api.eventually("/readyz", lambda response: response.status_code == 200)
        yield api
