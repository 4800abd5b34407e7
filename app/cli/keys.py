"""`crowdmood keys …`: manage API keys."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.processes import DataDir, settings_for, state_url
from crowdmood.core.errors import SettingsError

if TYPE_CHECKING:
    from crowdmood.store.api_keys import ApiKeyStore

keys = typer.Typer(help="Manage API keys.", no_args_is_help=True)

_DAY_MS = 86_400_000


class KeyScope(StrEnum):
    """Permission of a key."""

    READ = "read"
    OPERATE = "operate"
    MANAGE = "manage"
    PREDICT = "predict"
    AUDIT = "audit"


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Name by which people recognise the key.")],
    scope: Annotated[
        list[KeyScope] | None,
        typer.Option(
            help="What the key allows; may be repeated. `read`: moods and cameras. `operate`: overrides. `manage`: "
            "both, and webhooks, keys and previews. `predict`: single photos. `audit`: the audit log.",
            show_default="read",
        ),
    ] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Days until the key expires. Default: never.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Create a key and print it. It cannot be shown again: only a salted hash is stored."""
    from crowdmood.store.api_keys import ApiKey

    now_ms = _now_ms()
    expires_at_ms = None if days is None else now_ms + round(days * _DAY_MS)
    text, key = ApiKey.make(name, [one.value for one in scope or [KeyScope.READ]], now_ms, expires_at_ms)
    with _store(data_dir) as store:
        store.add(key)
    typer.echo(f"Key {key.key_id} with scope {', '.join(key.scopes)}. It is not shown again:", err=True)
    typer.echo(text)


@keys.command("list")
def list_(data_dir: DataDir = None) -> None:
    """List all keys, including expired and revoked ones, without their secrets."""
    from rich.console import Console
    from rich.table import Table

    from crowdmood.domain.mood import to_rfc3339

    with _store(data_dir) as store:
        found = store.table().values()
    table = Table("id", "name", "scopes", "state", "created", "expires")
    now_ms = _now_ms()
    for key in found:
        expires = "never" if key.expires_at_ms is None else to_rfc3339(key.expires_at_ms)
        row = (key.key_id, key.name, ", ".join(key.scopes), key.state(now_ms), to_rfc3339(key.created_at_ms), expires)
        table.add_row(*row)
    Console().print(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key, from `crowdmood keys list`.")],
    data_dir: DataDir = None,
) -> None:
    """Revoke a key. It stops working within two seconds."""
    with _store(data_dir) as store:
        if store.revoke(key_id, _now_ms()) is None:
            raise SettingsError(f"there is no key {key_id!r}: `crowdmood keys list` shows all keys")
    typer.echo(f"Revoked key {key_id}")


@contextmanager
def _store(data_dir: Path | None) -> Iterator["ApiKeyStore"]:
    """Open the key store of the running installation, or of one that is not running."""
    from crowdmood.store.api_keys import ApiKeyStore

    settings = settings_for(data_dir)
    with state_url(settings) as url, closing(ApiKeyStore(url, settings.bus.key_prefix)) as store:
        yield store


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
