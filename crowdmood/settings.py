"""One frozen tree of settings, read from the environment (`CROWDMOOD_…`, nested by `__`) and a TOML file.

Built once by the command line and handed down; no module reads the environment for itself.
"""

import json
import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from crowdmood import STADIUM
from crowdmood.errors import SettingsError
from crowdmood.polygons import Polygon

CONFIG_FILE_VARIABLE = "CROWDMOOD_CONFIG"
"""Names the TOML file that is read beside the environment; default `crowdmood.toml` where we were started."""

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
YUNET_URL = (
    "https://github.com/opencv/opencv_zoo/raw/82b38c8f98e7b52aa171400f3e4c722352d0669f/models/face_detection_yunet/"
    + YUNET_FILE
)
"""OpenCV's model zoo, at the commit that brought the file."""

LIVE_SCHEMES = ("rtsp", "rtsps", "http", "https", "webcam")
_MAY_HOLD_CREDENTIALS = ("cameras", "bus_url", "state_url")
_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+):")


class Group(BaseModel):
    """Base of the nested groups: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ZoneName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class CameraSettings(Group):
    """One camera or one piece of recorded footage."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = Field(
        description="Name of the camera in messages, metrics and answers: a-z, 0-9, '-' and '_'."
    )
    uri: SecretStr = Field(
        description="A video file, a folder of images, rtsp://…, http(s)://… or webcam:0. "
        "May carry credentials: never logged."
    )
    include: tuple[Polygon, ...] = Field(
        default=(),
        description="Regions where faces are searched, e.g. a stand; none: everywhere. Each a list of at least three "
        "corners [x, y] as shares of the frame's width and height, 0-1.",
    )
    mask: tuple[Polygon, ...] = Field(
        default=(), description="Regions where nobody is looked at, e.g. the pitch side; as `include`, and stronger."
    )

    @property
    def scheme(self) -> str:
        """The lower-case scheme of the address; `file` for a path."""
        match = _SCHEME.match(self.uri.get_secret_value())
        return match.group(1).lower() if match else "file"

    @property
    def recorded(self) -> bool:
        """Whether this is footage that may wait, rather than a live camera that cannot."""
        return self.scheme not in LIVE_SCHEMES


class LogSettings(Group):
    """What is logged and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Lowest level shown.")
    format: Literal["auto", "human", "json"] = Field(
        default="auto", description="`auto` is `human` on a terminal and `json` elsewhere."
    )


class BusSettings(Group):
    """How stages use the streams between them."""

    key_prefix: str = Field(
        default="crowdmood",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="First part of every key, on bus and state store: lets installations share a server.",
    )
    partition: int = Field(default=0, ge=0, le=1023, description="The partition whose streams this process uses.")
    max_backlog: int = Field(
        default=32, ge=1, le=100_000, description="Entries a stage's output may hold before the stage waits."
    )
    claim_idle_s: float = Field(
        default=15.0,
        ge=0.05,
        le=3600,
        description="Seconds after which an entry that a worker took and did not finish is given to another.",
    )
    max_deliveries: int = Field(
        default=3, ge=1, le=100, description="Times an entry is tried before it becomes a dead letter."
    )
    dead_letters_kept: int = Field(
        default=10_000, ge=1, le=10_000_000, description="Newest dead letters kept (they hold no pixels)."
    )


class EmbeddedSettings(Group):
    """The servers that are started when no address is set."""

    bus_memory_mb: int = Field(default=1024, ge=16, le=1_000_000, description="Memory of the bus, in megabytes.")
    state_memory_mb: int = Field(
        default=512, ge=16, le=1_000_000, description="Memory of the state store, in megabytes."
    )


class IngestSettings(Group):
    """How cameras and footage are sampled."""

    sample_fps: float = Field(
        default=5.0, gt=0, le=120, description="Frames per second of camera time that are looked at."
    )
    speed: float | Literal["max"] = Field(
        default=1.0,
        description="Pace of recorded footage as a multiple of real time, or `max`: as fast as the pipeline takes it.",
    )
    jpeg_quality: int = Field(default=90, ge=10, le=100, description="JPEG quality of frames on the bus.")
    max_frame_megapixels: float = Field(
        default=50.0, gt=0, le=1000, description="Larger frames are refused, in megapixels."
    )
    frozen_after_s: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Seconds of identical live frames after which a camera counts as frozen.",
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
    yunet_url: str = Field(
        default=YUNET_URL,
        pattern=r"^https?://",
        description="YuNet: where `crowdmood models pull yunet` fetches the model.",
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
    hop_s: float = Field(default=1.0, gt=0, le=3600, description="Distance between two windows' ends, in seconds.")
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
        default=20, ge=1, le=100_000, description="People below which shares are withheld (`insufficient`)."
    )
    method: Literal["sld", "pacc", "pcc", "raw"] = Field(
        default="sld", description="How shares are estimated from people's probabilities (aggregator/README.md)."
    )
    min_face_px: int = Field(
        default=20, ge=1, le=1000, description="Faces whose shorter side has fewer pixels are seen, but do not count."
    )
    min_quality: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Faces that may be trusted less, by size, sharpness and looks, are seen, but do not count.",
    )
    change_dwell_s: float = Field(
        default=1.0, ge=0, le=3600, description="Seconds that a new mood must hold before it counts as a change."
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


class ApiSettings(Group):
    """Where answers are served."""

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; one that others can reach needs a key (`crowdmood keys create`).",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    stream_heartbeat_s: float = Field(
        default=15.0, gt=0, le=3600, description="Seconds of silence after which a stream tells that it lives."
    )
    stream_slow_after_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Seconds after which a stream is ended whose reader has not taken what there was.",
    )
    ops_host: str = Field(default="127.0.0.1", description="Address of `ops_port`; no key is asked for there.")
    ops_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port for /metrics, /livez and /readyz alone; 0: they are served where everything else is.",
    )
    requests_per_s: float = Field(
        default=100.0,
        ge=0,
        le=1_000_000,
        description="Requests a second that each key, and each address, may make of one API process once there are "
        "keys; twice as many may come at once; 0: any number.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description='Origins whose web pages may ask, as ["https://boards.example"]; none: browsers keep pages away.',
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed.",
    )


class WebhookSettings(Group):
    """How webhooks are delivered."""

    allow_networks: tuple[str, ...] = Field(
        default=(),
        description='Networks that deliveries may go to although they are private, and unencrypted: ["10.20.0.0/16"], '
        "say, for players on the stadium's own network.",
    )
    disable_after_s: float = Field(
        default=259_200.0,
        gt=0,
        le=31_536_000,
        description="Seconds without one success among failures after which an endpoint is disabled.",
    )
    rotation_grace_s: float = Field(
        default=86_400.0,
        ge=0,
        le=31_536_000,
        description="Seconds for which a replaced secret signs beside the new one.",
    )
    deliveries_kept: int = Field(
        default=1000, ge=10, le=100_000, description="Newest deliveries of each endpoint that are kept."
    )
    max_endpoints: int = Field(default=100, ge=1, le=10_000, description="Endpoints that may be registered.")

    @field_validator("allow_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(network)) for network in networks)


class MetricsSettings(Group):
    """Prometheus metrics of a worker process."""

    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of a worker's own /metrics; 0 serves none (the API always does).",
    )
    host: str = Field(default="127.0.0.1", description="Address of a worker's own /metrics.")


class RunSettings(Group):
    """What `crowdmood run` and `crowdmood replay` start on this machine."""

    detectors: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="Detector workers; default one per core.",
    )
    classifiers: int = Field(default=1, ge=1, le=64, description="Classifier workers.")
    max_restarts: int = Field(
        default=5,
        ge=0,
        le=1000,
        description="Restarts of one stage within the restart window before we give up.",
    )
    restart_window_s: float = Field(
        default=60.0, gt=0, le=86_400, description="Length of the restart window, in seconds."
    )
    stop_timeout_s: float = Field(
        default=20.0,
        gt=0,
        le=600,
        description="Seconds a stage gets to finish what it has in hand when stopped.",
    )


class Settings(BaseSettings):
    """The whole tree; see `load`."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="CROWDMOOD_", env_nested_delimiter="__", extra="forbid", validate_default=True
    )

    bus_url: SecretStr | None = Field(
        default=None,
        description="Redis or Valkey server for frames, faces, emotions; unset: an embedded one.",
    )
    state_url: SecretStr | None = Field(
        default=None,
        description="Redis or Valkey server for moods and subscriptions; unset: an embedded one.",
    )
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("crowdmood", appauthor=False),
        description="Directory of the embedded servers.",
    )
    run_id: str = Field(
        default="live",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Names one pass over recorded footage; the same name resumes it, a new one starts afresh.",
    )
    cameras: tuple[CameraSettings, ...] = Field(default=(), description="The cameras, as a list of {id, uri}.")
    zones: dict[ZoneName, tuple[str, ...]] = Field(
        default_factory=dict,
        description='Named sets of cameras that get a mood of their own, e.g. {"home": ["north", "east"]}; '
        "`stadium` holds every camera and need not be named; a zone with none of the cameras at hand is passed over.",
    )
    log: LogSettings = LogSettings()
    bus: BusSettings = BusSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    ingest: IngestSettings = IngestSettings()
    detector: DetectorSettings = DetectorSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    aggregator: AggregatorSettings = AggregatorSettings()
    api: ApiSettings = ApiSettings()
    webhooks: WebhookSettings = WebhookSettings()
    metrics: MetricsSettings = MetricsSettings()
    run: RunSettings = RunSettings()

    @field_validator("cameras")
    @classmethod
    def _distinct_cameras(cls, cameras: tuple[CameraSettings, ...]) -> tuple[CameraSettings, ...]:
        ids = [camera.id for camera in cameras]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"camera id used twice: {', '.join(twice)}")
        return cameras

    @model_validator(mode="after")
    def _zones_of_cameras(self) -> Self:
        known = {camera.id for camera in self.cameras}
        for zone, cameras in self.zones.items():
            if zone == STADIUM:
                raise ValueError(f"zone {STADIUM!r} always holds every camera: leave it out")
            if not cameras:
                raise ValueError(f"zone {zone!r} names no camera")
            unknown = sorted(set(cameras) - known)
            # A zone with no camera here is another match's: footage of one camera is replayed with the same file.
            if unknown and len(unknown) < len(set(cameras)):
                raise ValueError(f"zone {zone!r} names {', '.join(unknown)}, which is no camera's id")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line first, then the environment, then the TOML file."""
        named = os.environ.get(CONFIG_FILE_VARIABLE)
        file = Path(named or "crowdmood.toml")
        if named and not file.is_file():
            raise SettingsError(f"{CONFIG_FILE_VARIABLE} names {named}, which is not a file")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)


def load(**overrides: Any) -> Settings:
    """Read the settings.

    Args:
        **overrides: Top-level fields that the command line sets; a group is given as a dict of its fields,
            merged over the environment's.

    Raises:
        SettingsError: A value is missing, malformed or out of bounds; one line per problem.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        problems = "; ".join(f"{_variable(e['loc'])}: {_reason(e)}" for e in error.errors())
        raise SettingsError(f"invalid settings: {problems}") from None
    except (ValueError, OSError) as error:
        raise SettingsError(f"settings cannot be read: {error}") from None
    if settings.detector.yunet_model is not None:
        return settings
    # Named in full here: a replay gives its processes another data directory, and the same model.
    pulled = settings.data_dir / "models" / YUNET_FILE
    return settings.model_copy(update={"detector": settings.detector.model_copy(update={"yunet_model": pulled})})


def _variable(location: tuple[int | str, ...]) -> str:
    # A union's branch name ("float", "literal['max']") ends the location: it means nothing to a reader.
    parts = [str(p) for p in location if not re.search(r"[\[(]|^(float|int|str)$", str(p))]
    return "CROWDMOOD_" + "__".join(parts).upper()


def _reason(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    given = error.get("input")
    shown = isinstance(given, str | int | float) and error["loc"][0] not in _MAY_HOLD_CREDENTIALS
    return f"{message} (got {given!r})" if shown else message


def to_environment(settings: Settings) -> dict[str, str]:
    """The environment that makes a child process load these same settings, secrets included."""
    environment: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Group):
            for field in type(value).model_fields:
                _put(environment, f"CROWDMOOD_{name}__{field}".upper(), getattr(value, field))
        else:
            _put(environment, f"CROWDMOOD_{name}".upper(), value)
    return environment


def _put(environment: dict[str, str], variable: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, SecretStr):
        environment[variable] = value.get_secret_value()
    elif isinstance(value, dict):
        environment[variable] = json.dumps(value)
    elif isinstance(value, tuple):
        environment[variable] = json.dumps([_plain(item) for item in value])
    else:
        environment[variable] = str(value)


def _plain(item: Any) -> Any:
    if isinstance(item, CameraSettings):
        return item.model_dump(mode="json") | {"uri": item.uri.get_secret_value()}
    return item
