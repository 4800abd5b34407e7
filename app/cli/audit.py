"""`crowdmood audit …`: read the audit log."""

import csv
import json
import sys
from collections.abc import Iterable
from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from app.cli.processes import DataDir, settings_for, state_url, time_of
from crowdmood.core.errors import SettingsError

if TYPE_CHECKING:
    from crowdmood.store.audit import Entry

audit = typer.Typer(help="Read the audit log.", no_args_is_help=True)


@audit.callback()
def _group() -> None:
    """Keep `export` a command of its own: Typer would merge a group with a single command."""


class Format(StrEnum):
    """Format of the export."""

    JSON = "json"
    CSV = "csv"


@audit.command()
def export(
    format_: Annotated[
        Format, typer.Option("--format", help="`json`: one object per line. `csv`: a table with a header.")
    ] = Format.JSON,
    from_: Annotated[str | None, typer.Option("--from", help="Earliest time, RFC 3339, inclusive.")] = None,
    to: Annotated[str | None, typer.Option(help="Latest time, RFC 3339, exclusive.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.", dir_okay=False)] = None,
    data_dir: DataDir = None,
) -> None:
    """Export who did what and when, oldest first. No mood and no secret is in it."""
    from crowdmood.store.audit import AuditLog

    settings = settings_for(data_dir)
    from_ms, to_ms = time_of(from_), time_of(to)
    write = _write_csv if format_ is Format.CSV else _write_json
    with ExitStack() as stack:
        url = stack.enter_context(state_url(settings))
        entries = stack.enter_context(closing(AuditLog(url, settings.bus.key_prefix, settings.audit.keep_days)))
        try:
            file = sys.stdout if out is None else stack.enter_context(out.open("w", encoding="utf-8", newline=""))
        except OSError as error:
            raise SettingsError(f"cannot write {out}: {error.strerror}") from None
        write(entries.entries(from_ms, to_ms), file)


def _write_json(entries: Iterable["Entry"], file: IO[str]) -> None:
    for entry in entries:
        print(json.dumps(entry.to_dict(), ensure_ascii=False), file=file)


def _write_csv(entries: Iterable["Entry"], file: IO[str]) -> None:
    from crowdmood.store.audit import COLUMNS

    table = csv.DictWriter(file, COLUMNS)
    table.writeheader()
    for entry in entries:
        row = entry.to_dict()
        states = {name: json.dumps(row[name], ensure_ascii=False) for name in ("from", "to") if row[name] is not None}
        table.writerow({name: _plain(value) for name, value in (row | states).items()})


def _plain(value: object) -> object:
    """Return a cell as text that a spreadsheet does not run as a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
