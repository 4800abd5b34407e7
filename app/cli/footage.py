"""Recorded footage through the whole pipeline, and a look at one frame of a camera."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from app.cli.processes import DataDir, stoppable
from crowdmood.core.errors import IncompleteFootageError
from crowdmood.core.settings import load

if TYPE_CHECKING:
    from app.replay import Replay


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
    from app import replay as replaying
    from app import terminal
    from app.footage import replay_settings

    known = None
    if truth is not None:
        from simulator.truth import load_truth

        known = load_truth(truth)
    console = Console()
    with stoppable(replay_settings(footage, speed, data_dir)) as (settings, stop):

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
    if not serve or result.interrupted:
        show(result)
    _raise_if_incomplete(result)


def report(
    footage: Annotated[list[Path], typer.Argument(help="Video files or folders of images, one camera each.")],
    out: Annotated[Path, typer.Option(help="Folder to write: a new one, or that of an earlier report.")],
    data_dir: DataDir = None,
) -> None:
    """Run recorded footage through the whole pipeline and write its timeline: CSV, Parquet, JSON and a page."""
    from app import replay as replaying
    from app import terminal
    from app.footage import replay_settings
    from app.reports import folder
    from app.reports.timeline import Timeline

    folder.check(out)  # before minutes of work
    console = Console()
    with stoppable(replay_settings(footage, "max", data_dir)) as (settings, stop):
        with terminal.progress_bar(console) as on_progress:
            result = replaying.replay(settings, stop, on_progress=on_progress)
        folder.write(Timeline.of(result, settings), out)
    terminal.show(console, result)
    console.print(f"Wrote {out / 'index.html'} and the timeline as CSV, Parquet and JSON beside it.", soft_wrap=True)
    _raise_if_incomplete(result)


def _raise_if_incomplete(result: "Replay") -> None:
    if result.interrupted:
        raise IncompleteFootageError("stopped before the footage's end: the result covers what was read until then")
    if result.incomplete:
        raise IncompleteFootageError(
            "some footage broke off before its end (see above): the result covers what there is"
        )


def preview(
    camera: Annotated[str, typer.Argument(help="Name of a configured camera.")],
    out: Annotated[Path, typer.Option(help="PNG file to write.", dir_okay=False)],
    at: Annotated[float, typer.Option(min=0, help="Moment of recorded footage, in seconds.")] = 0.0,
    show_faces: Annotated[bool, typer.Option("--show-faces", help="Do not pixelate faces.")] = False,
) -> None:
    """Draw one frame of a camera: its regions, and the faces that are found there."""
    from app import preview as previewing

    previewing.write(load(), camera, out, at, show_faces=show_faces)
    print(f"{out}: a frame of camera {camera}")
