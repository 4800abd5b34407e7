"""The registry of stages: one entry for each kind of process.

The supervisor, the health check and the workers' names are made from it. Makefile, Dockerfile, compose file, chart and
docs are tested against it.
"""

from dataclasses import dataclass
from typing import Final

from crowdmood.core.settings import CONFIG_FILE_VARIABLE, Settings, to_environment


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One kind of process.

    Attributes:
        name: Name of the stage, also of its image, settings, metrics, workers and part in `crowdmood check`.
        command: Subcommand of `crowdmood` that runs it.
        group: Its consumer group on the bus; empty for a stage that reads no stream in a group.
        secrets: The `CROWDMOOD_` variables that only some stages get, and that it needs: addresses of servers and of
            cameras hold passwords, and the list of cameras names the places that they observe.
        extra: Extra of `pyproject.toml` that installs its packages; its image installs the same extra.
        partitioned: Whether every partition of the bus has workers of its own.
    """

    name: str
    command: str
    group: str
    secrets: frozenset[str]
    extra: str
    partitioned: bool = False

    def words(self, worker: str) -> tuple[str, ...]:
        """Return the arguments of `crowdmood` that start a worker."""
        return (self.command,) if self.name == "api" else (self.command, "--name", worker)


METRICS_PORT: Final = 9464
"""Port of /metrics, /livez and /readyz in every container."""

_BUS, _STATE, _CAMERAS = "CROWDMOOD_BUS_URL", "CROWDMOOD_STATE_URL", "CROWDMOOD_CAMERAS"
_ADDRESSES = "CROWDMOOD_CAMERA_ADDRESSES"

STAGES: Final = {
    spec.name: spec
    for spec in (
        StageSpec("ingest", "ingest", "", frozenset({_BUS, _CAMERAS, _ADDRESSES}), "ingest", partitioned=True),
        StageSpec("detector", "detect", "detector", frozenset({_BUS, _STATE, _CAMERAS}), "detector", partitioned=True),
        StageSpec("classifier", "classify", "classifier", frozenset({_BUS, _STATE}), "classifier", partitioned=True),
        StageSpec("aggregator", "aggregate", "aggregator", frozenset({_BUS, _STATE, _CAMERAS}), "aggregator"),
        StageSpec("dispatch", "dispatch", "", frozenset({_STATE}), "webhooks"),
        StageSpec("api", "api", "", frozenset({_BUS, _STATE, _CAMERAS}), "api"),
    )
}
"""Stages by name, in the order of the data flow. They are stopped in this order."""


def settings_of(stage: str, settings: Settings) -> Settings:
    """Return the settings as a stage may know them: only ingest has the addresses of live cameras."""
    return settings if _ADDRESSES in STAGES[stage].secrets else settings.without_addresses()


def environment_of(stage: str, settings: Settings) -> dict[str, str]:
    """Return the environment with which a process of a stage loads its settings, without the secrets of others."""
    own, all_secrets = STAGES[stage].secrets, frozenset().union(*(spec.secrets for spec in STAGES.values()))
    environment = to_environment(settings_of(stage, settings)) | {CONFIG_FILE_VARIABLE: ""}
    return {name: value for name, value in environment.items() if name in own or name not in all_secrets}


PARTS: Final = ("bus", "state", *STAGES)
"""Parts of an installation that `crowdmood check` checks."""
