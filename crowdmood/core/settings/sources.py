"""Cameras, and how their frames are sampled."""

import re
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, SecretStr, field_validator, model_validator

from crowdmood.core.polygons import Polygon
from crowdmood.core.settings.base import Group

LIVE_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "rtp", "srt", "udp", "webcam")
_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+):")

CameraId: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class CameraAddress(Group):
    """Where the frames of a camera come from."""

    uri: SecretStr = Field(
        default=SecretStr(""),
        description="A video file, a folder of images, rtsp://…, http(s)://…, rtmp://…, udp://…, srt://… or webcam:0. "
        "May contain percent-encoded credentials, which are never logged. Footage counts its time from 1970, so live "
        "cameras beside it wait for its end. Empty: a live camera, whose address only ingest has "
        "(`CROWDMOOD_CAMERA_ADDRESSES`).",
    )
    user: str = Field(default="", description="User name for the camera, without percent-encoding.")
    password: SecretStr = Field(default=SecretStr(""), description="Password for the camera, without percent-encoding.")

    @model_validator(mode="before")
    @classmethod
    def _address_alone(cls, given: Any) -> Any:
        return {"uri": given} if isinstance(given, str) else given


class CameraSettings(CameraAddress):
    """One camera or one piece of recorded footage."""

    id: CameraId = Field(description="Name of the camera in messages, metrics and answers: a-z, 0-9, '-' and '_'.")
    include: tuple[Polygon, ...] = Field(
        default=(),
        description="Regions where faces are searched, e.g. a stand; none: everywhere. Each is a list of at least "
        "three corners [x, y] as shares of the frame's width and height, 0-1.",
    )
    mask: tuple[Polygon, ...] = Field(
        default=(),
        description="Regions where no faces are searched, e.g. the pitch side; format as `include`, over which they "
        "prevail. Regions drawn in the control room can only narrow both.",
    )

    @property
    def scheme(self) -> str:
        """The lower-case scheme of the address; `file` for a path."""
        match = _SCHEME.match(self.uri.get_secret_value())
        return match.group(1).lower() if match else "file"

    @property
    def recorded(self) -> bool:
        """Whether this is recorded footage, which may wait, and not a live camera."""
        return bool(self.uri) and self.scheme not in LIVE_SCHEMES

    def with_address(self, address: CameraAddress | None) -> Self:
        """Return the camera with another address.

        Args:
            address: The address, user and password; None removes them. The path of footage stays, because it shows
                that the camera is recorded.
        """
        if address is None:
            address = CameraAddress(uri=self.uri if self.scheme == "file" else SecretStr(""))
        return self.model_copy(update={name: getattr(address, name) for name in CameraAddress.model_fields})


class IngestSettings(Group):
    """How cameras and footage are sampled."""

    sample_fps: float = Field(
        default=5.0, gt=0, le=120, description="Frames per second of camera time that are sampled."
    )
    image_clock: Literal["order", "number", "exif"] = Field(
        default="order",
        description="Event time of the images of a folder. `order`: one image every 1 / `sample_fps` seconds; "
        "`number`: by the last number of each name and `image_fps`; `exif`: by the time at which each was taken.",
    )
    image_fps: float = Field(
        default=25.0, gt=0, le=1000, description="Numbers in the images' names per second, for `image_clock=number`."
    )
    speed: float | Literal["max"] = Field(
        default=1.0,
        description="Pace of recorded footage as a multiple of real time, or `max`: as fast as the pipeline allows.",
    )
    jpeg_quality: int = Field(default=90, ge=10, le=100, description="JPEG quality of frames on the bus.")
    max_frame_megapixels: float = Field(
        default=50.0, gt=0, le=1000, description="Largest frame that is accepted, in megapixels."
    )
    frozen_after_s: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Seconds of identical live frames after which a camera counts as frozen.",
    )
    rtsp_transport: Literal["tcp", "udp", "auto"] = Field(
        default="tcp",
        description="Transport of RTSP cameras; over `udp`, a lost packet damages an image.",
    )
    hwaccel: str = Field(
        default="",
        pattern=r"^[a-z0-9_]*$",
        description="FFmpeg's hardware decoder, e.g. `cuda`, `qsv` or `vaapi`; empty: decode on the CPU.",
    )
    first_frame_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="Seconds to wait for the first frame of a live camera while data arrives: some cameras send a key "
        "frame only every 20 s.",
    )
    refused_pause_s: float = Field(
        default=300.0,
        gt=0,
        le=86_400,
        description="Pause after a camera has refused the user or password, in seconds: many attempts lock a camera.",
    )
    connect_timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=300,
        description="Seconds to wait for a live camera to open, or for its next frame.",
    )
    reconnect_max_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Longest pause between two attempts to reach a live camera, in seconds.",
    )

    @field_validator("speed")
    @classmethod
    def _positive_speed(cls, speed: float | str) -> float | str:
        if isinstance(speed, float) and not 0 < speed <= 1000:
            raise ValueError("must be more than 0 and at most 1000, or 'max'")
        return speed
