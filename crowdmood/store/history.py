"""The history of moods or of changes: a stream in segments of half an hour, each of which expires by itself.

The entries of all segments have one order: the writer chooses their ids, which are the server's time of publication
and never go back. So an id says in which segment its entry is. Readers are generators that yield commands and receive
the replies, because the same reading is done synchronously and asynchronously.
"""

import logging
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, TypeVar

from crowdmood.bus.connection import Client
from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError
from crowdmood.store.keys import HistoryKeys
from crowdmood.store.positions import order

log = logging.getLogger(__name__)

T = TypeVar("T")
Entry: TypeAlias = tuple[bytes, dict[bytes, bytes]]
Reading: TypeAlias = Generator[tuple[Any, ...], Any, T]
"""Yields commands, receives their replies, and returns what was read."""

START: Final = b"0-0"
"""The position before the oldest entry."""
SEGMENT_MS: Final = 1_800_000
"""Length of a segment. While nothing runs, an entry outlives its retention by at most this."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What is known of a segment without reading it.

    Attributes:
        least_lag_ms: Least time from an entry's event time to its publication, in milliseconds; negative where event
            time is ahead of the clock.
        most_lag_ms: The most.
        size_bytes: Size of the JSON of its entries.
    """

    least_lag_ms: int
    most_lag_ms: int
    size_bytes: int

    def with_entry(self, lag_ms: int, size_bytes: int) -> "Segment":
        """Return the segment after one more entry."""
        return Segment(min(self.least_lag_ms, lag_ms), max(self.most_lag_ms, lag_ms), self.size_bytes + size_bytes)


@dataclass(frozen=True, slots=True)
class Table:
    """The table of the segments of a history.

    Attributes:
        first: Id of the first entry that was ever published; `START` if it is not known, None before it.
        last: Id of the newest entry, also after it has expired; None before the first one.
        segments: The segments by number; those that have expired may be among them.
    """

    first: bytes | None
    last: bytes | None
    segments: dict[int, Segment]

    @classmethod
    def read(cls, raw: Mapping[bytes, bytes]) -> "Table":
        """Read the hash that `queue_entries` writes; a damaged one is the table of a history without entries."""
        first, last = raw.get(b"first"), raw.get(b"last")
        try:
            numbers = sorted(int(name) for name in raw if name.isdigit())
            segments = {number: Segment(*map(int, raw[b"%d" % number].split())) for number in numbers}
            for entry in (first, last):
                order(entry or START)
        except (ValueError, TypeError) as error:
            stored.skipped("history", "table", UndecodableError(str(error)))
            return cls(START, None, {})
        return cls(first, last, segments)


def segment_of(entry: bytes) -> int:
    """Return the number of the segment in which an entry is."""
    return order(entry)[0] // SEGMENT_MS


def current_table(client: Client, keys: HistoryKeys) -> Table:
    """Return the table; before the first segment it continues the stream that earlier releases wrote."""
    table = Table.read(client.hgetall(keys.table))
    return continued(table, client.xinfo_stream(keys.single)) if client.exists(keys.single) else table


def continued(table: Table, single: Mapping[str, Any]) -> Table:
    """Return the table of a history whose single stream, which has this description, may be newer."""
    if table.last is not None and order(single["last-generated-id"]) <= order(table.last):
        return table
    whole = single["entries-added"] == single["length"] and single["first-entry"]
    first = table.first or (single["first-entry"][0] if whole else START)
    return replace(table, first=first, last=single["last-generated-id"])


def queue_entries(
    multi: Client,
    keys: HistoryKeys,
    table: Table,
    items: Iterable[tuple[int, dict[str, str]]],
    now_ms: int,
    keep_s: float | None,
    keep_bytes: int | None,
) -> None:
    """Add to a transaction: new entries, and the end of those that are too old or for which there is no room.

    Args:
        multi: The transaction.
        keys: The keys of the history.
        table: Its table.
        items: Event time in milliseconds and fields (`json` among them) of each new entry, oldest first.
        now_ms: The server's time in milliseconds since 1970-01-01 UTC.
        keep_s: Seconds for which entries are kept; None for ever.
        keep_bytes: Size from which the oldest segments are deleted before their time; None for no limit. The newest
            segment always stays.
    """
    segments, last, first = dict(table.segments), order(table.last or START), table.first
    for as_of_ms, fields in items:
        last = (now_ms, 0) if now_ms > last[0] else (last[0], last[1] + 1)
        entry, number, size_bytes = b"%d-%d" % last, last[0] // SEGMENT_MS, len(fields["json"])
        multi.xadd(keys.segment(number), fields, id=entry)
        lag_ms = last[0] - as_of_ms
        known = segments.get(number, Segment(lag_ms, lag_ms, 0))
        segments[number] = known.with_entry(lag_ms, size_bytes)
        first = first or entry
    numbers, size_bytes = sorted(segments), sum(segment.size_bytes for segment in segments.values())
    kept_from_ms = 0 if keep_s is None else max(0, now_ms - round(keep_s * 1000))
    for number in numbers:
        segment, key = segments[number], keys.segment(number)
        too_old = (number + 1) * SEGMENT_MS <= kept_from_ms
        no_room = not too_old and keep_bytes is not None and size_bytes > keep_bytes and number != numbers[-1]
        if too_old or no_room:
            if no_room:
                log.warning(
                    "%s: deleted half an hour early, for lack of room: raise CROWDMOOD_AGGREGATOR__HISTORY_MB "
                    "and the memory of the state store, or lower CROWDMOOD_AGGREGATOR__HISTORY_HOURS",
                    keys.single,
                )
            size_bytes -= segment.size_bytes
            multi.delete(key)
            multi.hdel(keys.table, str(number))
            continue
        if segment != table.segments.get(number):
            values = (segment.least_lag_ms, segment.most_lag_ms, segment.size_bytes)
            multi.hset(keys.table, str(number), " ".join(map(str, values)))
        if number * SEGMENT_MS < kept_from_ms:
            multi.xtrim(key, minid=kept_from_ms, approximate=False)
        if keep_s is not None:
            # Again for every segment: the retention may have been another one.
            multi.pexpireat(key, (number + 1) * SEGMENT_MS + round(keep_s * 1000))
    if last > order(START):
        multi.hset(keys.table, mapping={"first": first or START, "last": b"%d-%d" % last})
    if keep_s is not None:
        multi.xtrim(keys.single, minid=kept_from_ms, approximate=False)
        if not table.segments:
            # Nothing is written there any more.
            multi.pexpire(keys.single, round(keep_s * 1000))


def read_after(keys: HistoryKeys, position: bytes, count: int, table: Table | None = None) -> Reading[list[Entry]]:
    """Read at most `count` entries after a position, oldest first.

    Args:
        keys: The keys of the history.
        position: The position.
        count: Read at most so many.
        table: The table: entries that are newer than its `last` are not read. None: read it now.
    """
    table = table or Table.read((yield "HGETALL", keys.table))
    found: list[Entry] = yield "XRANGE", keys.single, b"(" + position, "+", "COUNT", count
    for number in table.segments:
        if len(found) >= count or table.last is None:
            break
        if number >= segment_of(position):
            more = count - len(found)
            found += yield "XRANGE", keys.segment(number), b"(" + position, table.last, "COUNT", more
    return found


def read_before(
    keys: HistoryKeys, position: bytes | None, count: int, from_ms: int | None = None, to_ms: int | None = None
) -> Reading[list[Entry]]:
    """Read at most `count` entries before a position, or of all, newest first.

    Entries outside a range of event time are skipped without being read, as far as their segment shows where they are.

    Args:
        keys: The keys of the history.
        position: The position; None for the end.
        count: Read at most so many.
        from_ms: Earliest event time, inclusive; None for no bound.
        to_ms: Latest event time, exclusive; None for no bound.
    """
    table = Table.read((yield "HGETALL", keys.table))
    found: list[Entry] = []
    for number in reversed(table.segments):
        segment, lower, upper = table.segments[number], number * SEGMENT_MS, (number + 1) * SEGMENT_MS - 1
        if from_ms is not None:
            lower = max(lower, from_ms + segment.least_lag_ms)
        if to_ms is not None:
            upper = min(upper, to_ms - 1 + segment.most_lag_ms)
        end: Any = upper
        if position is not None and order(position)[0] <= upper:
            end = b"(" + position
            upper = order(position)[0]
        if lower > upper:
            continue
        found += yield "XREVRANGE", keys.segment(number), end, lower, "COUNT", count - len(found)
        if len(found) >= count:
            return found
    end = "+" if position is None else b"(" + position
    found += yield "XREVRANGE", keys.single, end, "-", "COUNT", count - len(found)
    return found


def read_at(keys: HistoryKeys, position: bytes) -> Reading[list[Entry]]:
    """Read the entry at a position, if it is still stored."""
    found: list[Entry] = yield "XRANGE", keys.segment(segment_of(position)), position, position
    if not found:
        found = yield "XRANGE", keys.single, position, position
    return found


def keeps(keys: HistoryKeys, position: bytes, table: Table) -> Reading[bool]:
    """Read whether everything that was published after a position is still stored."""
    if table.last is None or order(table.last) <= order(position):
        return True
    for key in (keys.single, *map(keys.segment, table.segments)):
        if oldest := (yield "XRANGE", key, "-", "+", "COUNT", 1):
            return order(oldest[0][0]) <= order(position) or oldest[0][0] == table.first
    return False
