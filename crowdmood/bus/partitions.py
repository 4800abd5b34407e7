"""All partitions of the bus at once, for the stage that brings the cameras together again."""

import threading
from collections.abc import Iterable, Mapping, Sequence

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.keys import StreamName
from crowdmood.bus.streams import Bus, DeadLetter, Entry
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Message

_BLOCK_MS = 50
"""Longest wait for one partition, in milliseconds: meanwhile something may come in another."""


class AllPartitions(Bus):
    """Every partition, each over a connection of its own; messages go to the one that this process is set to."""

    def __init__(self, url: str, settings: BusSettings, stop: threading.Event | None = None) -> None:
        super().__init__(url, settings, stop)
        self.partitions = [
            self if number == settings.partition else Bus(url, settings.model_copy(update={"partition": number}), stop)
            for number in range(settings.partitions)
        ]

    def publish(
        self,
        messages: Iterable[tuple[StreamName, Message]] = (),
        *,
        done: Iterable[Entry] = (),
        group: str = "",
        dead: Iterable[DeadLetter] = (),
        cursors: Mapping[str, tuple[str, int]] | None = None,
        needed: Mapping[str, tuple[str, int]] | None = None,
        patient: bool = True,
    ) -> None:
        """Publish and acknowledge as `Bus` does; all or nothing within each partition."""
        done, dead = list(done), list(dead)
        for number, bus in enumerate(self.partitions):
            finished = [entry for entry in done if entry.partition == number]
            letters = [letter for letter in dead if letter.entry.partition == number]
            if bus is self:
                super().publish(
                    messages, done=finished, group=group, dead=letters, cursors=cursors, needed=needed, patient=patient
                )
            elif finished or letters:
                bus.publish(done=finished, group=group, dead=letters, needed=needed, patient=patient)

    def close(self) -> None:
        """Give the sockets back."""
        for bus in self.partitions:
            bus.connection.close()


class Inboxes:
    """One inbox for each partition of a bus, read as one.

    Args:
        bus: Where to read.
        streams: What to read.
        group: The stage's consumer group.
        consumer: Name of this worker.
        settings: When entries are claimed.
        claims: Whether to claim at all.
    """

    def __init__(
        self,
        bus: Bus,
        streams: Sequence[StreamName],
        group: str,
        consumer: str,
        settings: BusSettings,
        *,
        claims: bool = True,
    ) -> None:
        self._each = [Inbox(one, streams, group, consumer, settings, claims=claims) for one in bus.partitions]
        self._turn = 0

    def read(self, count: int, block_ms: int) -> list[Entry]:
        """The next entries.

        Args:
            count: At most this many of each stream.
            block_ms: Longest wait for a first one, in milliseconds; less where there are several partitions.

        Raises:
            ServerUnavailableError: The bus is away and we must stop.
        """
        if len(self._each) > 1:
            found = [entry for inbox in self._each for entry in inbox.read(count, 0)]
            if found:
                return found
            block_ms = min(block_ms, _BLOCK_MS)
        self._turn = (self._turn + 1) % len(self._each)
        return self._each[self._turn].read(count, block_ms)

    def take_everything(self) -> None:
        """Make every entry that any consumer of the group holds ours."""
        for inbox in self._each:
            inbox.take_everything()

    def idle(self) -> bool:
        """Whether there is nothing left to read nor anything in anybody's hands."""
        return all(inbox.idle() for inbox in self._each)

    def leave(self) -> None:
        """Forget this consumer, where it holds no entries any more."""
        for inbox in self._each:
            inbox.leave()
