"""Webhooks delivered a second: changes in a real state store, `crowdmood dispatch`, boards that answer at once."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from api import examples
from benchmarks.figures import Chart, Figure, Row
from benchmarks.processes import pipeline
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


def measure(session: Session) -> Figure:
    """Deliver the same number to few boards and to many."""
    wanted = session.size(2000, 60)
    rows: list[Row] = []
    for boards in session.size(BOARDS, BOARDS[:2]):
        count = max(1, min(wanted, 500 * boards) // boards)
        rows.append({"boards": f"{boards}", "changes": count, "delivered/s": rate(boards, count)})
    return Figure(
        title="Webhooks",
        rows=rows,
        chart=Chart("boards", ["delivered/s"], "deliveries a second"),
        notes=[
            "Each board gets every change, one after the other and signed; a delivery counts when it has arrived, "
            "before it is written to the store. Dispatcher, store and boards share the same cores."
        ],
    )


def rate(boards: int, changes: int) -> float:
    """Return deliveries a second between the first and the last one, when each board gets each change."""
    settings = load(webhooks={"allow_networks": ["127.0.0.0/8"]}, log={"level": "WARNING"})
    with _receiving() as (port, arrived_s), pipeline(settings) as running:
        url, prefix = required_url(running.settings.state_url, "state"), settings.bus.key_prefix
        with closing(WebhookStore(url, prefix)) as store, closing(MoodStore(url, prefix)) as moods:
            for number in range(boards):
                store.add(_endpoint(number, port), boards)
            running.start("dispatch")
            running.wait(lambda: store.connection.client.exists(store.keys.webhooks_watch), _LONGEST_S)
            now_ms = round(time.time() * 1000)
            published = [
                replace(examples.CHANGE, sequence=number, as_of_ms=now_ms, valid_until_ms=now_ms + _VALID_MS)
                for number in range(1, changes + 1)
            ]
            moods.publish([], changes=published, run_id="bench", checkpoint={}, cameras={})
            running.wait(lambda: len(arrived_s) >= boards * changes, _LONGEST_S)
    return (len(arrived_s) - 1) / (arrived_s[-1] - arrived_s[0])


@contextmanager
def _receiving() -> Iterator[tuple[int, list[float]]]:
    """Answer every delivery at once; yield the port, and when each delivery arrived, by a monotonic clock."""
    arrived_s: list[float] = []
    loop, stop, port = asyncio.new_event_loop(), asyncio.Event(), Future[int]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            try:
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                    await reader.readexactly(length)
                    arrived_s.append(time.perf_counter())
                    writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                return

    async def serve() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512) as server:
            port.set_result(server.sockets[0].getsockname()[1])
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield port.result(), arrived_s
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def _endpoint(number: int, port: int) -> Endpoint:
    adapter = Adapter(AdapterName.STANDARD, "crowd_mood", "unavailable", "", "text/plain; charset=utf-8")
    events, secrets = (EventType.MOOD_CHANGED,), (Secret(new_secret()),)
    url = f"http://127.0.0.1:{port}/{number}"
    return Endpoint(f"ep_{number}", url, events, (), False, 0.0, 0.0, adapter, "", True, number, secrets)
