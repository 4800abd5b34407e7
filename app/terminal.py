"""What a replay shows on the terminal: a progress bar meanwhile, a table at the end, where to look afterwards."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from app.replay import LOW_FIT, Replay, minutes, most_shown, of_stadium
from app.replay import Progress as ReplayProgress
from crowdmood.core.settings import Settings

if TYPE_CHECKING:
    from simulator.comparison import Phase


_SHORTEST_FOR_A_RATE_S = 0.1
"""A replay that is shown as 0.0 s has no rate."""


@contextlib.contextmanager
def progress_bar(console: Console, started_s: float | None = None) -> Iterator[Callable[[ReplayProgress], None]]:
    """A bar that is moved by calling what the context gives.

    Args:
        console: Where it is drawn.
        started_s: With the first mood, say how long ago this was; seconds since 1970.
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

        def move(progress: ReplayProgress) -> None:
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

        yield move


def show(console: Console, result: Replay) -> None:
    """The table at the end of a replay."""
    totals = Table("frames", "lost", "faces", "seconds", "faces/s", title="Replay")
    lost = ", ".join(f"{count} {reason}" for reason, count in sorted(result.lost.items())) or "0"
    rate = f"{result.faces / result.seconds:.0f}" if result.seconds >= _SHORTEST_FOR_A_RATE_S else "-"
    totals.add_row(str(result.frames), lost, str(result.faces), f"{result.seconds:.1f}", rate)
    console.print(totals)
    table = Table("minute", "moods", "dominant", "shares", title="Mood per minute")
    for minute, moods, means in minutes(result.moods):
        table.add_row(str(minute + 1), str(moods), most_shown(means) or "too few readable people", _leading(means))
    console.print(table)
    fits = [mood.fit for mood in result.moods if of_stadium(mood) and mood.fit is not None]
    low = sum(fit < LOW_FIT for fit in fits)
    if low:
        console.print(
            f"Fit below {LOW_FIT} in {low} of {len(fits)} windows. The crowd differs from those that the network's "
            "card knows: shares lean towards counting, and intervals are wider.",
            soft_wrap=True,
            highlight=False,
        )


def show_comparison(console: Console, phases: Sequence[Phase]) -> None:
    """What was measured beside what was true."""
    table = Table("seconds", "after", "true", "measured", "mean error of a share", title="Measured and true")
    for phase in phases:
        error = "" if phase.error is None else f"{phase.error:.3f}"
        measured = "too few readable people" if phase.measured is None else _leading(phase.measured)
        seconds = f"{phase.start_s:g} to {phase.end_s:g}"
        table.add_row(seconds, phase.began_with, _leading(phase.true), measured, error)
    console.print(table)


def _leading(shares: Mapping[str, float | None]) -> str:
    known = ((label, share) for label, share in shares.items() if share is not None)
    leading = sorted(known, key=lambda item: -item[1])
    return ", ".join(f"{label} {share:.0%}" for label, share in leading[:4])


def show_address(console: Console, settings: Settings) -> None:
    """Where the answers are served."""
    url = f"http://{settings.api.host}:{settings.api.port}"
    console.print(
        f"Serving the control room on {url} until Ctrl-C. What boards ask:  curl {url}/mood",
        soft_wrap=True,
        highlight=False,
    )
