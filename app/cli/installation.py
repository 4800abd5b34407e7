"""A whole installation: running it, and telling how it is and what it is set to."""

import json
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.cli.processes import DataDir, stoppable
from crowdmood.core import logs
from crowdmood.core.errors import CrowdMoodError, SettingsError
from crowdmood.core.process import on_hang_up
from crowdmood.core.settings import CameraSettings, Group, Settings, load
from crowdmood.core.settings.table import page as settings_page

log = logging.getLogger(__name__)


def run(data_dir: DataDir = None) -> None:
    """Run everything for the configured cameras until stopped."""
    from app.supervisor import servers_for, supervised

    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    with stoppable(load(**overrides)) as (settings, stop):
        if not settings.cameras:
            raise SettingsError(
                "no camera is configured: list them in crowdmood.toml, e.g. "
                '[[cameras]] id = "north" uri = "rtsp://…", or in CROWDMOOD_CAMERAS'
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
                    settings = _with_model_now(settings, overrides)


def _with_model_now(settings: Settings, overrides: dict[str, Any]) -> Settings:
    """A changed model is chosen for the stages that run: they were started with the settings of then."""
    from classifier.model_choice import choose

    try:
        now = load(**overrides).classifier
        if now.model != settings.classifier.model:
            choose(settings, now.model)
            settings = settings.model_copy(update={"classifier": now})
    except CrowdMoodError as error:
        log.error("everything stays as it was: %s", error)
    return settings


def check(
    parts: Annotated[list[str] | None, typer.Argument(help="What to look at; default everything.")] = None,
    here: Annotated[bool, typer.Option("--here", help="Only workers of this host: a container's health.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Tell whether a running installation works; exit code 1 when a part does not."""
    from app import check as checking

    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    findings = list(checking.check(load(**overrides), parts or checking.PARTS, socket.gethostname() if here else ""))
    table = Table("part", "works", "detail")
    for finding in findings:
        table.add_row(finding.part, "yes" if finding.healthy else "NO", finding.detail)
    Console().print(table)
    if not all(finding.healthy for finding in findings):
        raise typer.Exit(1)


def ledger(
    as_json: Annotated[bool, typer.Option("--json", help="Print as one JSON list.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Account for every frame that cameras gave; exit code 1 when the sum does not balance."""
    from app import ledger as reading

    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    accounts = reading.read(load(**overrides))
    if as_json:
        print(json.dumps([asdict(account) | {"balance": account.balance} for account in accounts]))
    else:
        table = Table("camera", "accepted", "counted", "late", "lost", "under way", "balance")
        for account in accounts:
            lost = ", ".join(f"{count} {reason}" for reason, count in sorted(account.lost.items())) or "0"
            table.add_row(
                account.camera,
                *map(str, (account.accepted, account.counted, account.late, lost, account.under_way, account.balance)),
            )
        Console().print(table)
    if any(account.balance for account in accounts):
        raise typer.Exit(1)


def config(
    as_json: Annotated[bool, typer.Option("--json", help="Print as one JSON object.")] = False,
    page: Annotated[bool, typer.Option(help="Print the page that lists every setting with its default.")] = False,
) -> None:
    """Show every setting as it is in force, secrets masked."""
    if page:
        print(settings_page(), end="")
        return
    rows = list(_settings_rows(load()))
    if as_json:
        print(json.dumps({variable: value for variable, value, _ in rows}, indent=2))
        return
    table = Table("setting", "value", "what it is")
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
