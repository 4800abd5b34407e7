"""One stage alone, as containers run it."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

import typer

from app.cli.processes import stoppable
from crowdmood.core.errors import SettingsError
from crowdmood.core.process import default_name
from crowdmood.core.settings import CameraSettings, Settings, load

Name: TypeAlias = Annotated[
    str | None, typer.Option("--name", help="Name of this worker; the same name finds its unfinished work again.")
]
Drain: TypeAlias = Annotated[bool, typer.Option("--drain", help="Stop when there is nothing left to do.")]


def ingest(
    name: Name = None,
    camera: Annotated[list[str] | None, typer.Option(help="Only this camera; may be repeated.")] = None,
) -> None:
    """Run one ingest worker: cameras and footage to frames."""
    from ingest import service

    with stoppable(load()) as (settings, stop):
        service.run(settings, stop, _chosen(settings, camera), worker_name=name or default_name())


def detect(name: Name = None, drain: Drain = False) -> None:
    """Run one detector worker: frames to faces."""
    from detector import service

    _run_worker(service.run, name, drain)


def classify(name: Name = None, drain: Drain = False) -> None:
    """Run one classifier worker: faces to probabilities."""
    from classifier import service

    _run_worker(service.run, name, drain)


def aggregate(name: Name = None, drain: Drain = False) -> None:
    """Run the aggregator: probabilities to moods."""
    from aggregator import service

    _run_worker(service.run, name, drain)


def api() -> None:
    """Serve GET /mood and the rest."""
    from api import service

    with stoppable(load()) as (settings, stop):
        service.run(settings, stop)


def dispatch(name: Name = None) -> None:
    """Deliver webhooks."""
    from webhooks import service

    with stoppable(load()) as (settings, stop):
        service.run(settings, stop, worker_name=name or default_name())


def _chosen(settings: Settings, names: list[str] | None) -> list[CameraSettings] | None:
    if not names:
        return None
    known = {camera.id: camera for camera in settings.cameras_here}
    if unknown := [name for name in names if name not in known]:
        raise SettingsError(f"there is no camera {unknown[0]!r} in this partition: {', '.join(known) or 'none at all'}")
    return [known[name] for name in names]


def _run_worker(service_run: Callable[..., None], name: str | None, drain: bool) -> None:
    with stoppable(load()) as (settings, stop):
        service_run(settings, stop, name or default_name(), drain=drain)
