"""Messages between the stages: at least once, published, acknowledged and buried in one transaction.

An entry is deleted when it is acknowledged, so a stream's length is what is still to be done, and frames live on the
bus only as long as somebody needs them.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crowdmood.bus.connection import Client, Connection
from crowdmood.bus.keys import BusKeys, StreamName
from crowdmood.core import metrics
from crowdmood.core.errors import UndecodableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import PHOTO_CAMERA, Fields, FramesLost, Message, decode, frame_identity

_REPLY_TTL_MS = 10_000
"""An answer that nobody waits for any more is forgotten."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery of a message; it stays ours until it is acknowledged or somebody claims it.

    Attributes:
        stream: Where it came from.
        entry_id: Its id in that stream.
        fields: The raw message.
        deliveries: How often it has been delivered, this time included.
        partition: The partition that it came from.
    """

    stream: StreamName
    entry_id: bytes
    fields: Fields
    deliveries: int = 1
    partition: int = 0

    @property
    def identity(self) -> tuple[int, StreamName, bytes]:
        """What no other entry has, and each delivery of this one."""
        return self.partition, self.stream, self.entry_id

    def message(self) -> Message:
        """The message in it.

        Raises:
            UndecodableError: There is none.
        """
        return decode(self.fields)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry to be given up.

    Attributes:
        entry: The entry.
        reason: A short, bounded word.
        detail: What was wrong, for people.
    """

    entry: Entry
    reason: str
    detail: str


class Bus:
    """The streams of one partition.

    Attributes:
        connection: To the server that has them.
        keys: Their names.
        partitions: What is read over it: this one.
    """

    def __init__(self, url: str, settings: BusSettings, stop: threading.Event | None = None) -> None:
        self.keys = BusKeys.of(settings)
        self.connection = Connection(url, "bus", stop, key=self.keys.stream("frames"))
        self.partitions: Sequence[Bus] = [self]
        self._dead_letters_kept = settings.dead_letters_kept

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
        """Publish results, acknowledge what they were made from and bury what is hopeless: all or nothing.

        Args:
            messages: Results, each with the stream it goes to.
            done: Entries that need no more work.
            group: The group that `done` and `dead` were delivered to.
            dead: Entries to give up: a dead letter without pixels is kept, and who waits for the frame is told.
            cursors: Camera to (run, frame): up to which frame ingest has told what became of it, with this.
            needed: Camera to (run, frame): from which frame on its footage is still needed.
            patient: Whether to wait while the bus is away.

        Raises:
            ServerUnavailableError: The bus is away and waiting was not wanted or was cut short.
        """
        additions = [self._addressed(name, message.to_fields()) for name, message in messages]
        finished = list(done)
        for letter in dead:
            finished.append(letter.entry)
            additions.append((self.keys.stream("dead"), _obituary(letter, group)))
            lost = _loss(letter)
            if lost is not None:
                additions.append(self._addressed("control", lost.to_fields()))

        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                for key, fields in additions:
                    bounded = self._dead_letters_kept if key == self.keys.stream("dead") else None
                    multi.xadd(key, fields, maxlen=bounded, approximate=False)
                    if key.startswith(self.keys.reply("")):
                        multi.pexpire(key, _REPLY_TTL_MS)
                for entry in finished:
                    key = self.keys.stream(entry.stream)
                    multi.xack(key, group, entry.entry_id)
                    multi.xdel(key, entry.entry_id)
                for key, places in ((self.keys.cursors, cursors), (self.keys.needed, needed)):
                    for camera_id, (run_id, frame_id) in (places or {}).items():
                        multi.hset(key, camera_id, f"{run_id} {frame_id}")
                multi.execute()
            if patient:
                self.connection.confirm(client)

        self.connection.call(transaction, patient=patient)

    def backlog(self, name: StreamName) -> int:
        """How many entries of a stream are still to be done."""
        entries = self.connection.call(lambda client: int(client.xlen(self.keys.stream(name))))
        metrics.STREAM_ENTRIES.labels(name).set(entries)
        return entries

    def cursor(self, camera_id: str, run_id: str) -> int:
        """The last frame of this run that was published, or -1."""
        return self._place(self.keys.cursors, camera_id, run_id, -1)

    def needed(self, camera_id: str, run_id: str) -> int:
        """The first frame of this run that somebody may still need, as far as was told: 0 at first."""
        return self._place(self.keys.needed, camera_id, run_id, 0)

    def cursors(self) -> dict[str, tuple[str, int]]:
        """Camera to (run, frames): how many frames of its newest run ingest has told of."""
        found = self.connection.call(lambda client: client.hgetall(self.keys.cursors), patient=False)
        told = {key.decode(): value.decode().rpartition(" ") for key, value in found.items() if b"/" not in key}
        return {camera_id: (run_id, int(frame_id) + 1) for camera_id, (run_id, _, frame_id) in told.items()}

    def entries(self) -> dict[StreamName, int]:
        """How many entries each stream between the stages holds; what moves on meanwhile may be counted twice."""
        names: list[StreamName] = ["frames", "faces", "emotions", "control"]

        def ask(client: Client) -> list[int]:
            with client.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.xlen(self.keys.stream(name))
                return list(pipeline.execute())

        return dict(zip(names, self.connection.call(ask, patient=False), strict=True))

    def beat(self, stage: str, worker: str, ttl_s: float, using: str = "") -> None:
        """Say that a worker is ready and works, and with what; said again before `ttl_s` seconds are over."""
        key = self.keys.health(stage, worker)
        self.connection.call(lambda client: client.set(key, using.encode(), px=int(ttl_s * 1000)))

    def silence(self, stage: str, worker: str) -> None:
        """Say that a worker has stopped."""
        self.connection.call(lambda client: client.delete(self.keys.health(stage, worker)), patient=False)

    def healthy_workers(self, stage: str) -> list[str]:
        """Names of the workers of a stage that are ready and work."""
        return list(self.workers_using(stage))

    def workers_using(self, stage: str) -> dict[str, str]:
        """Workers of a stage that are ready and work, and what each works with."""

        def ask(client: Client) -> list[tuple[bytes, bytes | None]]:
            keys = sorted(client.scan_iter(match=self.keys.health(stage), count=1000))
            return list(zip(keys, client.mget(keys), strict=True)) if keys else []

        found = self.connection.call(ask, patient=False)
        return {key.decode().rpartition(":")[2]: using.decode() for key, using in found if using is not None}

    def close(self) -> None:
        """Give the sockets back."""
        self.connection.close()

    def _place(self, key: str, camera_id: str, run_id: str, untold: int) -> int:
        value = self.connection.call(lambda client: client.hget(key, camera_id))
        stored_run, _, frame_id = (value or b"").decode().rpartition(" ")
        return int(frame_id) if stored_run == run_id else untold

    def _addressed(self, name: StreamName, fields: Fields) -> tuple[str, Fields]:
        """Where a message goes: what the aggregator would hear about a photo goes to whoever asked about it."""
        if name in ("emotions", "control") and fields[b"camera_id"] == PHOTO_CAMERA.encode():
            return self.keys.reply(fields[b"run_id"].decode()), fields
        return self.keys.stream(name), fields


def _obituary(letter: DeadLetter, group: str) -> Fields:
    """A dead letter: everything that helps to find the cause, and no pixels."""
    kept = (b"kind", b"camera_id", b"run_id", b"frame_id", b"captured_at_ms", b"width", b"height")
    fields = {name: letter.entry.fields[name][:256] for name in kept if name in letter.entry.fields}
    return fields | {
        b"stage": group.encode(),
        b"stream": letter.entry.stream.encode(),
        b"reason": letter.reason.encode(),
        b"detail": letter.detail.encode()[:500],
        b"deliveries": b"%d" % letter.entry.deliveries,
    }


def _loss(letter: DeadLetter) -> FramesLost | None:
    """What to tell those who wait for the frame; None when the entry does not even say which frame it was."""
    try:
        camera_id, run_id, frame_id = frame_identity(letter.entry.fields)
    except UndecodableError:
        return None
    return FramesLost(camera_id, run_id, frame_id, frame_id, letter.reason)
