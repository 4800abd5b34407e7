"""All partitions of the bus at once, for the aggregator."""

import threading
from collections.abc import Iterable, Mapping, Sequence

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.keys import StreamName
from crowdmood.bus.streams import Bus, DeadLetter, Entry
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Message

_BLOCK_MS = 50
"""Longest wait for one partition, in milliseconds; entries may arrive in the others."""


class AllPartitions(Bus):
    """Every partition, each with its own connection; messages are published in the configured partition."""

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
        """Publish and acknowledge as `Bus.publish` does, in one transaction for each partition."""
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
        """Close the sockets."""
        for bus in self.partitions:
            bus.connection.close()


class Inboxes:
    """One inbox for each partition of a bus, read as one.

    Args:
        bus: The bus to read.
        streams: The streams to read.
        group: The stage's consumer group.
        consumer: Name of this worker.
        settings: Says after how long entries are claimed.
        claims: Whether to claim entries of other consumers.
        background: Streams of which entries are read only while `streams` have none.
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
        background: Sequence[StreamName] = (),
    ) -> None:
        self._each = [
            Inbox(one, streams, group, consumer, settings, claims=claims, background=background)
            for one in bus.partitions
        ]
        self._turn = 0

    def read(self, count: int, block_ms: int) -> list[Entry]:
        """Return the next entries.

        Args:
            count: Most entries of each stream.
            block_ms: Longest wait for a first entry, in milliseconds; with several partitions, it is shorter.

        Raises:
            ServerUnavailableError: The bus is unreachable, and the process stops.
        """
        if len(self._each) > 1:
            found = [entry for inbox in self._each for entry in inbox.read(count, 0)]
            if found:
                return found
            block_ms = min(block_ms, _BLOCK_MS)
        self._turn = (self._turn + 1) % len(self._each)
        return self._each[self._turn].read(count, block_ms)

    def claim_all(self) -> None:
        """Claim the pending entries of every other consumer of the group."""
        for inbox in self._each:
            inbox.claim_all()

    def idle(self) -> bool:
        """Return whether the streams are empty: no entry is unread or pending."""
        return all(inbox.idle() for inbox in self._each)

    def leave(self) -> None:
        """Delete this consumer from the groups in which it has no pending entries."""
        for inbox in self._each:
            inbox.leave()
