"""What commands have in common that run until they are told to stop."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from crowdmood.core import health, logs
from crowdmood.core.process import disable_core_dumps, stop_signals
from crowdmood.core.settings import Settings

DataDir: TypeAlias = Annotated[
    Path | None, typer.Option("--data-dir", help="Directory of the embedded servers.", file_okay=False)
]


@contextmanager
def stoppable(settings: Settings) -> Iterator[tuple[Settings, threading.Event]]:
    """No core is dumped, logging is set up, probes are answered, and SIGTERM and SIGINT set the event."""
    disable_core_dumps()
    logs.configure(settings.log)
    health.serve(settings.metrics.host, settings.metrics.port)
    stop = threading.Event()
    with stop_signals(stop):
        yield settings, stop
