"""Webhooks delivered a second: changes in a real state store, `crowdmood dispatch`, boards that answer at once."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from api import examples
from benchmarks.pipeline import pipeline
from benchmarks.results import Chart, Figure, Row, number
from crowdmood.core.settings import load, required_url
from crowdmood.store.moods import MoodStore
from webhooks.adapters import Adapter, AdapterName
from webhooks.endpoints import Endpoint, Secret, new_secret
from webhooks.events import EventType
from webhooks.store import WebhookStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.session import Session

BOARDS: Final = (1, 10, 100)
_VALID_MS: Final = 600_000
_LONGEST_S: Final = 120.0
_ANSWER: Final = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


class Board:
    """Takes every delivery and answers at once.

    Attributes:
        taken_s: When each came, by a clock that only grows.
        port: Where it listens.
    """

    def __init__(self) -> None:
        self.taken_s: list[float] = []
        self.port = 0

    async def listen(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Listen until told to stop."""
        async with await asyncio.start_server(self._talk, "127.0.0.1", 0, backlog=512) as server:
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            try:
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                    await reader.readexactly(length)
                    self.taken_s.append(time.perf_counter())
                    writer.write(_ANSWER)
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                return


def measure(session: Session) -> Figure:
    """Deliver the same number to few boards and to many."""
    wanted = session.size(2000, 60)
    rows: list[Row] = []
    for boards in session.size(BOARDS, BOARDS[:2]):
        count = max(1, min(wanted, 500 * boards) // boards)
        rows.append({"boards": boards, "changes": count, "delivered/s": rate(boards, count)})
    return Figure(
        title="Webhooks",
        rows=rows,
        chart=Chart(
            [f"{number(row, 'boards'):g} boards" for row in rows],
            {"delivered/s": [number(row, "delivered/s") for row in rows]},
            "",
            "deliveries a second",
        ),
        notes=[
            "Each board gets every change, one after the other and signed; a delivery counts when it has arrived and "
            "before it is written down. Dispatcher, store and boards share the same cores."
        ],
    )


def rate(boards: int, changes: int) -> float:
    """Deliveries a second between the first and the last of so many changes told to so many boards."""
    settings = load(webhooks={"allow_networks": ["127.0.0.0/8"]}, log={"level": "WARNING"})
    with pipeline(settings) as running, _board() as board:
        url, prefix = required_url(running.settings.state_url, "state"), settings.bus.key_prefix
        with closing(WebhookStore(url, prefix)) as store, closing(MoodStore(url, prefix)) as moods:
            for number in range(boards):
                store.add(_endpoint(number, board.port), boards)
            running.start("dispatch")
            deadline_s = time.monotonic() + _LONGEST_S
            while not store.connection.client.exists(store.keys.webhooks_watch):
                running.check(deadline_s)
            now_ms = round(time.time() * 1000)
            told = [
                replace(examples.CHANGE, sequence=number, as_of_ms=now_ms, valid_until_ms=now_ms + _VALID_MS)
                for number in range(1, changes + 1)
            ]
            moods.publish([], changes=told, run_id="bench", checkpoint={}, cameras={}, keep=changes)
            while len(board.taken_s) < boards * changes:
                running.check(deadline_s)
    taken_s = board.taken_s
    return (len(taken_s) - 1) / (taken_s[-1] - taken_s[0])


@contextmanager
def _board() -> Iterator[Board]:
    board, ready, loop = Board(), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(board.listen(ready, stop),))
    thread.start()
    ready.wait()
    try:
        yield board
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def _endpoint(number: int, port: int) -> Endpoint:
    adapter = Adapter(AdapterName.STANDARD, "crowd_mood", "unavailable", "", "text/plain; charset=utf-8")
    events, secrets = (EventType.MOOD_CHANGED,), (Secret(new_secret()),)
    url = f"http://127.0.0.1:{port}/{number}"
    return Endpoint(f"ep_{number}", url, events, (), False, 0.0, 0.0, adapter, "", True, number, secrets)
