"""Past moods and changes by event time, in pages, searched from the newest publication backwards."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from api.answers import Scope
from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.store.positions import order

MOST_SCANNED = 10_000
"""Most entries that one request searches, which limits how long other requests wait."""
PAGE = 500
"""Entries read at a time."""

Item = TypeVar("Item", Mood, MoodChange)
Newest: TypeAlias = Callable[[int, bytes | None], Awaitable[list[tuple[bytes, Item | None]]]]
"""Returns at most N of the newest entries before an entry, or of all entries, newest first.

It may leave out entries whose event time is not in the range.
"""


@dataclass(frozen=True, slots=True)
class Range:
    """The moods or changes to find.

    Attributes:
        from_ms: Earliest `as_of` (inclusive), event time in milliseconds; None for no bound.
        to_ms: Latest `as_of` (exclusive), event time in milliseconds; None for no bound.
        scope: The stadium, a zone or a camera.
        limit: Most items of a page.
        before: Entry; only items published before it are found; None for no bound.
    """

    from_ms: int | None
    to_ms: int | None
    scope: Scope
    limit: int
    before: bytes | None = None

    def empty(self) -> bool:
        """Return whether the range cannot contain anything."""
        nothing_before = self.before is not None and order(self.before) == (0, 0)
        return nothing_before or (self.from_ms is not None and self.to_ms is not None and self.from_ms >= self.to_ms)

    def holds(self, item: Mood | MoodChange) -> bool:
        """Return whether an item is in the range, regardless of `before` and `limit`."""
        return (
            self.scope.holds(item)
            and (self.from_ms is None or self.from_ms <= item.as_of_ms)
            and (self.to_ms is None or item.as_of_ms < self.to_ms)
        )


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a range.

    Attributes:
        items: Moods or changes, newest publication first.
        next: Entry before which the search continues; None when everything was searched.
    """

    items: list[Item]
    next: bytes | None


async def search(newest: Newest[Item], wanted: Range) -> Page[Item]:
    """Return the newest publications of a range.

    The store is in the order of publication. It skips entries that were published too early or too late for the range;
    the others are decoded and compared. A page is short, or even empty, if many of them did not match.

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
