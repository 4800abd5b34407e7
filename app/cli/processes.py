"""Options and setup that commands share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from crowdmood.core import health, logs
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
    health.serve(settings.metrics.host, settings.metrics.port)
    stop = threading.Event()
    with stop_signals(stop):
        yield settings, stop
