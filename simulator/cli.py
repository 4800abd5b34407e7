"""The command `crowdmood simulate`. It imports the renderer only when it runs."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from crowdmood.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTERRUPTED: Final = 130


def simulate(
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.", file_okay=False)],
    minutes: Annotated[float, typer.Option(help="Length of the footage, in minutes.")] = 3.0,
    cameras: Annotated[int, typer.Option(help="Number of cameras, each with its own stand.")] = 2,
    people: Annotated[int, typer.Option(help="Number of people in the whole stadium.")] = 200,
    fps: Annotated[int, typer.Option(help="Frames per second.")] = 10,
    size: Annotated[str, typer.Option(help="Width and height of the frames, in pixels.")] = "1280x720",
    seed: Annotated[int, typer.Option(help="The same seed gives the same frames.")] = 1,
    script: Annotated[
        Path | None,
        typer.Option(help="Script of the match, TOML or JSON; default: a half with one goal for each side."),
    ] = None,
    faces: Annotated[
        Path | None, typer.Option(help="Your own faces: a folder with a folder of images for each label.")
    ] = None,
) -> None:
    """Render a match in front of people who do not exist: a video for each camera, and the truth about every face."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from simulator.match import Match
    from simulator.match import simulate as render

    match = Match(minutes, cameras, people, fps, _size(size), seed, script, faces)
    console = Console()
    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console)

    def on_frame() -> None:
        if not bar.tasks:  # start with the first frame, so that an error in the options shows no bar
            bar.add_task("", total=match.frames * cameras)
            bar.start()
        bar.advance(bar.task_ids[0])

    try:
        with _terminated_like_interrupted():
            render(match, out, on_frame)
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    finally:
        if bar.tasks:
            bar.stop()
    videos = " ".join(str(out / f"{name}.mp4") for name in match.camera_ids)
    console.print(f"Wrote {videos} and {out / 'truth.json'}", soft_wrap=True, highlight=False)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise SettingsError(f"--size is {text!r}; give width and height, as in 1280x720")
    return int(width), int(height)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Make SIGTERM end the rendering like Ctrl-C, so that the partial folder is removed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
