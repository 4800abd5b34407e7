"""What cameras are doing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, TypeAlias

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.messages.wire import Fields, check_header, header, read_integer, read_text

CameraStateName: TypeAlias = Literal["opening", "live", "frozen", "down", "ended"]


@dataclass(frozen=True, slots=True)
class CameraState:
    """What a camera is doing, told by ingest on every change.

    Attributes:
        camera_id: The camera's name.
        run_id: The camera's run.
        state: `opening`, `live` (frames come), `frozen` (the same frame again and again), `down` or `ended`.
        recorded: Whether this is recorded footage.
        source: Where the frames come from, without credentials.
        detail: Why, for people; empty when there is nothing to say.
        frame_count: With `ended`: how many frames there were in all; before, how many are expected, 0 if unknown.
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
            UndecodableError: Not a message of this kind and version, or an unknown state.
        """
        check_header(fields, cls.KIND)
        state = read_text(fields, b"state")
        match state:
            case "opening" | "live" | "frozen" | "down" | "ended":
                return cls(
                    read_text(fields, b"camera_id"),
                    read_text(fields, b"run_id"),
                    state,
                    bool(read_integer(fields, b"recorded")),
                    read_text(fields, b"source"),
                    read_text(fields, b"detail"),
                    read_integer(fields, b"frame_count"),
                    read_integer(fields, b"at_ms"),
                )
            case _:
                raise UndecodableError(f"unknown camera state {state!r}")
