"""Streams between the stages: publish results and acknowledge their inputs in one transaction, at least once.

An acknowledged entry is deleted. So the length of a stream is the work left, and frames stay on the bus no longer than
they are needed.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crowdmood.bus.connection import Client, Connection
from crowdmood.bus.keys import AGGREGATOR_GROUP, BusKeys, StreamName
from crowdmood.core import metrics
from crowdmood.core.errors import UndecodableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Emotions, Faces, Fields, Frame, FramesLost, Message, decode

PHOTO_TTL_MS = 10_000
"""Time to live of a photo, its faces and its result on the bus: no client waits longer."""
_OF_PHOTOS: dict[StreamName, StreamName] = {"frames": "photos", "faces": "photo_faces"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery of a message; it is pending until it is acknowledged or another consumer claims it.

    Attributes:
        stream: The stream that it was read from.
        entry_id: Its id in that stream.
        fields: The encoded message.
        deliveries: Number of deliveries, including this one.
        partition: The partition that it was read from.
    """

    stream: StreamName
    entry_id: bytes
    fields: Fields
    deliveries: int = 1
    partition: int = 0

    @property
    def identity(self) -> tuple[int, StreamName, bytes]:
        """A key that is unique to the entry and the same in every delivery."""
        return self.partition, self.stream, self.entry_id

    def message(self) -> Message:
        """Decode the message.

        Raises:
            UndecodableError: The fields are not a message.
        """
        return decode(self.fields)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that is given up.

    Attributes:
        entry: The entry.
        reason: A short, bounded word for metrics.
        detail: What was wrong, for people.
    """

    entry: Entry
    reason: str
    detail: str


class Bus:
    """The streams of one partition.

    Attributes:
        connection: The connection to the server.
        keys: The partition's keys.
        partitions: The partitions that are read: this one.
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
        """Publish results, acknowledge their inputs and give up dead letters, all in one transaction.

        Args:
            messages: Results, each with its stream.
            done: Entries that need no more work.
            group: The consumer group that `done` and `dead` were delivered to.
            dead: Entries to give up. A dead letter without pixels is kept, and the loss of the frame is published.
            cursors: Camera to (run, frame): the last frame of the run that ingest has published or reported lost.
            needed: Camera to (run, frame): the first frame to publish again if the bus is emptied.
            patient: Whether to retry while the bus is unreachable.

        Raises:
            ServerUnavailableError: The bus is unreachable, and the process stops or `patient` is false.
        """
        additions = [(self._key(name, message), message.to_fields()) for name, message in messages]
        finished = list(done)
        for letter in dead:
            finished.append(letter.entry)
            additions.append((self.keys.stream("dead"), _dead_letter_fields(letter, group)))
            try:
                lost = FramesLost.of_frame(letter.entry.fields, letter.reason)
            except UndecodableError:
                continue  # the entry does not say which frame it is about
            additions.append((self._key("control", lost), lost.to_fields()))

        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                for key, fields in additions:
                    bounded = self._dead_letters_kept if key == self.keys.stream("dead") else None
                    multi.xadd(key, fields, maxlen=bounded, approximate=False)
                    if key == self.keys.stream("photo_faces") or key.startswith(self.keys.reply("")):
                        multi.pexpire(key, PHOTO_TTL_MS)
                for entry in finished:
                    key = self.keys.stream(entry.stream)
                    multi.xack(key, group, entry.entry_id)
                    multi.xdel(key, entry.entry_id)
                for key, frames in ((self.keys.cursors, cursors), (self.keys.needed, needed)):
                    for camera_id, (run_id, frame_id) in (frames or {}).items():
                        multi.hset(key, camera_id, f"{run_id} {frame_id}")
                multi.execute()
            if patient:
                self.connection.confirm(client)

        self.connection.call(transaction, patient=patient)

    def backlog(self, name: StreamName) -> int:
        """Return the number of entries of a stream that are unread or pending."""
        entries = self.connection.call(lambda client: int(client.xlen(self.keys.stream(name))))
        metrics.STREAM_ENTRIES.labels(name).set(entries)
        return entries

    def drained(self) -> bool:
        """Return whether no frame is left to work on: the aggregator has read the emotions of all of them."""

        def ask(client: Client) -> bool:
            with client.pipeline(transaction=True) as pipeline:
                for name in ("frames", "faces", "control", "emotions"):
                    pipeline.xlen(self.keys.stream(name))
                # Emotions stay pending as long as windows need them.
                pipeline.xpending(self.keys.stream("emotions"), AGGREGATOR_GROUP)
                *lengths, emotions, pending = pipeline.execute(raise_on_error=False)
            held = pending["pending"] if isinstance(pending, dict) else 0
            return not any(lengths) and emotions <= held

        return self.connection.call(ask, patient=False)

    def cursor(self, camera_id: str, run_id: str) -> int:
        """Return the last published frame of a run, or -1."""
        return self._frame_of(self.keys.cursors, camera_id, run_id, default=-1)

    def needed(self, camera_id: str, run_id: str) -> int:
        """Return the first frame of a run that would have to be published again if the bus were emptied; 0 at first."""
        return self._frame_of(self.keys.needed, camera_id, run_id, default=0)

    def published_frames(self) -> dict[str, tuple[str, int]]:
        """Return camera to (run, frames): the number of frames of its newest run that ingest published or lost."""
        found = self.connection.call(lambda client: client.hgetall(self.keys.cursors), patient=False)
        cursors = {key.decode(): _cursor(value) for key, value in found.items() if b"/" not in key}
        return {camera_id: (run_id, frame_id + 1) for camera_id, (run_id, frame_id) in cursors.items()}

    def stream_lengths(self) -> dict[StreamName, int]:
        """Return the length of each stream between the stages. Entries that move on during the call may count twice."""
        names: list[StreamName] = ["frames", "faces", "emotions", "control"]

        def ask(client: Client) -> list[int]:
            with client.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.xlen(self.keys.stream(name))
                return list(pipeline.execute())

        return dict(zip(names, self.connection.call(ask, patient=False), strict=True))

    def beat(self, stage: str, worker: str, ttl_s: float, using: str = "") -> None:
        """Write a worker's heartbeat, with the value of `Stage.using`; it expires after `ttl_s` seconds."""
        key = self.keys.health(stage, worker)
        self.connection.call(lambda client: client.set(key, using.encode(), px=int(ttl_s * 1000)))

    def end_heartbeat(self, stage: str, worker: str) -> None:
        """Delete the heartbeat of a worker that stops."""
        self.connection.call(lambda client: client.delete(self.keys.health(stage, worker)), patient=False)

    def healthy_workers(self, stage: str) -> list[str]:
        """Return the names of the workers of a stage that have a heartbeat."""
        return list(self.workers(stage))

    def workers(self, stage: str) -> dict[str, str]:
        """Return the workers of a stage that have a heartbeat: name to `Stage.using`."""

        def ask(client: Client) -> list[tuple[bytes, bytes | None]]:
            keys = sorted(client.scan_iter(match=self.keys.health(stage), count=1000))
            return list(zip(keys, client.mget(keys), strict=True)) if keys else []

        found = self.connection.call(ask, patient=False)
        running = ((key.decode().rpartition(":")[2], using) for key, using in found if using is not None)
        return {name: using.decode(errors="replace") for name, using in running}

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()

    def _frame_of(self, key: str, camera_id: str, run_id: str, default: int) -> int:
        value = self.connection.call(lambda client: client.hget(key, camera_id))
        stored_run, frame_id = _cursor(value or b"")
        return frame_id if stored_run == run_id else default

    def _key(self, name: StreamName, message: Message) -> str:
        """Return the key of a message's stream: photos have streams of their own, so no mood counts or awaits them."""
        reply_to = ""
        if isinstance(message, Frame | Faces | Emotions):
            reply_to = message.ref.reply_to
        elif isinstance(message, FramesLost):
            reply_to = message.reply_to
        if not reply_to:
            return self.keys.stream(name)
        return self.keys.stream(_OF_PHOTOS[name]) if name in _OF_PHOTOS else self.keys.reply(reply_to)


def _cursor(value: bytes) -> tuple[str, int]:
    """Return run and frame of a cursor; no run if it is damaged, so that the camera starts over."""
    run_id, _, frame_id = value.decode(errors="replace").rpartition(" ")
    return (run_id, int(frame_id)) if frame_id.isascii() and frame_id.removeprefix("-").isdigit() else ("", -1)


def _dead_letter_fields(letter: DeadLetter, group: str) -> Fields:
    """Encode a dead letter: everything that helps to find the cause, and no pixels."""
    kept = (b"kind", b"camera_id", b"run_id", b"frame_id", b"captured_at_ms", b"width", b"height")
    fields = {name: letter.entry.fields[name][:256] for name in kept if name in letter.entry.fields}
    return fields | {
        b"stage": group.encode(),
        b"stream": letter.entry.stream.encode(),
        b"reason": letter.reason.encode(),
        b"detail": letter.detail.encode()[:500],
        b"deliveries": b"%d" % letter.entry.deliveries,
    }
