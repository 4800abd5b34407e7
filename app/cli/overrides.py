"""`crowdmood override …`: stop the boards from following the crowd for some time."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.processes import DataDir, settings_for, state_url, time_of
from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import STADIUM, Settings

if TYPE_CHECKING:
    from crowdmood.store.overrides import OverrideStore

overrides = typer.Typer(help="Stop boards from following the crowd for some time.", no_args_is_help=True)

_MINUTE_MS = 60_000


@overrides.command("set")
def set_(
    why: Annotated[str, typer.Option(help="The reason; other operators and the audit log see it.")],
    zone: Annotated[str, typer.Option(help="Zone; `stadium`: every zone and camera.")] = STADIUM,
    show: Annotated[str, typer.Option(help="What boards show: `default`, or a creative.")] = "default",
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Minutes until it ends. Default: 30, without --until.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Time of its end, RFC 3339.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Time of its start, RFC 3339. Default: now.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Make boards show their default, or a creative, whatever the crowd shows. It ends by itself."""
    from crowdmood.domain.mood import to_rfc3339
    from crowdmood.domain.override import Override
    from crowdmood.store.audit import this_user

    if until is not None and minutes is not None:
        raise SettingsError("give either --until or --minutes")
    settings = settings_for(data_dir)
    zones = {STADIUM, *settings.zones}
    if zone not in zones:
        raise SettingsError(f"there is no zone {zone!r}: use one of {', '.join(sorted(zones))}")
    now_ms, from_ms, until_ms = _now_ms(), time_of(from_), time_of(until)
    if until_ms is None:
        until_ms = (now_ms if from_ms is None else from_ms) + round((30 if minutes is None else minutes) * _MINUTE_MS)
    who = this_user()
    try:
        made = Override.make(
            zone=zone,
            show=show,
            from_ms=from_ms,
            until_ms=until_ms,
            why=why,
            now_ms=now_ms,
            set_by=who.name,
            longest_s=settings.api.override_max_s,
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None
    with _store(settings) as store:
        if not store.set(made, who):
            raise SettingsError("there are too many overrides: `crowdmood override list` shows them")
    print(f"Override {made.id}: {made.show} from {to_rfc3339(made.from_ms)} until {to_rfc3339(made.until_ms)}")


@overrides.command("list")
def list_(data_dir: DataDir = None) -> None:
    """List the overrides that are in force or scheduled."""
    from rich.console import Console
    from rich.table import Table

    with _store(settings_for(data_dir)) as store:
        found = store.all()
    now_ms = _now_ms()
    table = Table("id", "show", "from", "until", "state", "why", "set by")
    for one in found:
        row = one.to_dict()
        if one.until_ms > now_ms:
            state = "in force" if one.in_force(now_ms) else "scheduled"
            table.add_row(one.id, one.show, row["from"], row["until"], state, one.why, one.set_by or "")
    Console().print(table)


@overrides.command()
def clear(
    id_: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="Id, from `crowdmood override list`. Default: what is in force."),
    ] = None,
    zone: Annotated[str, typer.Option(help="Zone whose overrides in force are cleared, without an id.")] = STADIUM,
    data_dir: DataDir = None,
) -> None:
    """Clear the overrides of a zone that are in force, or one by its id. Boards follow the crowd again."""
    with _store(settings_for(data_dir)) as store:
        cleared = store.clear(zone, _now_ms(), id_)
    if not cleared:
        named = f"with the id {id_!r}" if id_ is not None else f"of zone {zone!r} in force"
        raise SettingsError(f"there is no override {named}: `crowdmood override list` shows them")
    print(f"Cleared {', '.join(one.id for one in cleared)}")


@contextmanager
def _store(settings: Settings) -> Iterator["OverrideStore"]:
    from crowdmood.store.overrides import OverrideStore

    with state_url(settings) as url, closing(OverrideStore(url, settings.bus.key_prefix)) as store:
        yield store


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
