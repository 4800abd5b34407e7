"""Options and setup that commands share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from crowdmood.core import health, logs, metrics
from crowdmood.core.errors import SettingsError
from crowdmood.core.process import disable_core_dumps, stop_signals
from crowdmood.core.settings import Settings, load

DataDir: TypeAlias = Annotated[
    Path | None, typer.Option("--data-dir", help="Data directory of the embedded servers.", file_okay=False)
]


def settings_for(data_dir: Path | None) -> Settings:
    """Load the settings, with another data directory unless it is None."""
    return load() if data_dir is None else load(data_dir=data_dir)


@contextmanager
def stoppable(settings: Settings) -> Iterator[tuple[Settings, threading.Event]]:
    """Set up a process that runs until it is stopped: core dumps, logging, probes and signals.

    Yields:
        The settings, and an event that SIGTERM and SIGINT set.
    """
    disable_core_dumps()
    logs.configure(settings.log)
    metrics.BUILD.labels(version("crowdmood")).set(1)
    health.serve(settings.metrics.host, settings.metrics.port)
    stop = threading.Event()
    with stop_signals(stop):
        yield settings, stop


@contextmanager
def state_url(settings: Settings) -> Iterator[str]:
    """Yield the address of the state store of a running installation, or of one that is not running."""
    from app.embedded import embedded_servers, running_servers

    if settings.state_url is not None:
        yield settings.state_url.get_secret_value()
    elif running := running_servers(settings.data_dir):
        yield running.state_url
    else:
        with embedded_servers(settings.data_dir, settings.embedded) as keeper:
            yield keeper.servers.state_url


def time_of(text: str | None) -> int | None:
    """Return the RFC 3339 time of an option in milliseconds since 1970-01-01 UTC; None without the option.

    Raises:
        SettingsError: The text is not a time.
    """
    from crowdmood.domain.mood import to_ms

    try:
        return None if text is None else to_ms(text)
    except ValueError as error:
        raise SettingsError(f"{text!r} is not an RFC 3339 time such as 2026-05-01T15:00:00Z: {error}") from None
