"""The detector, the classifier and the aggregator."""

from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from crowdmood.core.settings.base import Group

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
"""Name of YuNet's model file in the data directory."""

Precision: TypeAlias = Literal["auto", "f32", "bf16"]
NetworkPrecision: TypeAlias = Literal["auto", "f32", "bf16", "f16"]


class DetectorSettings(Group):
    """How faces are found: with OpenCV's Haar cascades, or with YuNet."""

    kind: Literal["auto", "haar", "yunet"] = Field(
        default="auto", description="`haar`, `yunet`, or `auto`: YuNet when its model is there, else Haar."
    )
    min_face_px: int = Field(
        default=20,
        ge=12,
        le=1000,
        description="Smallest face searched, in pixels of the frame; small ones need an enlarged picture, which costs.",
    )
    max_input_scale: float = Field(
        default=2.0, ge=1, le=4, description="Most that a frame is enlarged to find small faces, as a multiple."
    )
    tile_px: int = Field(
        default=2048,
        ge=320,
        le=8192,
        description="Longest side of what is searched at once, in pixels: bounds a worker's memory.",
    )
    max_faces: int = Field(
        default=5000,
        ge=1,
        le=100_000,
        description="Faces of one frame that go on; beyond, the least certain are dropped.",
    )
    threads: int = Field(default=1, ge=1, le=64, description="Threads a worker computes with: one worker per core.")
    cascade: str = Field(
        default="haarcascade_frontalface_alt2",
        pattern=r"^haarcascade_[a-z0-9_]+$",
        description="Haar: which of OpenCV's cascades is used.",
    )
    profile: bool = Field(
        default=False, description="Haar: search faces in profile as well, which takes three times as long."
    )
    scale_factor: float = Field(
        default=1.2,
        gt=1.0,
        le=2.0,
        description="Haar: step between two sizes searched; smaller finds more and costs more.",
    )
    haar_min_score: float = Field(default=0.6, ge=0, le=1, description="Haar: least certain face that counts.")
    yunet_model: Path | None = Field(
        default=None,
        description="YuNet: the model file; default: where `crowdmood models pull yunet` puts it (data directory).",
    )
    yunet_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="YuNet: where `crowdmood models pull yunet` fetches the model; default: OpenCV's model zoo.",
    )
    yunet_min_score: float = Field(default=0.57, ge=0.05, le=1, description="YuNet: least certain face that counts.")
    precision: Precision = Field(
        default="auto", description="YuNet: what it computes with; `auto` is bfloat16 where the processor has it."
    )
    align: bool = Field(
        default=False, description="YuNet: faces are turned until their eyes are level, before they are cut out."
    )


class ClassifierSettings(Group):
    """How expressions are read from faces."""

    model: Path | None = Field(default=None, description="Model folder; default: the one that comes with CrowdMood.")
    engine: Literal["auto", "openvino", "tensorflow"] = Field(
        default="auto",
        description="What runs the network; auto takes OpenVINO where it is installed and the model has a graph.",
    )
    precision: NetworkPrecision = Field(
        default="auto",
        description="What OpenVINO computes in; auto takes f16 or bf16 where the processor has AMX for it, else f32.",
    )
    max_batch_size: int = Field(default=64, ge=1, le=4096, description="Faces in one call of the network.")
    batch_wait_ms: int = Field(
        default=20, ge=0, le=10_000, description="Longest wait for a batch to fill, in milliseconds."
    )
    threads: int = Field(default=0, ge=0, le=256, description="Threads the network may use; 0 lets it take every core.")


class AggregatorSettings(Group):
    """How probabilities become moods (all times are event time: capture time)."""

    window_s: float = Field(default=10.0, gt=0, le=3600, description="Length of a window, in seconds.")
    hop_s: float = Field(
        default=1.0,
        gt=0,
        le=3600,
        description="Distance between two windows' ends, in seconds; at most `window_s`, or frames would be in none.",
    )
    allowed_lateness_s: float = Field(
        default=2.0, ge=0, le=600, description="Seconds a window waits for missing frames of a live camera."
    )
    idle_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Seconds a live camera may lag behind before windows close without it.",
    )
    stale_after_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds of wall-clock time without a new mood until it is stale.",
    )
    valid_for_s: float = Field(
        default=5.0, gt=0, le=3600, description="Seconds after `as_of` during which a mood may be acted on."
    )
    min_faces: int = Field(
        default=20,
        ge=1,
        le=100_000,
        description="Readable people seen at the same time below which every figure is withheld (`insufficient`): the "
        "most in one frame of the window, added over cameras.",
    )
    method: Literal["gls", "sld", "pacc", "pcc", "raw"] = Field(
        default="gls", description="How shares are estimated from people's probabilities (aggregator/README.md)."
    )
    min_face_px: int = Field(
        default=20, ge=1, le=1000, description="Faces whose shorter side has fewer pixels are seen, but do not count."
    )
    min_quality: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Faces with a lower quality, by resolution and sharpness, are seen, but do not count.",
    )
    min_readable: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Faces with a lower probability that an expression can be seen are seen, but do not count.",
    )
    change_dwell_s: float = Field(
        default=3.0, ge=0, le=3600, description="Seconds that a new mood must hold before it counts as a change."
    )
    change_cooldown_s: float = Field(
        default=10.0, ge=0, le=3600, description="Seconds after a change during which there is no other."
    )
    lease_s: float = Field(
        default=3.0,
        ge=0.2,
        le=60,
        description="Seconds after a leader's death until another aggregator may take its place.",
    )
    history_entries: int = Field(
        default=200_000, ge=100, le=100_000_000, description="Newest moods kept in the state store."
    )
    history_hours: float = Field(
        default=168.0, gt=0, le=87_600, description="Hours after which moods and changes are forgotten all the same."
    )

    @model_validator(mode="after")
    def _every_frame_is_in_a_window(self) -> Self:
        if self.hop_s > self.window_s:
            raise ValueError(
                f"hop_s is {self.hop_s:g} and window_s {self.window_s:g}: frames between two windows would be in none, "
                "so hop_s may be at most window_s"
            )
        return self
