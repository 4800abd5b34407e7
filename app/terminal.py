"""Terminal output of a replay: a progress bar, the result as tables, and the address of the control room."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from app.replay import LOW_FIT, LOW_FIT_NOTE, Replay, leading_label, low_fits, minutes
from app.replay import Progress as ReplayProgress
from crowdmood.core.settings import Settings

if TYPE_CHECKING:
    from simulator.comparison import Phase


_SHORTEST_FOR_A_RATE_S = 0.1
"""Shorter replays are shown as 0.0 s, and without a rate."""


@contextlib.contextmanager
def progress_bar(console: Console, started_s: float | None = None) -> Iterator[Callable[[ReplayProgress], None]]:
    """Show a progress bar.

    Args:
        console: Where to draw it.
        started_s: Start time, in seconds since 1970. When the first mood arrives, the time since then is printed; None
            prints nothing.

    Yields:
        A function that updates the bar.
    """
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

        def update(progress: ReplayProgress) -> None:
            nonlocal started_s
            mood = progress.mood
            if mood is not None and started_s is not None:
                bar.print(f"The first mood came {time.time() - started_s:.0f} s after the start.")
                started_s = None
            text = f"{progress.faces} faces"
            if mood is not None:
                text += f", {mood.dominant or mood.status}"
            finished = progress.expected and progress.accounted >= progress.expected
            bar.update(task, total=progress.expected or None, completed=progress.accounted, mood=text)
            if finished:
                bar.stop()

        yield update


def show(console: Console, result: Replay) -> None:
    """Print the result of a replay."""
    totals = Table("frames", "lost", "faces", "seconds", "faces/s", title="Replay")
    lost = ", ".join(f"{count} {reason}" for reason, count in sorted(result.lost.items())) or "0"
    rate = f"{result.faces / result.seconds:.0f}" if result.seconds >= _SHORTEST_FOR_A_RATE_S else "-"
    totals.add_row(str(result.frames), lost, str(result.faces), f"{result.seconds:.1f}", rate)
    console.print(totals)
    table = Table("minute", "moods", "dominant", "shares", title="Mood per minute")
    for minute, moods, means in minutes(result.moods):
        table.add_row(str(minute + 1), str(moods), leading_label(means) or "too few readable people", _top(means))
    console.print(table)
    low, windows = low_fits(result.moods)
    if low:
        console.print(
            f"Fit below {LOW_FIT} in {low} of {windows} windows. {LOW_FIT_NOTE}", soft_wrap=True, highlight=False
        )


def show_comparison(console: Console, phases: Sequence[Phase]) -> None:
    """Print measured shares beside the true ones."""
    table = Table("seconds", "after", "true", "measured", "mean error of a share", title="Measured and true")
    for phase in phases:
        error = "" if phase.error is None else f"{phase.error:.3f}"
        measured = "too few readable people" if phase.measured is None else _top(phase.measured)
        seconds = f"{phase.start_s:g} to {phase.end_s:g}"
        table.add_row(seconds, phase.began_with, _top(phase.true), measured, error)
    console.print(table)


def _top(shares: Mapping[str, float | None]) -> str:
    known = ((label, share) for label, share in shares.items() if share is not None)
    descending = sorted(known, key=lambda item: -item[1])
    return ", ".join(f"{label} {share:.0%}" for label, share in descending[:4])


def show_address(console: Console, settings: Settings) -> None:
    """Print the address of the control room and of the mood."""
    url = f"http://{settings.api.host}:{settings.api.port}"
    console.print(
        f"Serving the control room on {url} until Ctrl-C. The current mood:  curl {url}/mood",
        soft_wrap=True,
        highlight=False,
    )
