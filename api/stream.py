"""The messages of a stream: every mood and change of a scope, in order and without a gap, at the client's own pace.

A stream that keeps up reads the feed in memory and costs no store reads. A stream that is behind reads the state store,
so that a slow client costs no memory.
"""

import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from api import problems
from api.answers import Answer, Scope
from api.dependencies import Context
from api.feed import Event
from api.keys import UNAUTHORIZED, Caller
from api.problems import STORE_AWAY, Kind
from crowdmood.core.errors import ServerUnavailableError
from crowdmood.domain.mood import MoodChange
from crowdmood.domain.override import Override
from crowdmood.store.positions import Position

EVENTS_LOST = Kind("events-lost", 410, "Some messages since then are no longer stored.")
TOO_SLOW = Kind("too-slow", 408, "The client did not read the messages fast enough.")
STOPPING = Kind("stopping", 503, "The server is stopping.")

_AGAIN = "connect again with this id as Last-Event-ID"
_CHECK_EVERY_S = 0.5
"""Longest delay until a mood that has become stale is sent as stale, and until an override is sent."""
_Sent: TypeAlias = tuple[str, dict[str, str] | None]
"""The status of the mood that was sent last, and what it said about an override."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, sent as a server-sent event or over a WebSocket.

    Attributes:
        event: `mood`; `change`; `gap`: messages were lost, the data are problem details; `heartbeat`; `end`: the
            stream ends, the data are problem details.
        position: Position after the message.
        data: JSON.
        why: For `end`, the kind of problem.
    """

    event: Literal["mood", "change", "gap", "heartbeat", "end"]
    position: Position
    data: str = "null"
    why: Kind | None = None

    def as_event(self) -> str:
        """Return the message as a server-sent event; a heartbeat is a comment with the client's new position."""
        if self.event == "heartbeat":
            return f": heartbeat\nid: {self.position}\n\n"
        return f"event: {self.event}\nid: {self.position}\ndata: {self.data}\n\n"

    def as_text(self) -> str:
        """Return the message as one JSON object."""
        return f'{{"event":"{self.event}","id":"{self.position}","data":{self.data}}}'


class Pace:
    """Checks whether a client keeps up: it must read all messages up to a mark within a time limit.

    There is no limit for reading the messages that existed when the stream began.

    Args:
        head: Newest position at the beginning.
        slow_after_s: Seconds within which the client must read everything up to the mark.
        clock: Monotonic time in seconds.
    """

    def __init__(self, head: Position, slow_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._mark, self._since_s = head, math.inf
        self._slow_after_s = slow_after_s
        self._clock = clock

    def begin(self, head: Position) -> None:
        """Start the time limit, when there are new messages for a client that had read everything."""
        self._mark, self._since_s = head, self._clock()

    def took(self, position: Position, head: Position) -> bool:
        """Record that the client has read everything up to a position; return whether it was in time."""
        in_time = self._clock() - self._since_s <= self._slow_after_s
        if position.reaches(self._mark):
            self.begin(head)
        return in_time


async def messages(context: Context, caller: Caller, scope: Scope, after: Position | None) -> AsyncIterator[Message]:
    """Yield the messages of a stream until its client disconnects.

    Args:
        context: The running API.
        caller: The client; the stream ends when its key stops being valid.
        scope: The stadium, a zone or a camera.
        after: Position of the client; None starts with the newest mood.
    """
    position = after or context.feed.head
    try:
        async for message in _messages(context, caller, scope, after):
            position = message.position
            yield message
    except ServerUnavailableError:
        yield _end(STORE_AWAY, position, _AGAIN)


async def _messages(context: Context, caller: Caller, scope: Scope, after: Position | None) -> AsyncIterator[Message]:
    feed, settings = context.feed, context.settings.api
    sent: _Sent | None = None
    if after is None:
        position = feed.head
        answer, sent = _answer(context, scope)
        yield Message("mood", position, answer.body.decode())
    else:
        position = after
        if not feed.head.reaches(after):
            # Another replica was ahead of this one, or the store has lost these entries and waiting is pointless.
            position = after.within((await context.reader.newest_position()).joined(feed.head))
        if feed.after(position) is None and not await context.reader.keeps(position):
            detail = "the history no longer reaches back to this id: the stream continues with the oldest message kept"
            yield Message("gap", position, _problem(EVENTS_LOST, detail))
    pace, idle, sent_s = Pace(feed.head, settings.stream_slow_after_s), after is None, time.monotonic()
    while not feed.over:
        if not caller.now().may("read"):
            yield _end(UNAUTHORIZED, position, "the key is no longer valid, or a key is now required")
            return
        head = feed.head
        events = feed.after(position)
        if events is None:
            events = await _stored(context, position)
        if events and idle:
            pace.begin(head)
        idle = not events
        for event in events:
            position = position.joined(event.position)
            if not scope.holds(event.item):
                continue
            override = _override(context, scope)
            note = event.item.override if override is None else override.note()
            if isinstance(event.item, MoodChange):
                if note is not None:
                    continue  # boards would act on it
                yield Message("change", position, event.text)
            else:
                shown = event.item.status if note is None else "overridden"
                sent = shown, note
                yield Message("mood", position, event.text if note is None else event.item.overridden(note).to_json())
            sent_s = time.monotonic()
            if not pace.took(position, feed.head):
                yield _end(TOO_SLOW, position, f"{_AGAIN}, or poll GET /mood instead")
                return
        if events:
            continue
        position = position.joined(head)
        answer, now = _answer(context, scope)
        if now != sent and _news(now, sent):
            sent, sent_s = now, time.monotonic()
            yield Message("mood", position, answer.body.decode())
        elif time.monotonic() - sent_s >= settings.stream_heartbeat_s:
            sent_s = time.monotonic()
            yield Message("heartbeat", position)
        if feed.head == head and not feed.over:
            await feed.wait(min(_CHECK_EVERY_S, settings.stream_heartbeat_s))
    yield _end(STOPPING, position, _AGAIN)


def _answer(context: Context, scope: Scope) -> tuple[Answer, _Sent]:
    answer, override = context.board.answer(scope, context.clock() * 1000), _override(context, scope)
    return answer, (answer.status, None if override is None else override.note())


def _override(context: Context, scope: Scope) -> Override | None:
    return context.board.overrides.of(*scope, context.clock() * 1000)


def _news(now: _Sent, sent: _Sent | None) -> bool:
    """Return whether a client must be sent the answer although nothing was published: it has become another one."""
    return now[0] in ("stale", "overridden") or (sent is not None and sent[0] == "overridden")


async def _stored(context: Context, position: Position) -> list[Event]:
    """Return the oldest events after a position that the state store still has."""
    while read := await context.reader.follow(position, None):
        position = read[-1][0]
        events = [Event(at, item) for at, item in read if item is not None]
        if events:
            return events
    return []


def _end(why: Kind, position: Position, detail: str) -> Message:
    return Message("end", position, _problem(why, detail), why)


def _problem(kind: Kind, detail: str) -> str:
    return bytes(problems.response(kind, detail).body).decode()
