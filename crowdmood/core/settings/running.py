"""Servers, processes, logs and metrics."""

from typing import Literal, Self

from pydantic import Field, model_validator

from crowdmood.core import processors
from crowdmood.core.settings.base import Group


class LogSettings(Group):
    """Level and format of the log."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Lowest level shown.")
    format: Literal["auto", "human", "json"] = Field(
        default="auto", description="`auto` is `human` on a terminal and `json` elsewhere."
    )


class BusSettings(Group):
    """How stages use the streams between them."""

    key_prefix: str = Field(
        default="crowdmood",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="First part of every key on bus and state store: lets several installations share a server.",
    )
    partitions: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Partitions of the bus; the cameras are assigned to them in turn. Use several for a cluster.",
    )
    partition: int = Field(
        default=0, ge=0, le=1023, description="Partition of this ingest, detector, classifier or API process."
    )
    max_backlog: int = Field(
        default=32,
        ge=1,
        le=100_000,
        description="Unread frames, or faces of frames, from which footage and detectors wait. Live cameras share "
        "them: a camera drops its oldest unread frame beyond its share, which is at least two frames.",
    )
    max_emotions: int = Field(
        default=4096,
        ge=1,
        le=10_000_000,
        description="Unread emotions, one entry for each frame, from which the oldest of live cameras are dropped and "
        "footage waits.",
    )
    claim_idle_s: float = Field(
        default=15.0,
        ge=0.05,
        le=3600,
        description="Seconds after which another worker claims an entry that a worker has read and not finished.",
    )
    max_deliveries: int = Field(
        default=3, ge=1, le=100, description="Deliveries of an entry to workers before it becomes a dead letter."
    )
    dead_letters_kept: int = Field(
        default=10_000, ge=1, le=10_000_000, description="Newest dead letters that are kept (without pixels)."
    )

    @model_validator(mode="after")
    def _one_of_the_partitions(self) -> Self:
        if self.partition >= self.partitions:
            raise ValueError(f"there is no partition {self.partition}: partitions are {self.partitions}, from 0 on")
        return self


class EmbeddedSettings(Group):
    """The servers that `crowdmood run` and `crowdmood replay` start when no address is set."""

    bus_memory_mb: int = Field(default=1024, ge=16, le=1_000_000, description="Memory of the bus, in megabytes.")
    state_memory_mb: int = Field(
        default=2048, ge=16, le=1_000_000, description="Largest memory of the state store, in megabytes."
    )


class MetricsSettings(Group):
    """Prometheus metrics of a worker process."""

    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of a worker's own /metrics, /livez and /readyz; 0: none (the API always serves them).",
    )
    host: str = Field(default="127.0.0.1", description="Address of a worker's own /metrics.")


class RunSettings(Group):
    """The processes that `crowdmood run` and `crowdmood replay` start on this machine."""

    detectors: int = Field(
        default_factory=processors.available,
        ge=1,
        le=256,
        description="Number of detector workers; default: one for each CPU core that the process may use.",
    )
    classifiers: int = Field(default=1, ge=1, le=64, description="Number of classifier workers.")
    max_restarts: int = Field(
        default=5,
        ge=0,
        le=1000,
        description="Restarts of one stage within the restart window before the whole run stops.",
    )
    restart_window_s: float = Field(
        default=60.0, gt=0, le=86_400, description="Length of the restart window, in seconds."
    )
    stop_timeout_s: float = Field(
        default=20.0,
        gt=0,
        le=600,
        description="Seconds in which a stopped stage may finish its current entries.",
    )
