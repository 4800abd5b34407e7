"""The command line. Every stage is imported only by its own command, so that help comes at once."""

import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.console import Console
from rich.table import Table

from api import cli as api_cli
from classifier import cli as classifier_cli
from crowdmood import __version__, logs
from crowdmood.errors import CrowdMoodError, IncompleteFootageError, SettingsError, StageRefusedError
from crowdmood.process import default_name, on_hang_up, stop_signals
from crowdmood.settings import CameraSettings, Group, Settings, load
from detector import cli as detector_cli
from simulator import cli as simulator_cli
from training import cli as training_cli

if TYPE_CHECKING:
    from crowdmood.replay import Replay

log = logging.getLogger(__name__)
app = typer.Typer(
    help="CrowdMood: the mood of a stadium crowd, measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Name: TypeAlias = Annotated[
    str | None, typer.Option("--name", help="Name of this worker; the same name finds its unfinished work again.")
]
Drain: TypeAlias = Annotated[bool, typer.Option("--drain", help="Stop when there is nothing left to do.")]
DataDir: TypeAlias = Annotated[
    Path | None, typer.Option("--data-dir", help="Directory of the embedded servers.", file_okay=False)
]


def main() -> None:
    """Run a command; what CrowdMood raises on purpose becomes one line on standard error and an exit code."""
    try:
        app()
    except CrowdMoodError as error:
        if not isinstance(error, StageRefusedError):
            Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"error: {error}")
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def replay(
    footage: Annotated[list[Path], typer.Argument(help="Video files or folders of images, one camera each.")],
    speed: Annotated[
        str | None, typer.Option(help="Pace as a multiple of real time, or 'max'.", show_default="1")
    ] = None,
    moods: Annotated[Path | None, typer.Option(help="Write every mood as a JSON line.", dir_okay=False)] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Serve GET /mood meanwhile, and go on until Ctrl-C.")] = False,
    truth: Annotated[
        Path | None, typer.Option(help="Folder of a simulated match: compare with its truth at the end.", exists=True)
    ] = None,
    started_s: Annotated[
        float | None,
        typer.Option(help="Say how long after this time the first mood came; seconds since 1970.", hidden=True),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Run recorded footage through the whole pipeline and show what came out."""
    from crowdmood import replay as replaying
    from crowdmood import terminal
    from crowdmood.footage import replay_settings

    known = None
    if truth is not None:
        from simulator.truth import load_truth

        known = load_truth(truth)
    console = Console()
    with _stoppable(replay_settings(footage, speed, data_dir)) as (settings, stop):

        def show(result: replaying.Replay) -> None:
            terminal.show(console, result)
            if known is not None:
                from simulator.comparison import compare

                terminal.show_comparison(console, compare(known, result.moods))

        def ready(result: replaying.Replay) -> None:
            show(result)
            terminal.show_address(console, settings)

        if serve:
            terminal.show_address(console, settings)
        with terminal.progress_bar(console, started_s) as on_progress:
            result = replaying.replay(
                settings, stop, moods_file=moods, on_progress=on_progress, on_ready=ready if serve else None
            )
    if not serve:
        show(result)
    _complain_if_incomplete(result)


@app.command()
def report(
    footage: Annotated[list[Path], typer.Argument(help="Video files or folders of images, one camera each.")],
    out: Annotated[Path, typer.Option(help="Folder to write: a new one, or that of an earlier report.")],
    data_dir: DataDir = None,
) -> None:
    """Run recorded footage through the whole pipeline and write its timeline: CSV, Parquet, JSON and a page."""
    from crowdmood import replay as replaying
    from crowdmood import terminal
    from crowdmood.footage import replay_settings
    from crowdmood.reporting import folder
    from crowdmood.reporting.timeline import Timeline

    folder.check(out)  # before minutes of work
    console = Console()
    with _stoppable(replay_settings(footage, "max", data_dir)) as (settings, stop):
        with terminal.progress_bar(console) as on_progress:
            result = replaying.replay(settings, stop, on_progress=on_progress)
        folder.write(Timeline.of(result, settings), out)
    terminal.show(console, result)
    console.print(f"Wrote {out / 'index.html'} and the timeline as CSV, Parquet and JSON beside it.", soft_wrap=True)
    _complain_if_incomplete(result)


def _complain_if_incomplete(result: "Replay") -> None:
    if result.incomplete:
        raise IncompleteFootageError(
            "some footage broke off before its end (see above): the result covers what there is"
        )


@app.command()
def run(data_dir: DataDir = None) -> None:
    """Run everything for the configured cameras until stopped."""
    from crowdmood.supervisor import servers_for, supervised

    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    with _stoppable(load(**overrides)) as (settings, stop):
        if not settings.cameras:
            raise SettingsError(
                "no camera is configured: list them in crowdmood.toml, e.g. "
                '[[cameras]] id = "north" uri = "rtsp://…", or in CROWDMOOD_CAMERAS'
            )
        hung_up = threading.Event()
        with (
            servers_for(settings) as settings,
            supervised(settings, serve=True) as supervisor,
            on_hang_up(hung_up.set),
        ):
            while not stop.wait(0.2):
                supervisor.check()
                if hung_up.is_set():
                    hung_up.clear()
                    settings = _with_model_now(settings, overrides)


def _with_model_now(settings: Settings, overrides: dict[str, Any]) -> Settings:
    """A changed model is chosen for the stages that run: they were started with the settings of then."""
    from classifier.choosing import choose

    try:
        now = load(**overrides).classifier
        if now.model != settings.classifier.model:
            choose(settings, now.model)
            settings = settings.model_copy(update={"classifier": now})
    except CrowdMoodError as error:
        log.error("everything stays as it was: %s", error)
    return settings


@app.command()
def ingest(name: Name = None) -> None:
    """Run one ingest worker: cameras and footage to frames."""
    from ingest import service

    with _stoppable(load()) as (settings, stop):
        service.run(settings, stop, worker_name=name or default_name())


@app.command()
def detect(name: Name = None, drain: Drain = False) -> None:
    """Run one detector worker: frames to faces."""
    from detector import service

    _run_worker(service.run, name, drain)


@app.command()
def classify(name: Name = None, drain: Drain = False) -> None:
    """Run one classifier worker: faces to probabilities."""
    from classifier import service

    _run_worker(service.run, name, drain)


@app.command()
def aggregate(name: Name = None, drain: Drain = False) -> None:
    """Run the aggregator: probabilities to moods."""
    from aggregator import service

    _run_worker(service.run, name, drain)


@app.command()
def api() -> None:
    """Serve GET /mood and the rest."""
    from api import service

    with _stoppable(load()) as (settings, stop):
        service.run(settings, stop)


@app.command()
def dispatch(name: Name = None) -> None:
    """Deliver webhooks."""
    from api.webhooks import service

    with _stoppable(load()) as (settings, stop):
        service.run(settings, stop, worker_name=name or default_name())


app.command()(simulator_cli.simulate)
app.command()(training_cli.train)
app.command()(training_cli.evaluate)
app.command()(detector_cli.evaluate_detector)
detector_cli.models.command()(classifier_cli.use)
app.add_typer(detector_cli.models, name="models")
app.add_typer(api_cli.keys, name="keys")


@app.command()
def preview(
    camera: Annotated[str, typer.Argument(help="Name of a configured camera.")],
    out: Annotated[Path, typer.Option(help="PNG file to write.", dir_okay=False)],
    at: Annotated[float, typer.Option(min=0, help="Moment of recorded footage, in seconds.")] = 0.0,
    show_faces: Annotated[bool, typer.Option("--show-faces", help="Do not pixelate faces.")] = False,
) -> None:
    """Draw one frame of a camera: its regions, and the faces that are found there."""
    from crowdmood import preview as previewing

    previewing.write(load(), camera, out, at, show_faces=show_faces)
    print(f"{out}: a frame of camera {camera}")


@app.command()
def check(
    parts: Annotated[list[str] | None, typer.Argument(help="What to look at; default everything.")] = None,
    here: Annotated[bool, typer.Option("--here", help="Only workers of this host: a container's health.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Tell whether a running installation works; exit code 1 when a part does not."""
    from crowdmood import health

    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    findings = list(health.check(load(**overrides), parts or health.PARTS, socket.gethostname() if here else ""))
    table = Table("part", "works", "detail")
    for finding in findings:
        table.add_row(finding.part, "yes" if finding.healthy else "NO", finding.detail)
    Console().print(table)
    if not all(finding.healthy for finding in findings):
        raise typer.Exit(1)


@app.command()
def config(as_json: Annotated[bool, typer.Option("--json", help="Print as one JSON object.")] = False) -> None:
    """Show every setting as it is in force, secrets masked."""
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


def _run_worker(service_run: Callable[..., None], name: str | None, drain: bool) -> None:
    with _stoppable(load()) as (settings, stop):
        service_run(settings, stop, name or default_name(), drain=drain)


@contextmanager
def _stoppable(settings: Settings) -> Iterator[tuple[Settings, threading.Event]]:
    """Logging is set up, and SIGTERM and SIGINT set the event."""
    from crowdmood import metrics

    logs.configure(settings.log)
    metrics.serve(settings.metrics.host, settings.metrics.port)
    stop = threading.Event()
    with stop_signals(stop):
        yield settings, stop
