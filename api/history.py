"""Past moods by event time, searched from the newest publication backwards."""

from dataclasses import dataclass

from crowdmood import STADIUM
from crowdmood.mood import Mood
from crowdmood.streams.moods import MoodReader

MOST_SCANNED = 10_000
"""Entries one request may look at: it bounds the time for which other requests wait."""
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Range:
    """Which moods are wanted.

    Attributes:
        from_ms: Earliest `as_of` (inclusive), event time in milliseconds; None for no bound.
        to_ms: Latest `as_of` (exclusive), event time in milliseconds; None for no bound.
        camera: One camera; None for the whole stadium.
        limit: At most this many.
    """

    from_ms: int | None
    to_ms: int | None
    camera: str | None
    limit: int

    def holds(self, mood: Mood) -> bool:
        """Whether this mood is wanted."""
        return (
            mood.zone == STADIUM
            and mood.camera == self.camera
            and (self.from_ms is None or self.from_ms <= mood.as_of_ms)
            and (self.to_ms is None or mood.as_of_ms < self.to_ms)
        )


async def search(reader: MoodReader, wanted: Range) -> tuple[list[Mood], bool]:
    """The newest moods of a range.

    Event time does not order the store (footage is replayed at any time), so nothing can be skipped.

    Returns:
        The moods, oldest first, and whether there are or may be older ones in the range.

    Raises:
        ServerUnavailableError: The state store does not answer.
    """
    found: list[Mood] = []
    position: bytes | None = None
    for _ in range(MOST_SCANNED // _PAGE):
        page = await reader.newest(_PAGE, before=position)
        found += [mood for _, mood in page if mood is not None and wanted.holds(mood)]
        if len(found) > wanted.limit:
            return _oldest_first(found[: wanted.limit]), True
        if len(page) < _PAGE:
            return _oldest_first(found), False
        position = page[-1][0]
    return _oldest_first(found), bool(await reader.newest(1, before=position))


def _oldest_first(moods: list[Mood]) -> list[Mood]:
    # Turned round first: of equal times, as after a second replay, the one published first comes first.
    ordered = moods[::-1]
    ordered.sort(key=lambda mood: mood.as_of_ms)
    return ordered
