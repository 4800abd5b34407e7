"""The asynchronous client: the synchronous one, awaited."""

import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from crowdmood.client import answers
from crowdmood.client.answers import Camera, ClientError, MoodCache, Page, Prediction, Reply, parameters
from crowdmood.domain.mood import Mood, MoodChange

T = TypeVar("T")


class AsyncClient:
    """Asks one installation.

    Args:
        url: Where its API is.
        key: A key that `crowdmood keys create` made; None where the API asks for none.
        timeout_s: Longest wait for an answer, in seconds.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        timeout_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=answers.authorization(key), timeout=timeout_s)
        self._cache = MoodCache()
        self._clock = clock

    async def mood(self, zone: str | None = None, camera: str | None = None) -> Mood | None:
        """The newest mood; None before the first. Act on it only while its `status` is `ok`.

        While the last answer says that it stays valid, it is given again and nothing is asked.

        Args:
            zone: A named set of cameras; None for the whole stadium.
            camera: One camera; None for all of the zone's.

        Raises:
            ClientError: The API did not answer it.
        """
        scope, now_s = (zone, camera), self._clock()
        if self._cache.fresh(scope, now_s):
            return self._cache.mood(scope)
        reply = await self._ask(
            "GET", "/mood", parameters(zone=zone, camera=camera), headers=self._cache.headers(scope)
        )
        return self._cache.take(scope, reply, now_s)

    async def leading(self, default: str, zone: str | None = None, camera: str | None = None) -> str:
        """The expression to act on now, or `mixed`; the default whenever the mood is not known for sure.

        It does not raise: no answer is one reason for the default.
        """
        try:
            return answers.leading(await self.mood(zone, camera), default)
        except ClientError:
            return default

    def moods(
        self,
        from_: str | None = None,
        to: str | None = None,
        zone: str | None = None,
        camera: str | None = None,
    ) -> AsyncIterator[Mood]:
        """Past moods with `from_` <= `as_of` < `to` (RFC 3339), the newest first, asked for page by page.

        Raises:
            ClientError: The API did not answer.
        """
        return self._pages("/moods", answers.page_of_moods, from_=from_, to=to, zone=zone, camera=camera)

    def changes(
        self, from_: str | None = None, to: str | None = None, zone: str | None = None
    ) -> AsyncIterator[MoodChange]:
        """Past changes of mood, as `moods` gives moods."""
        return self._pages("/changes", answers.page_of_changes, from_=from_, to=to, zone=zone)

    async def cameras(self) -> list[Camera]:
        """Every camera.

        Raises:
            ClientError: The API did not answer.
        """
        return answers.cameras(await self._ask("GET", "/cameras"))

    async def predict(self, picture: bytes) -> Prediction:
        """What the faces of a picture show.

        Args:
            picture: A JPEG, PNG or WebP file of at most 10 MB.

        Raises:
            ClientError: It cannot be used, or no worker answered.
        """
        reply = await self._ask("POST", "/predict", content=picture, timeout=answers.PHOTO_TIMEOUT_S)
        return answers.prediction(reply)

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _pages(self, path: str, read: Callable[[Reply], Page[T]], **query: str | None) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            page = read(await self._ask("GET", path, parameters(**query, limit=1000, cursor=cursor)))
            for item in page.items:
                yield item
            if page.next is None:
                return
            cursor = page.next

    async def _ask(self, method: str, path: str, query: dict[str, Any] | None = None, **more: Any) -> Reply:
        try:
            response = await self._http.request(method, path, params=query, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ClientError(f"no answer from {self._http.base_url}: {error}") from None
        return Reply(response.status_code, response.headers, response.content)
