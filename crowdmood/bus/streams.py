"""Streams between the stages: publish results and acknowledge their inputs in one transaction, at least once.

An acknowledged entry is deleted. So the length of a stream is the work left, and frames stay on the bus no longer than
they are needed.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import redis

from crowdmood.bus.connection import Client, Connection, is_full
from crowdmood.bus.keys import AGGREGATOR_GROUP, READERS, BusKeys, StreamName
from crowdmood.core import metrics
from crowdmood.core.errors import UndecodableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Emotions, Faces, Fields, Frame, FrameRef, FramesLost, Message, decode

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


@dataclass(frozen=True, slots=True)
class Unread:
    """The entries of a stream that were delivered to no consumer yet.

    Attributes:
        count: Their number.
        after: Id of the last entry that was delivered; unread ones have larger ids.
    """

    count: int
    after: bytes


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
        drop: Iterable[tuple[StreamName, bytes]] = (),
        when_full: Callable[[], object] | None = None,
        patient: bool = True,
    ) -> list[bytes]:
        """Publish results, acknowledge their inputs and give up dead letters, all in one transaction.

        While the server's memory is full, only what frees memory takes effect at once: entries are dropped, and entries
        that need no result are acknowledged.

        Args:
            messages: Results, each with its stream.
            done: Entries that need no more work.
            group: The consumer group that `done` and `dead` were delivered to.
            dead: Entries to give up. A dead letter without pixels is kept, and the loss of the frame is published.
            cursors: Camera to (run, frame): the last frame of the run that ingest has published or reported lost.
            needed: Camera to (run, frame): the first frame to publish again if the bus is emptied.
            drop: Unread entries to delete, each with its stream.
            when_full: Called when the server's memory is full, to free some.
            patient: Whether to retry while the bus is unreachable.

        Returns:
            The ids of the messages.

        Raises:
            ServerUnavailableError: The bus is unreachable, and the process stops or `patient` is false.
        """
        additions = [(self._key(name, message), message.to_fields()) for name, message in messages]
        count = len(additions)
        finished, dropped = list(done), [(self.keys.stream(name), entry_id) for name, entry_id in drop]
        for letter in dead:
            finished.append(letter.entry)
            additions.append((self.keys.stream("dead"), _dead_letter_fields(letter, group)))
            try:
                lost = FramesLost.of_frame(letter.entry.fields, letter.reason)
            except UndecodableError:
                continue  # the entry does not say which frame it is about
            additions.append((self._key("control", lost), lost.to_fields()))

        def acknowledge(multi: Client) -> None:
            for entry in finished:
                key = self.keys.stream(entry.stream)
                multi.xack(key, group, entry.entry_id)
                multi.xdel(key, entry.entry_id)

        def delete(multi: Client) -> None:
            for key, entry_id in dropped:
                multi.xdel(key, entry_id)

        def add(multi: Client) -> None:
            for key, fields in additions:
                bounded = self._dead_letters_kept if key == self.keys.stream("dead") else None
                multi.xadd(key, fields, maxlen=bounded, approximate=False)
            for key in {key for key, _ in additions}:
                if key == self.keys.stream("photo_faces") or key.startswith(self.keys.reply("")):
                    multi.pexpire(key, PHOTO_TTL_MS)
            for key, frames in ((self.keys.cursors, cursors), (self.keys.needed, needed)):
                for camera_id, (run_id, frame_id) in (frames or {}).items():
                    multi.hset(key, camera_id, f"{run_id} {frame_id}")

        def transaction(client: Client) -> list[bytes]:
            try:
                with client.pipeline(transaction=True) as multi:
                    add(multi)
                    acknowledge(multi)
                    delete(multi)
                    ids: list[bytes] = multi.execute()[:count]
            except redis.RedisError as error:
                if is_full(error):
                    with client.pipeline(transaction=True) as multi:
                        delete(multi)
                        if not additions:
                            acknowledge(multi)
                        multi.execute()
                    if when_full is not None:
                        when_full()
                raise
            if patient:
                self.connection.confirm(client)
            return ids

        return self.connection.call(transaction, patient=patient)

    def unread(self, name: StreamName) -> Unread:
        """Return the unread entries of a stream between the stages.

        The consumer group of its reader is created if it is missing: creating it later needs memory, which a full bus
        lacks.
        """
        group = READERS[name]
        names = [name, *(other for other, reader in READERS.items() if reader == group and other != name)]
        keys = [self.keys.stream(one) for one in names]

        def ask(client: Client) -> Unread:
            with client.pipeline(transaction=False) as pipeline:
                pipeline.xlen(keys[0])
                for key in keys:
                    pipeline.xinfo_groups(key)
                length, *groups = pipeline.execute(raise_on_error=False)
            found = [_group(reply, group) for reply in groups]
            for key, known in zip(keys, found, strict=True):
                if known is None:
                    create_group(client, key, group)
            metrics.STREAM_ENTRIES.labels(name).set(length)
            state = found[0] or {"pending": 0, "last-delivered-id": b"0-0"}
            # Acknowledged entries are deleted, so an entry is unread or pending.
            return Unread(max(0, length - state["pending"]), state["last-delivered-id"])

        return self.connection.call(ask)

    def drop_live(self, name: StreamName, count: int) -> list[FramesLost]:
        """Delete the oldest unread messages about live frames.

        Args:
            name: The stream.
            count: Most messages to delete; messages about recorded footage among them stay.

        Returns:
            The losses, which the caller must publish.
        """
        after = self.unread(name).after
        key = self.keys.stream(name)
        entries = self.connection.call(lambda client: client.xrange(key, b"(" + after, "+", count))
        live: list[tuple[bytes, FrameRef]] = []
        for entry_id, fields in entries:
            try:
                ref = FrameRef.from_fields(fields)
            except UndecodableError:
                continue  # its reader makes a dead letter of it
            if not ref.recorded:
                live.append((entry_id, ref))
        if live:
            self.connection.call(lambda client: client.xdel(key, *(entry_id for entry_id, _ in live)))
        return losses_of((ref for _, ref in live), "overload")

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

    def forget_cursors(self, names: Sequence[str]) -> None:
        """Delete cursors that are no longer needed."""
        if names:
            self.connection.call(lambda client: client.hdel(self.keys.cursors, *names))

    def needed(self, camera_id: str, run_id: str) -> int:
        """Return the first frame of a run that windows still need; -1 if that is unknown."""
        return self._frame_of(self.keys.needed, camera_id, run_id, default=-1)

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
        """Write a worker's heartbeat, with the value of `Stage.using`; it expires after `ttl_s` seconds.

        Raises:
            ServerUnavailableError: The bus is unreachable, or its memory is full.
        """
        key = self.keys.health(stage, worker)
        self.connection.call(lambda client: client.set(key, using.encode(), px=int(ttl_s * 1000)), patient=False)

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


def create_group(client: Client, key: str | bytes, group: str) -> None:
    """Create a consumer group that reads a stream from its start, if it does not exist."""
    try:
        client.xgroup_create(key, group, id="0", mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def losses_of(refs: Iterable[FrameRef], reason: str) -> list[FramesLost]:
    """Return the messages that frames are lost, one for each range of consecutive frames of a camera."""
    losses: list[FramesLost] = []
    for ref in sorted(refs, key=lambda ref: (ref.camera_id, ref.run_id, ref.frame_id)):
        last = losses[-1] if losses else None
        if (
            last is not None
            and (last.camera_id, last.run_id) == (ref.camera_id, ref.run_id)
            and last.last_frame_id + 1 >= ref.frame_id
        ):
            losses[-1] = replace(last, last_frame_id=ref.frame_id)
        else:
            losses.append(FramesLost(ref.camera_id, ref.run_id, ref.frame_id, ref.frame_id, reason))
    return losses


def _group(reply: Any, group: str) -> dict[str, Any] | None:
    """Return a group's row in a reply of XINFO GROUPS; None if the stream or the group is missing."""
    if isinstance(reply, Exception):
        if "no such key" in str(reply):
            return None
        raise reply
    return next((row for row in reply if row["name"] == group.encode()), None)


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
