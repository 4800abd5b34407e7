"""The newest moods and changes in memory, shared by all streams, which read at their own pace."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.store.positions import Position, order

CAPACITY = 1000
"""Events kept; each hop adds one per scope. A stream that is further behind reads from the state store."""


@dataclass(frozen=True)
class Event:
    """A published mood or change.

    Attributes:
        position: The position after it.
        item: The mood or change.
    """

    position: Position
    item: Mood | MoodChange

    def follows(self, position: Position) -> bool:
        """Return whether the event comes after a position."""
        if isinstance(self.item, Mood):
            return order(self.position.moods) > order(position.moods)
        return order(self.position.changes) > order(position.changes)

    @cached_property
    def text(self) -> str:
        """Return the item as JSON, encoded once for all streams."""
        return self.item.to_json()


class Feed:
    """Events in the order in which they were read from the state store.

    Attributes:
        head: Position up to which the state store has been read.
        over: Whether the process is stopping, so that every stream must end.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.head = Position()
        self.over = False
        self._capacity = CAPACITY if capacity is None else capacity
        self._events: deque[Event] = deque()
        self._base = self.head  # the position before the oldest event held
        self._changed = asyncio.Event()

    def start_at(self, head: Position) -> None:
        """Drop all events and continue after a position."""
        self.head = self._base = head
        self._events.clear()
        self._wake()

    def put(self, read: Iterable[tuple[Position, Mood | MoodChange | None]]) -> None:
        """Add entries read from the state store, oldest first; an entry with None only advances the head."""
        for position, item in read:
            self.head = position
            if item is not None:
                self._events.append(Event(position, item))
        while len(self._events) > self._capacity:
            self._base = self._events.popleft().position
        self._wake()

    def end(self) -> None:
        """End every stream."""
        self.over = True
        self._wake()

    def after(self, position: Position) -> list[Event] | None:
        """Return every event after a position, oldest first, or None if the oldest of them are no longer kept."""
        if not position.reaches(self._base):
            return None
        found = []
        for event in reversed(self._events):
            if position.reaches(event.position):
                break
            found.append(event)
        # Another replica may have read moods and changes in another order, so the client may have some of these.
        return [event for event in reversed(found) if event.follows(position)]

    async def wait(self, timeout_s: float) -> None:
        """Return when the feed changes, or after `timeout_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()

    def _wake(self) -> None:
        # Wake the current waiters; later ones wait for the next change.
        self._changed.set()
        self._changed = asyncio.Event()
