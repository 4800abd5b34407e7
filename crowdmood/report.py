"""What a replay shows on the terminal: a progress bar meanwhile, a table at the end, where to look afterwards."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from crowdmood.replay import Progress as ReplayProgress
from crowdmood.replay import Replay, minutes
from crowdmood.settings import Settings


@contextlib.contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[ReplayProgress], None]]:
    """A bar that is moved by calling what the context gives."""
    columns = (
        TextColumn("frames"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[mood]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None, mood="starting")

        def move(progress: ReplayProgress) -> None:
            mood = progress.mood
            text = f"{progress.faces} faces"
            if mood is not None:
                text += f", {mood.dominant or mood.status}"
            finished = progress.expected and progress.accounted >= progress.expected
            bar.update(task, total=progress.expected or None, completed=progress.accounted, mood=text)
            if finished:
                bar.stop()

        yield move


def show(console: Console, result: Replay) -> None:
    """The table at the end of a replay."""
    totals = Table("frames", "lost", "faces", "seconds", "faces/s", title="Replay")
    lost = ", ".join(f"{count} {reason}" for reason, count in sorted(result.lost.items())) or "0"
    rate = result.faces / result.seconds if result.seconds else 0.0
    totals.add_row(str(result.frames), lost, str(result.faces), f"{result.seconds:.1f}", f"{rate:.0f}")
    console.print(totals)
    table = Table("minute", "moods", "dominant", "shares", title="Mood per minute")
    for minute, moods, means in minutes(result.moods):
        leading = sorted(means.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{label} {share:.0%}" for label, share in leading[:4])
        table.add_row(str(minute + 1), str(moods), leading[0][0] if leading else "too few people", shares)
    console.print(table)


def show_address(console: Console, settings: Settings) -> None:
    """Where the answers are served."""
    url = f"http://{settings.api.host}:{settings.api.port}"
    console.print(f"Serving on {url} until Ctrl-C. Look at it:  curl {url}/mood", soft_wrap=True, highlight=False)
