"""The detector, the classifier and the aggregator."""

from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from crowdmood.core.settings.base import Group

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
"""Name of YuNet's model file in the data directory."""

LEAST_CROWD: Final = 10
"""Least `min_faces` with which single people are protected."""

Precision: TypeAlias = Literal["auto", "f32", "bf16"]
NetworkPrecision: TypeAlias = Literal["auto", "f32", "bf16", "f16"]


class DetectorSettings(Group):
    """How faces are found: with OpenCV's Haar cascades, or with YuNet."""

    kind: Literal["auto", "haar", "yunet"] = Field(
        default="auto", description="`haar`, `yunet`, or `auto`: YuNet when its model file exists, else Haar."
    )
    min_face_px: int = Field(
        default=20,
        ge=12,
        le=1000,
        description="Smallest face searched, in pixels of the frame; small faces need an enlarged frame and more time.",
    )
    max_input_scale: float = Field(
        default=2.0, ge=1, le=4, description="Largest factor by which a frame is enlarged to find small faces."
    )
    tile_px: int = Field(
        default=2048,
        ge=320,
        le=8192,
        description="Longest side of the tiles in which a frame is searched, in pixels: bounds a worker's memory.",
    )
    max_faces: int = Field(
        default=5000,
        ge=1,
        le=100_000,
        description="Most faces of one frame; the detector drops the ones with the lowest scores beyond it.",
    )
    threads: int = Field(default=1, ge=1, le=64, description="Threads of a worker; 1 suits one worker per core.")
    cascade: str = Field(
        default="haarcascade_frontalface_alt2",
        pattern=r"^haarcascade_[a-z0-9_]+$",
        description="Haar: name of OpenCV's cascade.",
    )
    profile: bool = Field(
        default=False, description="Haar: also search faces in profile, which takes three times as long."
    )
    scale_factor: float = Field(
        default=1.2,
        gt=1.0,
        le=2.0,
        description="Haar: factor between two sizes searched; a smaller one finds more faces and takes longer.",
    )
    haar_min_score: float = Field(default=0.6, ge=0, le=1, description="Haar: lowest score of a face.")
    yunet_model: Path | None = Field(
        default=None,
        description="YuNet: the model file; default: the one that `crowdmood models pull yunet` saves in the data "
        "directory.",
    )
    yunet_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="YuNet: address from which `crowdmood models pull yunet` downloads the model; default: OpenCV's "
        "model zoo.",
    )
    yunet_min_score: float = Field(default=0.57, ge=0.05, le=1, description="YuNet: lowest score of a face.")
    precision: Precision = Field(
        default="auto", description="YuNet: numeric precision; `auto`: bfloat16 where the processor supports it."
    )
    align: bool = Field(default=False, description="YuNet: rotate faces until the eyes are level before cropping them.")


class ClassifierSettings(Group):
    """How expressions are classified."""

    model: Path | None = Field(default=None, description="Model folder; default: the one included in CrowdMood.")
    engine: Literal["auto", "openvino", "tensorflow"] = Field(
        default="auto",
        description="Engine of the network; `auto`: OpenVINO where it is installed and the model has a graph.",
    )
    precision: NetworkPrecision = Field(
        default="auto",
        description="OpenVINO's numeric precision; `auto`: f16 or bf16 where the processor has AMX for it, else f32.",
    )
    max_batch_size: int = Field(default=64, ge=1, le=4096, description="Most faces in one call of the network.")
    batch_wait_ms: int = Field(
        default=20, ge=0, le=10_000, description="Longest wait for a batch to fill, in milliseconds."
    )
    threads: int = Field(
        default=0, ge=0, le=256, description="Threads of the network; 0: every core that the process may use."
    )


class AggregatorSettings(Group):
    """How probabilities become moods (all times are event time: capture time)."""

    window_s: float = Field(default=10.0, gt=0, le=3600, description="Length of a window, in seconds.")
    hop_s: float = Field(
        default=1.0,
        gt=0,
        le=3600,
        description="Time between the ends of two windows, in seconds; at most `window_s`, so that every frame is in a "
        "window.",
    )
    allowed_lateness_s: float = Field(
        default=2.0, ge=0, le=600, description="Seconds that a window waits for missing frames of a live camera."
    )
    idle_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Seconds of wall-clock time without a frame of a live camera after which windows close without it.",
    )
    max_wait_s: float = Field(
        default=3.0,
        ge=0,
        le=600,
        description="Longest time that a window waits for live cameras that are behind the first one, in seconds of "
        "wall-clock time; it is added to `valid_until`.",
    )
    max_ahead_s: float = Field(
        default=2.0,
        ge=0,
        le=3600,
        description="Seconds by which a live frame may be ahead of the bus server's clock before it is reported; it "
        "counts at the time of its arrival.",
    )
    stale_after_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds of wall-clock time without a new mood after which the last one is stale.",
    )
    valid_for_s: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Seconds after `as_of` during which a mood may be acted on; the time for which its window waited "
        "for live cameras is added.",
    )
    min_faces: int = Field(
        default=20,
        ge=1,
        le=100_000,
        description="Number of readable people seen at the same time below which all figures are withheld "
        "(`insufficient`): the most in one frame of the window, added over cameras. Less than 10 requires "
        "`expose_individuals`.",
    )
    expose_individuals: bool = Field(
        default=False,
        description="Gives up the protection of single people: figures are published exactly and at once, so that two "
        "moods show the expression of a person who arrives between them, and `min_faces` may be less than 10. Only for "
        "tests, and for footage of people who agreed.",
    )
    method: Literal["gls", "sld", "pacc", "pcc", "raw"] = Field(
        default="gls", description="How shares are estimated from people's probabilities (aggregator/README.md)."
    )
    min_face_px: int = Field(
        default=20, ge=1, le=1000, description="Faces whose shorter side has fewer pixels do not count."
    )
    min_quality: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Faces with a lower quality (resolution and sharpness) do not count.",
    )
    min_readable: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Faces with a lower probability of a visible expression do not count.",
    )
    change_dwell_s: float = Field(
        default=3.0, ge=0, le=3600, description="Seconds for which a new mood must last before it is a change."
    )
    change_cooldown_s: float = Field(
        default=10.0, ge=0, le=3600, description="Seconds after a change without another one."
    )
    lease_s: float = Field(
        default=3.0,
        ge=0.2,
        le=60,
        description="Seconds after a leader's death until another aggregator may replace it.",
    )
    stalled_after_s: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="Seconds without progress after which a leader gives up its lease. A window may take that long.",
    )
    history_hours: float = Field(
        default=168.0,
        gt=0,
        le=87_600,
        description="Hours after which the state store deletes moods and changes, also while nothing runs (then up to "
        "half an hour later).",
    )
    history_mb: int = Field(
        default=1500,
        ge=1,
        le=1_000_000,
        description="Megabytes of moods, and of changes, from which the oldest are deleted before `history_hours`, so "
        "that the state store does not run full (docs/operations.md has the size of a match).",
    )

    @model_validator(mode="after")
    def _no_one_is_singled_out(self) -> Self:
        if self.min_faces < LEAST_CROWD and not self.expose_individuals:
            raise ValueError(
                f"min_faces is {self.min_faces}: figures of fewer than {LEAST_CROWD} people show single people, so set "
                f"it to {LEAST_CROWD} or more, or set expose_individuals if everyone in view agreed to that"
            )
        return self

    @model_validator(mode="after")
    def _every_frame_is_in_a_window(self) -> Self:
        if self.hop_s > self.window_s:
            raise ValueError(
                f"hop_s is {self.hop_s:g} and window_s {self.window_s:g}: frames between two windows would be in none, "
                "so hop_s may be at most window_s"
            )
        return self
