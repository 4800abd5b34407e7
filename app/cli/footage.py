"""Commands that process recorded footage, and the preview of a camera."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from app.cli.processes import DataDir, stoppable
from crowdmood.core.errors import IncompleteFootageError
from crowdmood.core.settings import Settings, load

if TYPE_CHECKING:
    from app.replay import Replay


def replay(
    footage: Annotated[list[Path], typer.Argument(help="Video files or folders of images; each becomes one camera.")],
    speed: Annotated[str | None, typer.Option(help="Multiple of real time, or 'max'.", show_default="1")] = None,
    moods: Annotated[
        Path | None, typer.Option(help="Write every mood to this file, one JSON object per line.", dir_okay=False)
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the API during the replay and afterwards, until Ctrl-C.")
    ] = False,
    truth: Annotated[
        Path | None,
        typer.Option(help="Folder of a simulated match. Compare the measured moods with the true ones.", exists=True),
    ] = None,
    started_s: Annotated[
        float | None,
        typer.Option(help="Print how long after this time the first mood came; seconds since 1970.", hidden=True),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Process recorded footage and show its moods."""
    from app import replay as replaying
    from app import terminal
    from app.footage import replay_settings

    known = None
    if truth is not None:
        from simulator.truth import load_truth

        known = load_truth(truth)
    console = Console()
    chosen = replay_settings(footage, speed, data_dir)
    if serve:
        chosen = with_photos(chosen)
    with stoppable(chosen) as (settings, stop):

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
    footage: Annotated[list[Path], typer.Argument(help="Video files or folders of images; each becomes one camera.")],
    out: Annotated[Path, typer.Option(help="Folder to write: new, empty, or an earlier report, which is replaced.")],
    data_dir: DataDir = None,
) -> None:
    """Process recorded footage and write a report: a web page, and its data as CSV, Parquet and JSON."""
    from app import replay as replaying
    from app import terminal
    from app.footage import replay_settings
    from app.reports import folder
    from app.reports.timeline import Timeline

    folder.check(out)  # fails before the replay, which takes minutes
    console = Console()
    with stoppable(replay_settings(footage, "max", data_dir)) as (settings, stop):
        with terminal.progress_bar(console) as on_progress:
            result = replaying.replay(settings, stop, on_progress=on_progress)
        folder.write(Timeline.of(result, settings), out)
    terminal.show(console, result)
    console.print(f"Wrote {out / 'index.html'}, and the timeline as CSV, Parquet and JSON beside it.", soft_wrap=True)
    _raise_if_incomplete(result)


def with_photos(settings: Settings) -> Settings:
    """Return settings with photos turned on, unless they are set or others could reach the API: a demonstration."""
    if "predict" in settings.api.model_fields_set or not settings.api.only_here:
        return settings
    return settings.model_copy(update={"api": settings.api.model_copy(update={"predict": True})})


def _raise_if_incomplete(result: "Replay") -> None:
    if result.interrupted:
        raise IncompleteFootageError("stopped before the footage's end: the result covers the part that was read")
    if result.incomplete:
        raise IncompleteFootageError(
            "some footage breaks off before its end (see above): the result covers the part that was read"
        )


def preview(
    camera: Annotated[str, typer.Argument(help="Id of a configured camera.")],
    out: Annotated[Path, typer.Option(help="PNG file to write.", dir_okay=False)],
    at: Annotated[float, typer.Option(min=0, help="Position in recorded footage, in seconds.")] = 0.0,
    show_faces: Annotated[bool, typer.Option("--show-faces", help="Do not pixelate faces.")] = False,
) -> None:
    """Draw one frame of a camera with its regions and the faces found."""
    from app import preview as previewing

    previewing.write(load(), camera, out, at, show_faces=show_faces)
    print(f"Wrote {out}")
