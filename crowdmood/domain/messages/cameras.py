"""The message about the state of a camera."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, TypeAlias

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.messages.frames import MOST_FRAMES
from crowdmood.domain.messages.wire import (
    Fields,
    check_header,
    header,
    read_count,
    read_name,
    read_text,
    read_time_ms,
)

CameraStateName: TypeAlias = Literal["opening", "live", "frozen", "refused", "down", "ended"]


@dataclass(frozen=True, slots=True)
class CameraState:
    """The state of a camera; ingest publishes it on every change.

    Attributes:
        camera_id: The camera's id.
        run_id: The camera's run.
        state: `opening`, `live` (frames arrive), `frozen` (every frame is the same image), `refused` (the camera
            refuses the user or the password), `down` or `ended`.
        recorded: Whether the camera is recorded footage.
        source: The camera's address, without credentials.
        detail: The reason for the state, for people; may be empty.
        frame_count: With `ended`, and when ingest stops a live camera, the number of frames of the run. Before, the
            number expected of footage, or 0.
        at_ms: Wall-clock time of the change in milliseconds since 1970-01-01 UTC.
    """

    KIND: ClassVar[bytes] = b"camera_state"
    camera_id: str
    run_id: str
    state: CameraStateName
    recorded: bool
    source: str
    detail: str
    frame_count: int
    at_ms: int

    def to_fields(self) -> Fields:
        """Encode."""
        return header(self.KIND) | {
            b"camera_id": self.camera_id.encode(),
            b"run_id": self.run_id.encode(),
            b"state": self.state.encode(),
            b"recorded": b"%d" % self.recorded,
            b"source": self.source.encode(),
            b"detail": self.detail.encode(),
            b"frame_count": b"%d" % self.frame_count,
            b"at_ms": b"%d" % self.at_ms,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: The message has another kind or version, the state is unknown, or a field is missing or
                out of range.

        """
        check_header(fields, cls.KIND)
        state = read_text(fields, b"state")
        match state:
            case "opening" | "live" | "frozen" | "refused" | "down" | "ended":
                return cls(
                    read_name(fields, b"camera_id"),
                    read_name(fields, b"run_id"),
                    state,
                    bool(read_count(fields, b"recorded", 1)),
                    read_text(fields, b"source"),
                    read_text(fields, b"detail"),
                    read_count(fields, b"frame_count", MOST_FRAMES),
                    read_time_ms(fields, b"at_ms"),
                )
            case _:
                raise UndecodableError(f"unknown camera state {state!r}")
