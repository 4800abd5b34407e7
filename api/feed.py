"""The newest moods and changes, held once for all streams, which read them at their own pace."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.store.positions import Position, order

CAPACITY = 1000
"""Events held: a hop writes one a scope. Who is further behind reads the state store."""


@dataclass(frozen=True)
class Event:
    """A mood or a change that was published.

    Attributes:
        position: The position after it.
        item: What was published.
    """

    position: Position
    item: Mood | MoodChange

    def follows(self, position: Position) -> bool:
        """Whether it is none of what was read up to there."""
        if isinstance(self.item, Mood):
            return order(self.position.moods) > order(position.moods)
        return order(self.position.changes) > order(position.changes)

    @cached_property
    def text(self) -> str:
        """It as JSON, written once for all streams."""
        return self.item.to_json()


class Feed:
    """Events in the order in which they were read from the state store.

    Attributes:
        head: How far the state store has been read.
        over: Whether the process stops, and every stream with it.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.head = Position()
        self.over = False
        self._capacity = CAPACITY if capacity is None else capacity
        self._events: deque[Event] = deque()
        self._base = self.head  # the position before the oldest event held
        self._news = asyncio.Event()

    def start_at(self, head: Position) -> None:
        """Hold nothing, and go on after this position."""
        self.head = self._base = head
        self._events.clear()
        self._wake()

    def put(self, read: Iterable[tuple[Position, Mood | MoodChange | None]]) -> None:
        """Take what was read, oldest first; None only moves the head on."""
        for position, item in read:
            self.head = position
            if item is not None:
                self._events.append(Event(position, item))
        while len(self._events) > self._capacity:
            self._base = self._events.popleft().position
        self._wake()

    def end(self) -> None:
        """Tell every stream to end."""
        self.over = True
        self._wake()

    def after(self, position: Position) -> list[Event] | None:
        """Every event after a position, oldest first; None when the oldest of them are no longer held."""
        if not position.reaches(self._base):
            return None
        found = []
        for event in reversed(self._events):
            if position.reaches(event.position):
                break
            found.append(event)
        # Another replica may have read moods and changes in another order: some of these may have been seen there.
        return [event for event in reversed(found) if event.follows(position)]

    async def wait(self, timeout_s: float) -> None:
        """Return when there is news, or after `timeout_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()

    def _wake(self) -> None:
        # Whoever waits now is woken; who comes later waits for the next news.
        self._news.set()
        self._news = asyncio.Event()
