"""What a stream tells: every mood and change of a scope, in order and without a gap, at the reader's own pace.

The feed in memory serves whoever keeps up, the state store whoever has to catch up: a stream costs no store reads, and
a slow reader no memory.
"""

import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from api import problems
from api.answers import Scope
from api.dependencies import Context
from api.feed import Event
from api.keys import UNAUTHORIZED, Caller
from api.problems import STORE_AWAY, Kind
from crowdmood.core.errors import ServerUnavailableError
from crowdmood.domain.mood import Mood
from crowdmood.store.positions import Position

EVENTS_LOST = Kind("events-lost", 410, "Some of what was published since then is gone.")
TOO_SLOW = Kind("too-slow", 408, "The messages were not read fast enough.")
STOPPING = Kind("stopping", 503, "The server stops.")

_AGAIN = "connect again and go on from here"
_LOOK_EVERY_S = 1.0
"""Longest time after which a mood that has become stale is told as such."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, to be sent as an event or over a WebSocket.

    Attributes:
        event: `mood`; `change`; `gap`: something was lost, the data are problem details; `heartbeat`; `end`: nothing
            more will come, the data are problem details.
        position: Where to go on after it.
        data: JSON.
        why: Of an end: its kind of problem.
    """

    event: Literal["mood", "change", "gap", "heartbeat", "end"]
    position: Position
    data: str = "null"
    why: Kind | None = None

    def as_event(self) -> str:
        """As server-sent events write it; a heartbeat is a comment that moves the reader's position on."""
        if self.event == "heartbeat":
            return f": heartbeat\nid: {self.position}\n\n"
        return f"event: {self.event}\nid: {self.position}\ndata: {self.data}\n\n"

    def as_text(self) -> str:
        """As one JSON object."""
        return f'{{"event":"{self.event}","id":"{self.position}","data":{self.data}}}'


class Pace:
    """Whether a reader keeps up: what was there at some moment must have been taken soon after it.

    Catching up in the beginning may take as long as it takes.

    Args:
        head: Newest position at the beginning.
        slow_after_s: Seconds until what was there must have been taken.
        clock: Monotonic time in seconds.
    """

    def __init__(self, head: Position, slow_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._mark, self._since_s = head, math.inf
        self._slow_after_s = slow_after_s
        self._clock = clock

    def begin(self, head: Position) -> None:
        """There is news for a reader that had everything."""
        self._mark, self._since_s = head, self._clock()

    def took(self, position: Position, head: Position) -> bool:
        """Note that a reader has taken everything up to a position; returns whether that was in time."""
        in_time = self._clock() - self._since_s <= self._slow_after_s
        if position.reaches(self._mark):
            self.begin(head)
        return in_time


async def messages(context: Context, caller: Caller, scope: Scope, after: Position | None) -> AsyncIterator[Message]:
    """Everything that a stream says, until its reader leaves.

    Args:
        context: The running API.
        caller: Who reads: a stream ends with the key that opened it.
        scope: Whose moods and changes.
        after: Where the reader was; None starts with the newest mood.
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
    told_status = None
    if after is None:
        position = feed.head
        answer = context.board.answer(scope, context.clock() * 1000)
        told_status = answer.status
        yield Message("mood", position, answer.body.decode())
    else:
        position = after
        if not feed.head.reaches(after):
            # Another replica was ahead of us; or the store has lost what was there, and there is nothing to wait for.
            position = after.within((await context.reader.newest_position()).joined(feed.head))
        if feed.after(position) is None and not await context.reader.keeps(position):
            detail = "the history does not reach back to there: what is left of it follows"
            yield Message("gap", position, _problem(EVENTS_LOST, detail))
    pace, idle, told_s = Pace(feed.head, settings.stream_slow_after_s), after is None, time.monotonic()
    while not feed.over:
        if not caller.now().may("read"):
            yield _end(UNAUTHORIZED, position, "the key no longer opens anything, or one is needed now")
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
            yield Message("mood" if isinstance(event.item, Mood) else "change", position, event.text)
            told_s = time.monotonic()
            if isinstance(event.item, Mood):
                told_status = event.item.status
            if not pace.took(position, feed.head):
                yield _end(TOO_SLOW, position, f"{_AGAIN}, or ask GET /mood instead")
                return
        if events:
            continue
        position = position.joined(head)
        answer = context.board.answer(scope, context.clock() * 1000)
        if answer.status == "stale" != told_status:
            told_status, told_s = answer.status, time.monotonic()
            yield Message("mood", position, answer.body.decode())
        elif time.monotonic() - told_s >= settings.stream_heartbeat_s:
            told_s = time.monotonic()
            yield Message("heartbeat", position)
        if feed.head == head and not feed.over:
            await feed.wait(min(_LOOK_EVERY_S, settings.stream_heartbeat_s))
    yield _end(STOPPING, position, _AGAIN)


async def _stored(context: Context, position: Position) -> list[Event]:
    """The oldest events after a position that the state store still has."""
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
