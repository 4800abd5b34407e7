"""Frames on their way to a detector, and those that will never arrive."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.messages.wire import Fields, check_header, header, read_bytes, read_integer, read_text

PHOTO_CAMERA = "@photo"
"""Stands for the camera of a single picture that somebody asks about: no camera can be called so, and no mood counts
it. Its run is the question."""


@dataclass(frozen=True, slots=True)
class FrameRef:
    """What identifies a sampled frame from its capture to the mood that counts it.

    Attributes:
        camera_id: The camera's name.
        run_id: One uninterrupted numbering of this camera's frames.
        frame_id: 0, 1, 2, … without gaps within a camera's run.
        captured_at_ms: Event time in milliseconds since 1970-01-01 UTC; for footage, since the footage's start.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        recorded: Whether the frame is from recorded footage, which is never dropped.
    """

    camera_id: str
    run_id: str
    frame_id: int
    captured_at_ms: int
    width: int
    height: int
    recorded: bool

    def to_fields(self) -> Fields:
        """The fields that identify a frame in every message about it."""
        return {
            b"camera_id": self.camera_id.encode(),
            b"run_id": self.run_id.encode(),
            b"frame_id": b"%d" % self.frame_id,
            b"captured_at_ms": b"%d" % self.captured_at_ms,
            b"width": b"%d" % self.width,
            b"height": b"%d" % self.height,
            b"recorded": b"%d" % self.recorded,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Read the identity of a frame.

        Raises:
            UndecodableError: A field is missing, no number, or out of range.
        """
        camera_id, run_id, frame_id = frame_identity(fields)
        frame = cls(
            camera_id=camera_id,
            run_id=run_id,
            frame_id=frame_id,
            captured_at_ms=read_integer(fields, b"captured_at_ms"),
            width=read_integer(fields, b"width"),
            height=read_integer(fields, b"height"),
            recorded=bool(read_integer(fields, b"recorded")),
        )
        if frame.width <= 0 or frame.height <= 0:
            raise UndecodableError(f"frame {frame.frame_id} of {frame.width}x{frame.height} pixels cannot exist")
        return frame


def frame_identity(fields: Mapping[bytes, bytes]) -> tuple[str, str, int]:
    """Which frame a message is about, camera, run and number, even when nothing else of it can be read.

    Raises:
        UndecodableError: It does not say.
    """
    frame_id = read_integer(fields, b"frame_id")
    if frame_id < 0:
        raise UndecodableError(f"frame {frame_id} cannot exist")
    return read_text(fields, b"camera_id"), read_text(fields, b"run_id"), frame_id


@dataclass(frozen=True, slots=True)
class Frame:
    """A sampled frame on its way to a detector.

    Attributes:
        ref: The frame's identity.
        jpeg: The picture, JPEG-coded.
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
            UndecodableError: Not a message of this kind and version.
        """
        check_header(fields, cls.KIND)
        return cls(FrameRef.from_fields(fields), read_bytes(fields, b"jpeg"))


_MOST_LOST = 10_000_000
"""Frames of one range: a day at 120 a second, or three weeks at 5. Whoever takes note of them does so one by one."""


@dataclass(frozen=True, slots=True)
class FramesLost:
    """Frames that will never arrive, so that nobody waits for them.

    Attributes:
        camera_id: The camera's name.
        run_id: The camera's run.
        first_frame_id: First lost frame.
        last_frame_id: Last lost frame, inclusive.
        reason: Why, as a short, bounded word: `overload`, `unreadable`, or the reason of a dead letter.
    """

    KIND: ClassVar[bytes] = b"frames_lost"
    camera_id: str
    run_id: str
    first_frame_id: int
    last_frame_id: int
    reason: str

    def to_fields(self) -> Fields:
        """Encode."""
        return header(self.KIND) | {
            b"camera_id": self.camera_id.encode(),
            b"run_id": self.run_id.encode(),
            b"first_frame_id": b"%d" % self.first_frame_id,
            b"last_frame_id": b"%d" % self.last_frame_id,
            b"reason": self.reason.encode(),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: Not a message of this kind and version, or of more frames than can have been lost at once.
        """
        check_header(fields, cls.KIND)
        first, last = read_integer(fields, b"first_frame_id"), read_integer(fields, b"last_frame_id")
        if not 0 <= first <= last < first + _MOST_LOST:
            raise UndecodableError(f"frames {first} to {last} cannot have been lost")
        return cls(
            read_text(fields, b"camera_id"), read_text(fields, b"run_id"), first, last, read_text(fields, b"reason")
        )
