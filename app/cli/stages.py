"""Commands that run one stage, as containers do."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeAlias

import typer

from app.cli.processes import stoppable
from app.stages import settings_of
from crowdmood.core.errors import SettingsError
from crowdmood.core.health import WATCHDOG
from crowdmood.core.process import default_name
from crowdmood.core.settings import CameraSettings, Settings, load

log = logging.getLogger("crowdmood.stages")

Name: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--name", help="Name of this worker. After a restart under the same name, it resumes its unfinished work."
    ),
]
Drain: TypeAlias = Annotated[bool, typer.Option("--drain", help="Stop when no work is left.")]


def ingest(
    name: Name = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Read only this camera. May be repeated. Default: all cameras.")
    ] = None,
) -> None:
    """Run an ingest worker: publish frames of cameras and footage."""
    from ingest import service

    with _running("ingest") as (settings, stop):
        service.run(settings, stop, _chosen(settings, camera), worker_name=name or default_name())


def detect(name: Name = None, drain: Drain = False) -> None:
    """Run a detector worker: find faces in frames."""
    from detector import service

    _run_worker("detector", service.run, name, drain)


def classify(name: Name = None, drain: Drain = False) -> None:
    """Run a classifier worker: estimate the expressions of faces."""
    from classifier import service

    _run_worker("classifier", service.run, name, drain)


def aggregate(name: Name = None, drain: Drain = False) -> None:
    """Run an aggregator: compute moods from expressions. One leads; others stand by."""
    from aggregator import service

    _run_worker("aggregator", service.run, name, drain)


def api() -> None:
    """Run the HTTP API with the control room."""
    from api import service

    with _running("api") as (settings, stop):
        service.run(settings, stop)


def dispatch(name: Name = None) -> None:
    """Run a dispatcher: deliver webhooks."""
    from webhooks import service

    with _running("dispatch") as (settings, stop):
        service.run(settings, stop, worker_name=name or default_name())


def _chosen(settings: Settings, names: list[str] | None) -> list[CameraSettings] | None:
    if not names:
        return None
    known = {camera.id: camera for camera in settings.cameras_here}
    if unknown := [name for name in names if name not in known]:
        raise SettingsError(f"there is no camera {unknown[0]!r} in this partition: {', '.join(known) or 'it has none'}")
    return [known[name] for name in names]


@contextmanager
def _running(stage: str) -> Iterator[tuple[Settings, threading.Event]]:
    """Set up the process of a stage, and remove the settings that it must not know."""
    given = load()
    with stoppable(settings_of(stage, given)) as (settings, stop):
        if settings.cameras != given.cameras:
            log.warning(
                "this process was given addresses of cameras, which only ingest needs, and ignores them: give them to "
                "ingest alone, as CROWDMOOD_CAMERA_ADDRESSES"
            )
        with WATCHDOG.watch():
            yield settings, stop


def _run_worker(stage: str, service_run: Callable[..., None], name: str | None, drain: bool) -> None:
    with _running(stage) as (settings, stop):
        service_run(settings, stop, name or default_name(), drain=drain)
