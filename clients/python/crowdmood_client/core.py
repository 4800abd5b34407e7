"""What the client does, without I/O: both clients run these steps, one blocking and one awaiting.

Each function of a `Session` is a generator. It yields what it needs (a request, more of a stream, a pause, an item for
the caller) and is sent the result; the clients only know how to carry such steps out. The time is given.
"""

from __future__ import annotations

import json
import logging
import math
import random
import re
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Generic, TypeAlias, TypeVar

from crowdmood_client.answers import Camera, Event, Mood, MoodChange, Prediction
from crowdmood_client.decoding import decode
from crowdmood_client.errors import RETRYABLE, ClientError, KeyRefusedError, UnreachableError
from crowdmood_client.events import EventParser, Message

log = logging.getLogger("crowdmood_client")

T = TypeVar("T")

PAGE_ITEMS = 1000
PHOTO_TIMEOUT_S = 20.0
"""Workers get 5 s, and the image has to arrive."""
_LONGEST_RETRY_AFTER_S = 10.0
"""A request that the API wants later than this fails instead of waiting."""
_LONGEST_PAUSE_S = 5.0
"""Longest pause of `leading` after failures: so late a board notices that the API is back."""
_LONGEST_ASKED_PAUSE_S = 60.0
"""Longest pause that `Retry-After` may ask of `leading` and of streams."""
_LONGEST_RECONNECT_S = 10.0
_MAX_AGE = re.compile(r"max-age=(\d+)")


@dataclass(frozen=True, slots=True)
class Request:
    """A step: send a request; the result is its `Reply`.

    Attributes:
        method: The HTTP method.
        path: Path below the API's address.
        query: Query parameters.
        headers: Headers of this request alone.
        body: The body, if any.
        read_timeout_s: Longest silence while the reply arrives; None for the client's own.
        streamed: Whether a reply of status 200 is left open, to be read by `Read`.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    read_timeout_s: float | None = None
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """A step: read on in the open reply; the result is a chunk of bytes, None at its end."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A step: pause for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Item:
    """A step: hand a value to the caller's loop."""

    value: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What arrived over HTTP.

    Attributes:
        status: The HTTP status.
        headers: By lower-case name.
        body: The body; empty when it is left open.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


Step: TypeAlias = "Request | Read | Wait | Item"
Steps: TypeAlias = Generator[Step, Any, T]


class Run(Generic[T]):
    """Steps in progress.

    Args:
        steps: The steps; the first one is due at once.

    Attributes:
        step: The step that is due; None when all are done.
        result: Their result, once all are done.
    """

    step: Step | None
    result: T

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._advance(lambda: next(steps))

    def send(self, result: Reply | bytes | None) -> None:
        """Go on with the result of the step that was due."""
        self._advance(lambda: self._steps.send(result))

    def fail(self, error: ClientError) -> None:
        """Go on after the step that was due has failed."""
        self._advance(lambda: self._steps.throw(error))

    def _advance(self, go_on: Callable[[], Step]) -> None:
        try:
            self.step = go_on()
        except StopIteration as end:
            self.step, self.result = None, end.value


@dataclass(frozen=True, slots=True)
class _Kept:
    """The newest answer for a scope.

    Attributes:
        mood: Its mood; None before the first.
        etag: Names these bytes.
        valid_until_s: Time of the clock until which it may be acted on.
    """

    mood: Mood | None
    etag: str
    valid_until_s: float


@dataclass(slots=True)
class _Scope:
    """What is known of one zone or camera.

    Attributes:
        query: Query parameters that name it.
        kept: The newest answer; None before the first.
        outdated: Whether a stream has shown that there is a newer one.
    """

    query: Mapping[str, str]
    kept: _Kept | None = None
    outdated: bool = False

    def usable(self, now_s: float) -> bool:
        """Return whether the answer may be acted on at this time."""
        return self.kept is not None and now_s < self.kept.valid_until_s

    def leading(self, default: str, now_s: float) -> str:
        """Return the leading label, or an override's creative, of an answer that may be acted on, else the default."""
        if self.kept is None or self.kept.mood is None or not self.usable(now_s):
            return default
        return self.kept.mood.leading(default)


class Session:
    """The state of one client: answers that are still valid, and what went wrong.

    Args:
        retries: How often a request is sent again after a failure that may pass.
        silence_s: Seconds without a byte after which a stream reconnects.
        clock: Monotonic time in seconds.
        on_problem: Called with the error when `leading` begins to return its default because of it; None logs it.
    """

    def __init__(
        self,
        retries: int,
        silence_s: float,
        clock: Callable[[], float],
        on_problem: Callable[[ClientError], object] | None,
    ) -> None:
        self._retries = retries
        self._silence_s = silence_s
        self._clock = clock
        self._on_problem = on_problem or _log_problem
        self._scopes: dict[tuple[str | None, str | None], _Scope] = {}
        self._problems: dict[tuple[tuple[str, str], ...], ClientError] = {}
        self._accepted = False  # whether the API has ever answered as asked: then the key was good
        self._failures = 0
        self._paused_until_s = -math.inf
        self._lock = threading.Lock()

    @property
    def problem(self) -> ClientError | None:
        """The error of the newest failure of `leading` that has not been followed by an answer."""
        with self._lock:
            return next(reversed(self._problems.values()), None)

    def mood(self, zone: str | None, camera: str | None) -> Steps[Mood | None]:
        """Get the newest mood."""
        return self._newest(self._scope(zone, camera), self._retries)

    def leading(self, default: str, zone: str | None, camera: str | None) -> Steps[str]:
        """Get the leading label, or the default."""
        scope, now_s = self._scope(zone, camera), self._clock()
        if now_s < self._paused_until_s or (scope.usable(now_s) and not scope.outdated):
            return scope.leading(default, now_s)
        try:
            mood = yield from self._newest(scope, retries=0)
        except ClientError as error:
            if _is_mistake(error) and not self._worked_before(error, scope):
                raise
            self._failed(scope, error)
            return scope.leading(default, self._clock())
        return default if mood is None else mood.leading(default)

    def moods(
        self,
        from_: datetime | str | None,
        to: datetime | str | None,
        run: str | None,
        zone: str | None,
        camera: str | None,
    ) -> Steps[None]:
        """Hand out past moods."""
        query = _query(**{"from": _time(from_)}, to=_time(to), run=run, zone=zone, camera=camera)
        return self._pages("moods", Mood, query)

    def changes(
        self, from_: datetime | str | None, to: datetime | str | None, run: str | None, zone: str | None
    ) -> Steps[None]:
        """Hand out past changes."""
        query = _query(**{"from": _time(from_)}, to=_time(to), run=run, zone=zone)
        return self._pages("changes", MoodChange, query)

    def cameras(self) -> Steps[list[Camera]]:
        """Get every camera."""
        reply, _ = yield from self._ask(Request("GET", "/cameras"), self._retries)
        return _read(reply.body, lambda rows: [decode(Camera, row) for row in rows])

    def predict(self, image: bytes) -> Steps[Prediction]:
        """Get the faces of an image."""
        request = Request("POST", "/predict", body=image, read_timeout_s=PHOTO_TIMEOUT_S)
        reply, _ = yield from self._ask(request, self._retries)
        return _read(reply.body, lambda answer: decode(Prediction, answer))

    def stream(self, zone: str | None, camera: str | None, after: str | None) -> Steps[None]:
        """Hand out events for ever; reconnect after what was read."""
        scope = self._scope(zone, camera)
        last_id, failures, lost = after or "", 0, False
        while True:
            try:
                headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
                reply = yield Request(
                    "GET", "/mood/stream", scope.query, headers, read_timeout_s=self._silence_s, streamed=True
                )
                _check_stream(reply)
                self._accepted = True
                parser = EventParser(last_id)
                while (chunk := (yield Read())) is not None:
                    for message in parser.feed(chunk):
                        last_id = message.id
                        event = _event(message)
                        failures, lost = 0, False
                        if event is not None:
                            scope.outdated = scope.outdated or event.kind == "mood"
                            yield Item(event)
                    last_id = parser.last_id
                raise UnreachableError("the stream ended")
            except ClientError as error:
                if _is_mistake(error):
                    raise
                if not lost:
                    lost = True
                    yield Item(Event("lost", last_id, error=error))
                wait_s = _pause_s(error, failures, _LONGEST_RECONNECT_S)
            failures += 1
            yield Wait(wait_s)

    def _newest(self, scope: _Scope, retries: int) -> Steps[Mood | None]:
        kept = scope.kept
        if kept is not None and scope.usable(self._clock()) and not scope.outdated:
            return kept.mood
        scope.outdated = False
        headers = {"If-None-Match": kept.etag} if kept is not None and kept.etag else {}
        try:
            reply, asked_s = yield from self._ask(Request("GET", "/mood", scope.query, headers), retries)
            if reply.status == 304 and kept is not None:
                mood, etag = kept.mood, kept.etag
            else:
                mood, etag = _read(reply.body, _mood), reply.headers.get("etag", "")
        except ClientError:
            scope.outdated = True
            raise
        self._recovered(scope)
        # Counted from before the request, so that no delay of the network lengthens it.
        valid_until_s = asked_s + _valid_for_s(reply.headers)
        scope.kept = _Kept(mood, etag, valid_until_s)
        expired = mood is not None and mood.status == "ok" and self._clock() >= valid_until_s
        return mood.as_stale() if mood is not None and expired else mood

    def _pages(self, name: str, kind: type[Any], query: Mapping[str, str]) -> Steps[None]:
        def read(answer: Any) -> tuple[list[Any], str | None]:
            return [decode(kind, item) for item in answer[name]], answer["next"]

        cursor: str | None = None
        while True:
            page = {**query, **_query(limit=str(PAGE_ITEMS), cursor=cursor)}
            reply, _ = yield from self._ask(Request("GET", f"/{name}", page), self._retries)
            items, cursor = _read(reply.body, read)
            for item in items:
                yield Item(item)
            if cursor is None:
                return

    def _ask(self, request: Request, retries: int) -> Steps[tuple[Reply, float]]:
        """Send a request until it is answered; return the reply and the time at which it was asked for.

        Raises:
            ClientError: The API refused it, or did not answer often enough.
        """
        for failures in range(retries + 1):
            asked_s = self._clock()
            try:
                reply: Reply = yield request
                _check(reply)
            except ClientError as error:
                last = failures == retries or not error.retryable
                if last or (error.retry_after_s or 0) > _LONGEST_RETRY_AFTER_S:
                    raise
                wait_s = _pause_s(error, failures, _LONGEST_PAUSE_S)
            else:
                self._accepted = True
                return reply, asked_s
            yield Wait(wait_s)
        raise AssertionError("unreachable")

    def _scope(self, zone: str | None, camera: str | None) -> _Scope:
        return self._scopes.setdefault((zone, camera), _Scope(_query(zone=zone, camera=camera)))

    def _worked_before(self, error: ClientError, scope: _Scope) -> bool:
        return self._accepted if isinstance(error, KeyRefusedError) else scope.kept is not None

    def _failed(self, scope: _Scope, error: ClientError) -> None:
        name = tuple(scope.query.items())
        with self._lock:
            known = self._problems.pop(name, None)
            self._problems[name] = error
            if not _is_mistake(error) or isinstance(error, KeyRefusedError):  # else it is this scope's alone
                self._paused_until_s = self._clock() + _pause_s(error, self._failures, _LONGEST_PAUSE_S)
                self._failures += 1
        if known is None or (known.status, known.type) != (error.status, error.type):
            self._on_problem(error)

    def _recovered(self, scope: _Scope) -> None:
        with self._lock:
            self._failures = 0
            recovered = self._problems.pop(tuple(scope.query.items()), None) is not None
        if recovered:
            log.info("the API answers again")


def authorization(key: str | None) -> dict[str, str]:
    """Return the header that carries a key; none without a key."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _log_problem(error: ClientError) -> None:
    log.warning("the default is shown: %s", error)


def _is_mistake(error: ClientError) -> bool:
    """Return whether the request itself is at fault, by the API's own word: no retry will help."""
    refused = error.status is not None and 400 <= error.status < 500 and error.status not in RETRYABLE
    return isinstance(error, KeyRefusedError) or (refused and error.type.startswith("/problems/"))


def _pause_s(error: ClientError, failures: int, longest_s: float) -> float:
    """Return how long to wait after a failure, in seconds: twice as long each time, with jitter."""
    wait_s = min(longest_s, math.ldexp(0.25, min(failures, 16))) * random.uniform(0.5, 1.0)
    return max(wait_s, min(error.retry_after_s or 0.0, _LONGEST_ASKED_PAUSE_S))


def _valid_for_s(headers: Mapping[str, str]) -> float:
    """Return for how many seconds an answer may be acted on."""
    exact = headers.get("mood-valid-ms", "")
    if exact.isdecimal():
        return int(exact) / 1000
    whole = _MAX_AGE.search(headers.get("cache-control", ""))  # of an API before this header
    return int(whole[1]) if whole else 0.0


def _check(reply: Reply) -> None:
    """Raise a ClientError unless the reply is an answer."""
    if reply.status in (200, 304):
        return
    try:
        problem = json.loads(reply.body)
        text = problem.get("detail") or problem["title"]
    except (ValueError, TypeError, KeyError, AttributeError):
        problem, text = {}, "no detail"
    after = reply.headers.get("retry-after", "")
    raise _error(f"HTTP {reply.status}: {text}", reply.status, problem, float(after) if after.isdecimal() else None)


def _check_stream(reply: Reply) -> None:
    _check(reply)
    kind = reply.headers.get("content-type", "none")
    if not kind.startswith("text/event-stream"):
        raise ClientError(f"this is not a stream of CrowdMood: its type is {kind}")


def _error(text: str, status: int, problem: Mapping[str, Any], retry_after_s: float | None = None) -> ClientError:
    kind = KeyRefusedError if status in (401, 403) else ClientError
    return kind(text, status, str(problem.get("type", "about:blank")), retry_after_s)


def _event(message: Message) -> Event | None:
    """Read a message of a stream; None for one without news, or of a kind that this client does not know.

    Raises:
        ClientError: The message ends the stream, or is unusable.
    """
    if message.name == "mood":
        mood = _read(message.data, _mood)
        return None if mood is None else Event("mood", message.id, mood=mood)
    if message.name == "change":
        return Event("change", message.id, change=_read(message.data, lambda value: decode(MoodChange, value)))
    if message.name in ("gap", "end"):
        error = _read(message.data, _problem)
        if message.name == "end":
            raise error
        return Event("gap", message.id, error=error)
    return None


def _problem(value: Any) -> ClientError:
    return _error(value.get("detail") or value["title"], value["status"], value)


def _mood(value: Any) -> Mood | None:
    # Before the first mood the times and the method are null as well.
    return None if value["as_of"] is None else decode(Mood, value)


def _read(text: str | bytes, read: Callable[[Any], T]) -> T:
    """Read JSON.

    Raises:
        ClientError: It is not an answer of CrowdMood.
    """
    try:
        return read(json.loads(text, parse_constant=_refuse_constant))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ClientError(f"this is not an answer of CrowdMood: {error!r}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _query(**given: str | None) -> dict[str, str]:
    """Return the query parameters that were given."""
    return {name: value for name, value in given.items() if value is not None}


def _time(given: datetime | str | None) -> str | None:
    if not isinstance(given, datetime):
        return given
    if given.tzinfo is None:
        raise ValueError(f"{given!r} has no time zone: the API's times are UTC")
    return given.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
