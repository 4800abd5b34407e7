"""The synchronous client: it carries out the steps of `core` by blocking."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
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


class Client:
    """Asks one installation of CrowdMood. Threads may share it.

    Args:
        url: Address of its API.
        key: A key that `crowdmood keys create` made; None where the API needs none.
        timeout_s: Longest wait for a connection, and for each part of an answer, in seconds.
        retries: How often a request is sent again after a failure that may pass (no answer, rate limit, 502-504), with
            growing pauses. `leading` does not retry: the next call does, after a pause of at most 5 s.
        silence_s: Seconds without a byte after which a stream reconnects. More than the API's
            `CROWDMOOD_API__STREAM_HEARTBEAT_S` (15).
        on_problem: Called with the error when `leading` starts to return its default because of one; None logs a
            warning to `crowdmood_client`.
        clock: Monotonic time in seconds.
        transport: How requests are sent, for proxies and certificates; None for httpx's own way.

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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=address(url), headers=authorization(key), timeout=timeout_s, transport=transport
        )
        self._session = Session(retries, silence_s, clock, on_problem)

    @property
    def problem(self) -> ClientError | None:
        """Why `leading` returns its default although the API should know better; None while the API answers."""
        return self._session.problem

    def mood(self, zone: str | None = None, camera: str | None = None) -> Mood | None:
        """Return the newest mood, or None before the first one. Act on it only while its `status` is `ok`.

        An answer is kept as long as the API says that it is valid; nothing is sent in that time. A mood past its
        `valid_until` is returned as `stale`, without figures.

        Args:
            zone: A named set of cameras; None for the whole stadium.
            camera: One camera; None for all cameras of the zone.

        Raises:
            ClientError: The API refused the request or did not answer.
        """
        return self._run(self._session.mood(zone, camera))

    def leading(self, default: str, zone: str | None = None, camera: str | None = None) -> str:
        """Return the leading label of the newest mood (or `mixed`), or the default when no mood may be acted on.

        While an operator overrides the crowd, the creative to show is returned, or the default. The default is also
        returned before the first mood, with too few readable people, once `valid_until` has passed, and while the API
        cannot be reached (`problem` says so).

        Args:
            default: What to show when nothing certain is known.
            zone: A named set of cameras; None for the whole stadium.
            camera: One camera; None for all cameras of the zone.

        Raises:
            KeyRefusedError: The API needs a key or refuses this one, and never accepted it before. A key that is
                revoked later is reported by `on_problem` and `problem`, and the default is returned.
            ClientError: The zone or camera is unknown, and was never known before.
        """
        return self._run(self._session.leading(default, zone, camera))

    def stream(
        self, zone: str | None = None, camera: str | None = None, after: str | None = None
    ) -> Generator[Event, None, None]:
        """Yield the newest mood, then every mood and change as it is published; never end.

        After a lost connection a `lost` event is yielded, and the stream reconnects with growing pauses and continues
        after the last event. Leave the loop, or call `close()` of the generator, to close the connection.

        Args:
            zone: A named set of cameras; None for the whole stadium.
            camera: One camera, which has no changes; None for all cameras of the zone.
            after: Continue after the event with this id; None starts with the newest mood.

        Raises:
            KeyRefusedError: The API needs a key or refuses this one, at first or later.
            ClientError: The zone, camera or id is unknown.
        """
        return self._iterate(self._session.stream(zone, camera, after))

    def moods(
        self,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
        zone: str | None = None,
        camera: str | None = None,
        run: str | None = None,
    ) -> Iterator[Mood]:
        """Yield past moods with `from_` <= `as_of` < `to`, the newest publication first.

        Args:
            from_: Start of the range (inclusive), event time: a datetime with a time zone, or RFC 3339 text.
            to: End of the range (exclusive).
            zone: A named set of cameras; None for the whole stadium.
            camera: One camera; None for moods of the zone.
            run: Only of this run, as `Camera.run_id` names it.

        Raises:
            ClientError: The API refused the request or did not answer.
        """
        return self._iterate(self._session.moods(from_, to, run, zone, camera))

    def changes(
        self,
        from_: datetime | str | None = None,
        to: datetime | str | None = None,
        zone: str | None = None,
        run: str | None = None,
    ) -> Iterator[MoodChange]:
        """Yield past changes of a zone, the newest publication first; arguments and errors as for `moods`."""
        return self._iterate(self._session.changes(from_, to, run, zone))

    def cameras(self) -> list[Camera]:
        """Return the state of every camera.

        Raises:
            ClientError: The API refused the request or did not answer.
        """
        return self._run(self._session.cameras())

    def predict(self, image: bytes) -> Prediction:
        """Return the expressions of the faces of an image, which is neither kept nor counted.

        Args:
            image: A JPEG, PNG or WebP file of at most 10 MB.

        Raises:
            ClientError: The image cannot be used, or no worker answered.
        """
        return self._run(self._session.predict(image))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        """Carry out steps that hand out no item; return their result."""
        run = Run(steps)
        with closing(_Channel(self._http)) as channel:
            while run.step is not None:
                channel.advance(run)
        return run.result

    def _iterate(self, steps: Steps[None]) -> Generator[Any, None, None]:
        """Carry out steps, and yield the items that they hand out."""
        run = Run(steps)
        with closing(_Channel(self._http)) as channel:
            while run.step is not None:
                if isinstance(run.step, Item):
                    yield run.step.value
                    run.send(None)
                else:
                    channel.advance(run)


class _Channel:
    """Carries out single steps; holds the reply that is open, if any."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._open: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def advance(self, run: Run[Any]) -> None:
        """Carry out the step that is due."""
        try:
            result = self._carry_out(run.step)
        except FAILURES as error:
            run.fail(unreachable(self._http, error))
        else:
            run.send(result)

    def close(self) -> None:
        """Close the reply that is open."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _carry_out(self, step: Step | None) -> Reply | bytes | None:
        if isinstance(step, Read):
            return next(self._chunks, None)
        self.close()
        if isinstance(step, Wait):
            time.sleep(step.seconds)
        if not isinstance(step, Request):
            return None
        response = self._http.send(built(self._http, step), stream=True)
        if step.streamed and response.status_code == 200:
            self._open, self._chunks = response, response.iter_bytes()
            return Reply(response.status_code, response.headers)
        with closing(response):
            return Reply(response.status_code, response.headers, response.read())
