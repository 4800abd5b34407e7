"""Commands for a whole installation: run it, check it, and show its settings."""

import json
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.cli.processes import DataDir, settings_for, stoppable
from app.stages import PARTS
from crowdmood.core import logs
from crowdmood.core.errors import CrowdMoodError, SettingsError
from crowdmood.core.process import on_hang_up
from crowdmood.core.settings import CameraSettings, Group, Settings, load
from crowdmood.core.settings.table import page as settings_page

log = logging.getLogger(__name__)


def run(data_dir: DataDir = None) -> None:
    """Run all stages for the configured cameras until stopped.

    On SIGHUP, the settings are read again, and the classifiers switch to a changed model.
    """
    from app.supervisor import servers_for, supervised

    with stoppable(settings_for(data_dir)) as (settings, stop):
        if not settings.cameras:
            raise SettingsError(
                "no camera is configured: add one to crowdmood.toml, e.g. "
                '[[cameras]] id = "north" uri = "rtsp://…", or set CROWDMOOD_CAMERAS'
            )
        hung_up = threading.Event()
        with (
            servers_for(settings) as (settings, keeper),
            supervised(settings, serve=True, keeper=keeper) as supervisor,
            on_hang_up(hung_up.set),
        ):
            while not stop.wait(0.2):
                supervisor.check()
                if hung_up.is_set():
                    hung_up.clear()
                    settings = _with_changed_model(settings, data_dir)


def _with_changed_model(settings: Settings, data_dir: Path | None) -> Settings:
    """Load the settings again, and switch the running classifiers to the model if it has changed.

    The classifiers were started with the earlier settings, so the model is chosen through the state store.
    """
    from classifier.model_choice import choose

    try:
        changed = settings_for(data_dir).classifier
        if changed.model != settings.classifier.model:
            choose(settings, changed.model)
            settings = settings.model_copy(update={"classifier": changed})
    except CrowdMoodError as error:
        log.error("everything stays as it was: %s", error)
    return settings


def check(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"Parts to check: {', '.join(PARTS)}. Default: all.")
    ] = None,
    here: Annotated[
        bool, typer.Option("--here", help="Count only workers of this host, for the health check of a container.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Check whether a running installation works. The exit code is 1 if a part does not."""
    from app import check as checking

    results = list(checking.check(settings_for(data_dir), parts or PARTS, socket.gethostname() if here else ""))
    table = Table("part", "works", "detail")
    for result in results:
        table.add_row(result.part, "yes" if result.healthy else "NO", result.detail)
    Console().print(table)
    if not all(result.healthy for result in results):
        raise typer.Exit(1)


def ledger(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Account for every frame of every camera. The exit code is 1 if the sums do not balance."""
    from app import ledger as reading

    rows = reading.read(settings_for(data_dir))
    if as_json:
        print(json.dumps([asdict(row) | {"balance": row.balance} for row in rows]))
    else:
        table = Table("camera", "accepted", "counted", "late", "lost", "under way", "balance")
        for row in rows:
            lost = ", ".join(f"{count} {reason}" for reason, count in sorted(row.lost.items())) or "0"
            table.add_row(
                row.camera, *map(str, (row.accepted, row.counted, row.late, lost, row.under_way, row.balance))
            )
        Console().print(table)
    if any(row.balance for row in rows):
        raise typer.Exit(1)


def config(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Print the documentation page of all settings.")] = False,
) -> None:
    """Show all settings with their current values. Secrets are masked."""
    if page:
        print(settings_page(), end="")
        return
    rows = list(_settings_rows(load()))
    if as_json:
        print(json.dumps({variable: value for variable, value, _ in rows}, indent=2))
        return
    table = Table("setting", "value", "description")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _settings_rows(settings: Settings) -> Iterator[tuple[str, str, str]]:
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if not isinstance(value, Group):
            yield f"CROWDMOOD_{name.upper()}", _shown(value), field.description or ""
            continue
        for inner, inner_field in type(value).model_fields.items():
            variable = f"CROWDMOOD_{name.upper()}__{inner.upper()}"
            yield variable, _shown(getattr(value, inner)), inner_field.description or ""


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(
            f"{item.id}={logs.redact(item.uri.get_secret_value())}" if isinstance(item, CameraSettings) else str(item)
            for item in value
        )
    return "" if value is None else str(value)
