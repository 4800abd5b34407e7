"""`crowdmood keys …`; what it needs is imported when it runs."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import Settings, load

if TYPE_CHECKING:
    from crowdmood.store.api_keys import ApiKeyStore

keys = typer.Typer(help="Who may use the API.", no_args_is_help=True)

_DAY_MS = 86_400_000
_DataDir: TypeAlias = Annotated[
    Path | None, typer.Option("--data-dir", help="Directory of the embedded servers.", file_okay=False)
]


class ScopeChoice(StrEnum):
    """What a key allows."""

    READ = "read"
    MANAGE = "manage"


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Who gets it, for people.")],
    scope: Annotated[
        ScopeChoice, typer.Option(help="`read` asks for moods; `manage` changes webhooks as well.")
    ] = ScopeChoice.READ,
    days: Annotated[float | None, typer.Option(min=0, help="Days until it expires; without it, it never does.")] = None,
    data_dir: _DataDir = None,
) -> None:
    """Make a key and show it, this once: only a salted hash of it is kept."""
    from crowdmood.store.api_keys import ApiKey

    now_ms = _now_ms()
    expires_at_ms = None if days is None else now_ms + round(days * _DAY_MS)
    text, key = ApiKey.make(name, scope.value, now_ms, expires_at_ms)
    with _store(data_dir) as store:
        store.add(key)
    typer.echo(f"{key.key_id}: may {key.scope}; it is not shown again", err=True)
    typer.echo(text)


@keys.command("list")
def list_(data_dir: _DataDir = None) -> None:
    """Show every key there is or was, without what opens."""
    from rich.console import Console
    from rich.table import Table

    from crowdmood.domain.mood import to_rfc3339

    with _store(data_dir) as store:
        found = store.table().values()
    table = Table("id", "name", "scope", "state", "created", "expires")
    now_ms = _now_ms()
    for key in found:
        expires = "never" if key.expires_at_ms is None else to_rfc3339(key.expires_at_ms)
        row = (key.key_id, key.name, key.scope, key.state(now_ms), to_rfc3339(key.created_at_ms), expires)
        table.add_row(*row)
    Console().print(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Its id, as `crowdmood keys list` shows it.")],
    data_dir: _DataDir = None,
) -> None:
    """Make a key open nothing any more, within a second or two."""
    with _store(data_dir) as store:
        if store.revoke(key_id, _now_ms()) is None:
            raise SettingsError(f"there is no key {key_id!r}: `crowdmood keys list` shows those there are")
    typer.echo(f"{key_id}: revoked")


@contextmanager
def _store(data_dir: Path | None) -> Iterator["ApiKeyStore"]:
    """The keys of the installation that runs, or of the one that is yet to run."""
    from crowdmood.store.api_keys import ApiKeyStore

    settings = load() if data_dir is None else load(data_dir=data_dir)
    with _state_url(settings) as url, closing(ApiKeyStore(url, settings.bus.key_prefix)) as store:
        yield store


@contextmanager
def _state_url(settings: Settings) -> Iterator[str]:
    from app.embedded import embedded_servers, running_servers

    if settings.state_url is not None:
        yield settings.state_url.get_secret_value()
    elif running := running_servers(settings.data_dir):
        yield running.state_url
    else:
        with embedded_servers(settings.data_dir, settings.embedded) as keeper:
            yield keeper.servers.state_url


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
