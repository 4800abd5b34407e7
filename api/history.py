"""Past moods and changes by event time, page by page, searched from the newest publication backwards."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from api.answers import Scope
from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.store.positions import order

MOST_SCANNED = 10_000
"""Entries one request may look at: it bounds the time for which other requests wait."""
PAGE = 500
"""Entries read at a time."""

Item = TypeVar("Item", Mood, MoodChange)
Newest: TypeAlias = Callable[[int, bytes | None], Awaitable[list[tuple[bytes, Item | None]]]]
"""Gives at most so many of the newest entries before one, or of all, newest first."""


@dataclass(frozen=True, slots=True)
class Range:
    """What is wanted.

    Attributes:
        from_ms: Earliest `as_of` (inclusive), event time in milliseconds; None for no bound.
        to_ms: Latest `as_of` (exclusive), event time in milliseconds; None for no bound.
        scope: Whose.
        limit: At most this many.
        before: Only what was published before this entry; None for no bound.
    """

    from_ms: int | None
    to_ms: int | None
    scope: Scope
    limit: int
    before: bytes | None = None

    def empty(self) -> bool:
        """Whether nothing can be in it."""
        nothing_before = self.before is not None and order(self.before) == (0, 0)
        return nothing_before or (self.from_ms is not None and self.to_ms is not None and self.from_ms >= self.to_ms)

    def holds(self, item: Mood | MoodChange) -> bool:
        """Whether this is wanted, wherever it is."""
        return (
            self.scope.holds(item)
            and (self.from_ms is None or self.from_ms <= item.as_of_ms)
            and (self.to_ms is None or item.as_of_ms < self.to_ms)
        )


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of what is wanted.

    Attributes:
        items: The newest publication first.
        next: The entry before which the search goes on; None when there is nothing left to search.
    """

    items: list[Item]
    next: bytes | None


async def search(newest: Newest[Item], wanted: Range) -> Page[Item]:
    """The newest publications of a range.

    Event time does not order the store (footage is replayed at any time), so nothing can be skipped; the page may be
    short, and even empty, when much had to be passed over.

    Raises:
        ServerUnavailableError: The state store does not answer.
    """
    found: list[Item] = []
    if wanted.empty():
        return Page(found, None)
    last: bytes | None = None
    position = wanted.before
    for _ in range(MOST_SCANNED // PAGE):
        entries = await newest(PAGE, position)
        for entry, item in entries:
            if item is not None and wanted.holds(item):
                if len(found) == wanted.limit:
                    return Page(found, last)
                found.append(item)
                last = entry
        if len(entries) < PAGE:
            return Page(found, None)
        position = entries[-1][0]
    return Page(found, position if await newest(1, position) else None)
