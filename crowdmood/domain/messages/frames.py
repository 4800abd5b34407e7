"""The messages about frames: the frame itself, its identity, and the loss of frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.messages.wire import (
    Fields,
    check_header,
    header,
    read_bytes,
    read_count,
    read_integer,
    read_name,
    read_reason,
    read_text,
    read_time_ms,
)

PHOTO_CAMERA = "@photo"
"""The `camera_id` of photos; no camera can have this id.

Workers of releases without `reply_to` recognise a photo by it, and reply to the stream that the `run_id` names.
"""

_MOST_LOST = 10_000_000
"""Frames of one loss: a day at 120 a second, or three weeks at 5. Receivers process each of them."""

MOST_FRAMES = 2**31 - 1
"""Frames of one run: 200 days at 120 a second."""

_LONGEST_SIDE_PX = 2**20


@dataclass(frozen=True, slots=True)
class FrameRef:
    """The identity of a sampled frame, the same in every message about it.

    Attributes:
        camera_id: The camera's id.
        run_id: One uninterrupted numbering of this camera's frames.
        frame_id: 0, 1, 2, … without gaps within a camera's run.
        captured_at_ms: Event time in milliseconds since 1970-01-01 UTC; for footage, since the footage's start.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        recorded: Whether the frame is from recorded footage, which is never dropped.
        reply_to: Name of the reply stream that gets the results of a photo (`BusKeys.reply`); empty for the frames of
            cameras, whose results go to the aggregator.
    """

    camera_id: str
    run_id: str
    frame_id: int
    captured_at_ms: int
    width: int
    height: int
    recorded: bool
    reply_to: str = ""

    def to_fields(self) -> Fields:
        """Encode the fields that every message about the frame has."""
        return {
            b"camera_id": self.camera_id.encode(),
            b"run_id": self.run_id.encode(),
            b"frame_id": b"%d" % self.frame_id,
            b"captured_at_ms": b"%d" % self.captured_at_ms,
            b"width": b"%d" % self.width,
            b"height": b"%d" % self.height,
            b"recorded": b"%d" % self.recorded,
            **_encoded_reply(self.reply_to),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: A field is missing, not a number, or out of range.
        """
        camera_id, run_id, frame_id = _identity(fields)
        frame = cls(
            camera_id=camera_id,
            run_id=run_id,
            frame_id=frame_id,
            captured_at_ms=read_time_ms(fields, b"captured_at_ms"),
            width=read_count(fields, b"width", _LONGEST_SIDE_PX),
            height=read_count(fields, b"height", _LONGEST_SIDE_PX),
            recorded=bool(read_count(fields, b"recorded", 1)),
            reply_to=_reply_to(fields),
        )
        if not frame.width or not frame.height:
            raise UndecodableError(f"frame {frame.frame_id} of {frame.width}x{frame.height} pixels cannot exist")
        return frame


@dataclass(frozen=True, slots=True)
class Frame:
    """A sampled frame for a detector.

    Attributes:
        ref: The frame's identity.
        jpeg: The image, JPEG-coded.
    """

    KIND: ClassVar[bytes] = b"frame"
    ref: FrameRef
    jpeg: bytes

    def to_fields(self) -> Fields:
        """Encode."""
        return header(self.KIND) | self.ref.to_fields() | {b"jpeg": self.jpeg}

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: The message has another kind or version, or a field is missing or damaged.
        """
        check_header(fields, cls.KIND)
        return cls(FrameRef.from_fields(fields), read_bytes(fields, b"jpeg"))


@dataclass(frozen=True, slots=True)
class FramesLost:
    """The loss of frames; receivers stop waiting for them.

    Attributes:
        camera_id: The camera's id.
        run_id: The camera's run.
        first_frame_id: First lost frame.
        last_frame_id: Last lost frame, inclusive.
        reason: Why, as a short, bounded word: `overload`, `unreadable`, or the reason of a dead letter.
        reply_to: As in `FrameRef`.
    """

    KIND: ClassVar[bytes] = b"frames_lost"
    camera_id: str
    run_id: str
    first_frame_id: int
    last_frame_id: int
    reason: str
    reply_to: str = ""

    @classmethod
    def of_frame(cls, fields: Mapping[bytes, bytes], reason: str) -> Self:
        """Return the loss of the frame that a message is about.

        Args:
            fields: The message; only the identity of its frame has to be readable.
            reason: Why the frame is lost.

        Raises:
            UndecodableError: The identity of the frame cannot be read.
        """
        camera_id, run_id, frame_id = _identity(fields)
        return cls(camera_id, run_id, frame_id, frame_id, reason, _reply_to(fields))

    def to_fields(self) -> Fields:
        """Encode."""
        return header(self.KIND) | {
            b"camera_id": self.camera_id.encode(),
            b"run_id": self.run_id.encode(),
            b"first_frame_id": b"%d" % self.first_frame_id,
            b"last_frame_id": b"%d" % self.last_frame_id,
            b"reason": self.reason.encode(),
            **_encoded_reply(self.reply_to),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: The message has another kind or version, or the range of frames is impossible.
        """
        check_header(fields, cls.KIND)
        first, last = read_integer(fields, b"first_frame_id"), read_integer(fields, b"last_frame_id")
        if not 0 <= first <= last < min(first + _MOST_LOST, MOST_FRAMES):
            raise UndecodableError(f"frames {first} to {last} cannot have been lost")
        return cls(
            read_name(fields, b"camera_id"),
            read_name(fields, b"run_id"),
            first,
            last,
            read_reason(fields, b"reason"),
            _reply_to(fields),
        )


def _identity(fields: Mapping[bytes, bytes]) -> tuple[str, str, int]:
    """Return camera, run and number of the frame that a message is about."""
    frame_id = read_integer(fields, b"frame_id")
    if not 0 <= frame_id < MOST_FRAMES:
        raise UndecodableError(f"frame {frame_id} cannot exist")
    return read_name(fields, b"camera_id"), read_name(fields, b"run_id"), frame_id


def _encoded_reply(reply_to: str) -> Fields:
    return {b"reply_to": reply_to.encode()} if reply_to else {}


def _reply_to(fields: Mapping[bytes, bytes]) -> str:
    if b"reply_to" in fields:
        return read_text(fields, b"reply_to")
    # Releases before this field addressed replies like this. Remove it with the next version of the schema.
    return read_name(fields, b"run_id") if fields.get(b"camera_id") == PHOTO_CAMERA.encode() else ""
