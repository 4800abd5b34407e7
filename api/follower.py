"""Updates the board and the feed from the state store, and survives outages of the store."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from api.answers import Board
from api.feed import Feed
from api.keys import KeyRing
from crowdmood.core import metrics
from crowdmood.core.backoff import Backoff
from crowdmood.core.errors import ServerUnavailableError
from crowdmood.domain.mood import Mood
from crowdmood.domain.override import Overrides
from crowdmood.store.history import START
from crowdmood.store.moods import MoodReader
from crowdmood.store.positions import Position

log = logging.getLogger("crowdmood.api")

_REFRESH_EVERY_S = 1.0
_BLOCK_MS = 500
_NEWEST_SOUGHT = 1000
"""Entries searched for the newest mood of each scope at the start: each hop writes one entry per scope."""


class Follower:
    """Follows the mood stream and polls the table of cameras and the keys.

    Attributes:
        failure: The error that ended it. The process must end as well, rather than serve outdated moods.
    """

    def __init__(
        self,
        reader: MoodReader,
        board: Board,
        feed: Feed,
        ring: KeyRing,
        zones: Mapping[str, Iterable[str]],
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.failure: Exception | None = None
        self._reader = reader
        self._board = board
        self._feed = feed
        self._ring = ring
        self._zones = zones
        self._clock = clock
        self._monotonic = monotonic
        self._connected: bool | None = None
        self._next_refresh = monotonic()

    def trouble(self) -> str | None:
        """Return why the board is not up to date, or None if it is."""
        if self.failure is not None:
            return "following the moods failed: see the log"
        if self._connected is None:
            return "the state store has not been read yet"
        return None if self._connected else "the state store is unreachable"

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            await self._follow_through_outages()
        except Exception as error:
            self.failure = error

    async def _follow_through_outages(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._turn()
            except ServerUnavailableError as error:
                self._note(connected=False, why=str(error))
                self._next_refresh = self._monotonic()
                await asyncio.sleep(backoff.next_s())
            else:
                backoff.reset()

    async def _turn(self) -> None:
        if self._monotonic() >= self._next_refresh:
            await self._refresh()
            self._next_refresh = self._monotonic() + _REFRESH_EVERY_S
            self._note(connected=True)
        read = await self._reader.follow(self._feed.head, _BLOCK_MS)
        # After the moods and before they are served: a mood must not be served without an override that is older.
        await self._read_overrides()
        for position, item in read:
            if isinstance(item, Mood):
                self._board.take(position.moods, item)
        if read:
            self._feed.put(read)

    async def _read_overrides(self) -> None:
        overrides, now_ms = await self._reader.overrides(), self._clock() * 1000
        self._board.overrides = Overrides(overrides, self._zones)
        metrics.OVERRIDES.set(sum(one.in_force(now_ms) for one in overrides))

    async def _refresh(self) -> None:
        """Read keys and cameras, and start over if the store has lost entries since the last read."""
        self._ring.take(await self._reader.api_keys())
        newest, head = await self._reader.newest_position(), self._feed.head
        lost = not newest.reaches(head)
        if lost:
            log.warning("the state store lost moods that were already read: reading it again from the start")
        if lost or head == Position():
            moods = await self._reader.newest(_NEWEST_SOUGHT)
            self._board.forget()
            for entry, mood in reversed(moods):
                if mood is not None:
                    self._board.take(entry, mood)
            self._feed.start_at(Position(moods[0][0] if moods else START, newest.changes))
        self._board.cameras = await self._reader.cameras()
        await self._read_overrides()
        self._board.loaded = True

    def _note(self, *, connected: bool, why: str = "") -> None:
        if connected is self._connected:
            return
        if not connected:
            log.warning("cannot read moods, retrying: %s", why)
        elif self._connected is not None:
            log.warning("reconnected to the state store")
        self._connected = connected
        metrics.SERVER_UP.labels("state").set(connected)
