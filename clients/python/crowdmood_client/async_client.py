"""The asynchronous client: it carries out the same steps by awaiting, on asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from crowdmood_client.answers import Camera, Event, Mood, MoodChange, Prediction
from crowdmood_client.core import Item, Read, Reply, Request, Run, Session, Step, Steps, Wait, authorization
from crowdmood_client.errors import ClientError
from crowdmood_client.http import FAILURES, address, built, unreachable

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class AsyncClient:
    """`Client` for asyncio: the same arguments, methods and errors; methods are awaited, iterators used by `async for`.

    Args:
        url: Address of the API.
        key: A key that `crowdmood keys create` made; None where the API needs none.
        timeout_s: Longest wait for a connection, and for each part of an answer, in seconds.
        retries: How often a request is sent again after a failure that may pass.
        silence_s: Seconds without a byte after which a stream reconnects.
        on_problem: Called with the error when `leading` starts to return its default because of one; None logs it.
        clock: Monotonic time in seconds.
        transport: How requests are sent; None for httpx's own way.

    Raises:
        ValueError: The address is not an http or https address.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        timeout_s: float = 5.0,
        retries: int = 2,
        silence_s: float = 45.0,
        on_problem: Callable[[ClientError], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=address(url), headers=authorization(key), timeout=timeout_s, transport=transport
        )
        self._session = Session(retries, silence_s, clock, on_problem)

    @property
    def problem(self) -> ClientError | None:
        """Why `leading` returns its default although the API should know better; None while the API answers."""
        return self._session.problem

    async def mood(self, zone: str | None = None, camera: str | None = None) -> Mood | None:
        """Return the newest mood, or None before the first one, as `Client.mood` does."""
        return await self._run(self._session.mood(zone, camera))

    async def leading(self, default: str, zone: str | None = None, camera: str | None = None) -> str:
        """Return the leading label of the newest mood, or the default, as `Client.leading` does."""
        return await self._run(self._session.leading(default, zone, camera))

    def stream(
        self, zone: str | None = None, camera: str | None = None, after: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield moods and changes as they are published, as `Client.stream` does.

        A loop that is left early closes the stream at once within `async with contextlib.aclosing(crowd.stream())`.
        """
        return self._iterate(self._session.stream(zone, camera, after))

    def moods(
        self,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
        zone: str | None = None,
        camera: str | None = None,
        run: str | None = None,
    ) -> AsyncGenerator[Mood, None]:
        """Yield past moods, as `Client.moods` does."""
        return self._iterate(self._session.moods(from_, to, run, zone, camera))

    def changes(
        self,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
        zone: str | None = None,
        run: str | None = None,
    ) -> AsyncGenerator[MoodChange, None]:
        """Yield past changes, as `Client.changes` does."""
        return self._iterate(self._session.changes(from_, to, run, zone))

    async def cameras(self) -> list[Camera]:
        """Return the state of every camera, as `Client.cameras` does."""
        return await self._run(self._session.cameras())

    async def predict(self, image: bytes) -> Prediction:
        """Return the expressions of the faces of an image, as `Client.predict` does."""
        return await self._run(self._session.predict(image))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        """Carry out steps that hand out no item; return their result."""
        run = Run(steps)
        async with aclosing(_Channel(self._http)) as channel:
            while run.step is not None:
                await channel.advance(run)
        return run.result

    async def _iterate(self, steps: Steps[None]) -> AsyncGenerator[Any, None]:
        """Carry out steps, and yield the items that they hand out."""
        run = Run(steps)
        async with aclosing(_Channel(self._http)) as channel:
            while run.step is not None:
                if isinstance(run.step, Item):
                    yield run.step.value
                    run.send(None)
                else:
                    await channel.advance(run)


class _Channel:
    """Carries out single steps; holds the reply that is open, if any."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._open: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def advance(self, run: Run[Any]) -> None:
        """Carry out the step that is due."""
        try:
            result = await self._carry_out(run.step)
        except FAILURES as error:
            run.fail(unreachable(self._http, error))
        else:
            run.send(result)

    async def aclose(self) -> None:
        """Close the reply that is open."""
        if self._open is not None:
            await self._open.aclose()
            self._open = self._chunks = None

    async def _carry_out(self, step: Step | None) -> Reply | bytes | None:
        if isinstance(step, Read):
            return None if self._chunks is None else await anext(self._chunks, None)
        await self.aclose()
        if isinstance(step, Wait):
            await asyncio.sleep(step.seconds)
        if not isinstance(step, Request):
            return None
        response = await self._http.send(built(self._http, step), stream=True)
        if step.streamed and response.status_code == 200:
            self._open, self._chunks = response, response.aiter_bytes()
            return Reply(response.status_code, response.headers)
        async with aclosing(response):
            return Reply(response.status_code, response.headers, await response.aread())
