"""Positions of readers in the state store. Pure.

Positions are entry ids of the store's streams, so they are the same for every replica of the API.
"""

import re
from typing import NamedTuple, TypeVar

# Both numbers have 64 bits, into which not every number of 20 digits fits. Real ids have 13 digits and a few.
_ENTRY_ID = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")
_MOST = 2**64 - 1
T = TypeVar("T")
U = TypeVar("U")


def entry_id(text: str) -> bytes:
    """Return the entry id that a client sent.

    Raises:
        ValueError: The text is not an entry id.
    """
    match = _ENTRY_ID.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is no position that we gave")
    return b"%d-%d" % (int(match[1]), int(match[2]))


def order(entry: bytes) -> tuple[int, int]:
    """Return the key that sorts entry ids in the order of their stream."""
    ms, _, sequence = entry.partition(b"-")
    return int(ms), int(sequence or 0)


class Position(NamedTuple):
    """Everything up to these entries has been read.

    Attributes:
        moods: Entry of the stream of moods.
        changes: Entry of the stream of changes.
    """

    moods: bytes = b"0-0"
    changes: bytes = b"0-0"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read the text that `str` makes.

        Raises:
            ValueError: The text is not a position.
        """
        moods, _, changes = text.partition(".")
        try:
            return cls(entry_id(moods), entry_id(changes))
        except ValueError:
            raise ValueError(f"{text[:64]!r} is no position that we gave") from None

    def __str__(self) -> str:
        return f"{self.moods.decode()}.{self.changes.decode()}"

    def reaches(self, other: "Position") -> bool:
        """Return whether this position is at or after the other one in both streams."""
        return all(order(ours) >= order(theirs) for ours, theirs in zip(self, other, strict=True))

    def joined(self, other: "Position") -> "Position":
        """Return the later position in each stream."""
        return Position(*(max(pair, key=order) for pair in zip(self, other, strict=True)))

    def within(self, other: "Position") -> "Position":
        """Return the earlier position in each stream."""
        return Position(*(min(pair, key=order) for pair in zip(self, other, strict=True)))


def merged(
    position: Position, moods: list[tuple[bytes, T]], changes: list[tuple[bytes, U]], count: int
) -> list[tuple[Position, T | U]]:
    """Merge two pages of entries, oldest first, by time; moods come before changes of the same time.

    Args:
        position: The position before the pages.
        moods: Entries after it, each with its mood.
        changes: Entries after it, each with its change.
        count: Most entries of a page. Entries later than the end of a full page are left to the next call.

    Returns:
        Moods and changes, each with the position after it.
    """
    ends = [order(page[-1][0])[0] for page in (moods, changes) if len(page) >= count]
    last_ms = min(ends, default=_MOST)

    # A full page may end between moods of one time: the changes of that time wait until its moods are complete.
    cut = len(moods) >= count and order(moods[-1][0])[0] == last_ms
    ordered: list[tuple[tuple[int, int, int], bytes, T | U]] = []
    ordered += [(_rank(entry, 0), entry, mood) for entry, mood in moods if order(entry)[0] <= last_ms]
    ordered += [(_rank(entry, 1), entry, change) for entry, change in changes if order(entry)[0] <= last_ms - cut]
    ordered.sort(key=lambda one: one[0])
    result: list[tuple[Position, T | U]] = []
    for (_, kind, _), entry, item in ordered:
        position = position._replace(moods=entry) if kind == 0 else position._replace(changes=entry)
        result.append((position, item))
    return result


def _rank(entry: bytes, kind: int) -> tuple[int, int, int]:
    ms, sequence = order(entry)
    return ms, kind, sequence
