"""The whole tree of settings, and how it is loaded."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from crowdmood.core.errors import SettingsError
from crowdmood.core.settings.base import STADIUM
from crowdmood.core.settings.running import BusSettings, EmbeddedSettings, LogSettings, MetricsSettings, RunSettings
from crowdmood.core.settings.serving import ApiSettings, AuditSettings, WebhookSettings
from crowdmood.core.settings.sources import CameraAddress, CameraId, CameraSettings, IngestSettings
from crowdmood.core.settings.stages import YUNET_FILE, AggregatorSettings, ClassifierSettings, DetectorSettings

CONFIG_FILE_VARIABLE = "CROWDMOOD_CONFIG"
"""Variable with the path of the TOML file; default: `crowdmood.toml` in the current directory. Empty: none is read."""

_MAY_HOLD_CREDENTIALS = ("cameras", "camera_addresses", "bus_url", "state_url")

IN_FILES = ("cameras", "camera_addresses")
"""Settings whose variable may end in `_FILE` and name a JSON file with the value: a variable holds at most 128 KiB."""

ZoneName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Settings(BaseSettings):
    """The whole tree; see `load`."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="CROWDMOOD_", env_nested_delimiter="__", extra="forbid", validate_default=True
    )

    bus_url: SecretStr | None = Field(
        default=None,
        description="Redis or Valkey server for frames, faces and emotions; unset: an embedded one.",
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
        description="Name of one pass over recorded footage; the same name resumes it, a new one starts over.",
    )
    cameras: tuple[CameraSettings, ...] = Field(
        default=(),
        description="The cameras, as a list of {id, uri}. Where stages run as separate services, put the addresses of "
        "live cameras into `CROWDMOOD_CAMERA_ADDRESSES` instead of `uri`.",
    )
    camera_addresses: dict[CameraId, CameraAddress] = Field(
        default_factory=dict,
        description="Addresses of live cameras by id, for the service `ingest` only, e.g. "
        '{"north": "rtsp://user:password@192.0.2.1/stream"}; or {uri, user, password} without percent-encoding.',
    )
    zones: dict[ZoneName, tuple[str, ...]] = Field(
        default_factory=dict,
        description='Named sets of cameras that get a mood of their own, e.g. {"home": ["north", "east"]}; '
        "`stadium` always holds every camera and must be left out; a zone without any configured camera is ignored.",
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
    audit: AuditSettings = AuditSettings()
    metrics: MetricsSettings = MetricsSettings()
    run: RunSettings = RunSettings()

    @property
    def cameras_here(self) -> tuple[CameraSettings, ...]:
        """The cameras of this process's partition of the bus."""
        return self.cameras[self.bus.partition :: self.bus.partitions]

    def without_addresses(self) -> Self:
        """Return the settings without the addresses of live cameras, which only ingest needs."""
        cameras = tuple(camera.with_address(None) for camera in self.cameras)
        return self.model_copy(update={"cameras": cameras, "camera_addresses": {}})

    @field_validator("cameras")
    @classmethod
    def _distinct_cameras(cls, cameras: tuple[CameraSettings, ...]) -> tuple[CameraSettings, ...]:
        ids = [camera.id for camera in cameras]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"camera id used twice: {', '.join(twice)}")
        return cameras

    @model_validator(mode="after")
    def _addresses_of_live_cameras(self) -> Self:
        known = {camera.id: camera for camera in self.cameras}
        for camera_id, address in self.camera_addresses.items():
            if (camera := known.get(camera_id)) is None:
                raise ValueError(f"camera_addresses names {camera_id}, which is not the id of a camera")
            if camera.uri:
                raise ValueError(f"camera {camera_id} has an address in cameras and one in camera_addresses: keep one")
            if not address.uri or camera.with_address(address).recorded:
                raise ValueError(
                    f"the address of camera {camera_id} in camera_addresses is not that of a live camera: footage "
                    "belongs into cameras, as uri, because every stage must know that it is recorded"
                )
        return self

    @model_validator(mode="after")
    def _zones_of_cameras(self) -> Self:
        known = {camera.id for camera in self.cameras}
        for zone, cameras in self.zones.items():
            if zone == STADIUM:
                raise ValueError(f"zone {STADIUM!r} always holds every camera: leave it out")
            if not cameras:
                raise ValueError(f"zone {zone!r} names no camera")
            unknown = sorted(set(cameras) - known)
            # A zone without a camera here belongs to another match: one file serves replays of different footage.
            if unknown and len(unknown) < len(set(cameras)):
                raise ValueError(f"zone {zone!r} names {', '.join(unknown)}, which is not the id of a camera")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (as well)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources by priority: the command line, the environment, the TOML file."""
        env_settings = _CameraFiles(settings_cls, env_settings)
        named = os.environ.get(CONFIG_FILE_VARIABLE)
        if named == "":
            return init_settings, env_settings
        file = Path(named or "crowdmood.toml")
        if named and not file.is_file():
            raise SettingsError(f"{CONFIG_FILE_VARIABLE} names {named}, which is not a file")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)


class _CameraFiles(PydanticBaseSettingsSource):
    """The environment, with the values of variables that name files."""

    def __init__(self, settings_cls: type[BaseSettings], environment: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._environment = environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._environment.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        found = self._environment()
        for name in IN_FILES:
            variable = f"CROWDMOOD_{name.upper()}_FILE"
            if path := os.environ.get(variable):
                if name in found:
                    raise SettingsError(f"{variable} and CROWDMOOD_{name.upper()} are both set: keep one")
                try:
                    found[name] = json.loads(Path(path).read_text())
                except (OSError, ValueError) as error:
                    raise SettingsError(f"{variable}: {path} is not a readable JSON file: {error}") from None
        return found


def load(**overrides: Any) -> Settings:
    """Load the settings.

    Args:
        **overrides: Top-level fields from the command line. A group is a dict of its fields, which override those
            of the environment.

    Raises:
        SettingsError: A value is missing, malformed or out of bounds; the text lists all problems.

    Returns:
        The settings, in which each camera has its address and `camera_addresses` is empty.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        problems = "; ".join(f"{_variable(e['loc'])}: {_reason(e)}" for e in error.errors())
        raise SettingsError(f"invalid settings: {problems}") from None
    except (ValueError, OSError) as error:
        raise SettingsError(f"settings cannot be read: {error}") from None
    addresses = settings.camera_addresses
    cameras = (
        camera.with_address(addresses[camera.id]) if camera.id in addresses else camera for camera in settings.cameras
    )
    settings = settings.model_copy(update={"cameras": tuple(cameras), "camera_addresses": {}})
    if settings.detector.yunet_model is not None:
        return settings
    # Resolve the path here: a replay gives its processes another data directory, but the same model.
    pulled = settings.data_dir / "models" / YUNET_FILE
    return settings.model_copy(update={"detector": settings.detector.model_copy(update={"yunet_model": pulled})})


def required_url(url: SecretStr | None, role: str) -> str:
    """Return the address of a server that a stage requires.

    Raises:
        SettingsError: The address is not set.
    """
    if url is None:
        raise SettingsError(
            f"CROWDMOOD_{role.upper()}_URL is not set: a single stage needs the address of its {role} server "
            "(`crowdmood run` and `crowdmood replay` start their own)"
        )
    return url.get_secret_value()


def _variable(location: tuple[int | str, ...]) -> str:
    # The location ends with the name of a union's branch ("float", "literal['max']"), which does not help a reader.
    parts = [str(p) for p in location if not re.search(r"[\[(]|^(float|int|str)$", str(p))]
    return "CROWDMOOD_" + "__".join(parts).upper()


def _reason(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    given = error.get("input")
    shown = isinstance(given, str | int | float) and error["loc"][0] not in _MAY_HOLD_CREDENTIALS
    return f"{message} (got {given!r})" if shown else message
