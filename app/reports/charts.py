"""Charts of a timeline as SVG: stacked shares with people and cameras, and each share with its interval."""

from __future__ import annotations

import io
import math
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator, PercentFormatter

from app.reports.timeline import WHOLE_STADIUM, Scope, Timeline
from crowdmood.domain.palette import LABEL_COLOURS, STACKED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from crowdmood.domain.mood import Mood, MoodChange

STATE_COLOURS: Final = {
    "live": "#4B6478",
    "opening": "#C9D3DB",
    "idle": "#E7ECF0",
    "frozen": "#F2C894",
    "refused": "#8E44AD",
    "down": "#C0392B",
    "ended": "#FFFFFF",
}
"""Colours of camera states. They differ from the colours of labels."""

_MAX_POINTS: Final = 600
"""Most moods in a chart, more than its width can show. Longer timelines are drawn from every second, third, … mood."""

_NAME_WIDTH: Final = 0.09
"""Width of the name of a change, as a fraction of the chart's width."""

_TICKS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_MAX_TICKS: Final = 10

_Interval: TypeAlias = tuple[float | None, float | None, float | None]
"""A value with the lower and upper end of its interval; None if the network does not have the label."""

_INK, _FAINT = "#27323B", "#8A97A1"
_WIDTH = 11.0
_STYLE: Final = {
    "axes.edgecolor": "#C9D3DB",
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _INK,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "grid.color": "#E7ECF0",
    "hatch.color": "#D8E0E6",
    "svg.fonttype": "none",
    "svg.hashsalt": "crowdmood",  # makes the output reproducible
    "text.color": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
}


def overview(timeline: Timeline) -> str:
    """Return the chart of the stadium: stacked shares with changes, number of people, and state of each camera."""
    heights = [4.0, 0.9, 0.15 + 0.24 * len(timeline.cameras)]
    with mpl.rc_context(_STYLE):
        figure = Figure((_WIDTH, sum(heights) + 1.4), layout="constrained")
        shares, people, cameras = figure.subplots(3, 1, sharex=True, height_ratios=heights)
        _draw_stack(shares, timeline, WHOLE_STADIUM)
        _draw_people(people, timeline)
        _draw_cameras(cameras, timeline)
        _draw_time_axis(cameras, timeline)
        return _svg(figure)


def stacked(timeline: Timeline, scope: Scope) -> str:
    """Return the chart of a zone or a camera: stacked shares with changes."""
    with mpl.rc_context(_STYLE):
        figure = Figure((_WIDTH, 2.6), layout="constrained")
        axes = figure.subplots()
        _draw_stack(axes, timeline, scope)
        _draw_time_axis(axes, timeline)
        return _svg(figure)


def intervals(timeline: Timeline) -> str:
    """Return the chart of intervals: each share of the stadium, valence and energy with its 90 % interval."""
    highs = [mood.high.values() for mood in timeline.stadium if mood.high is not None]
    top = max((high for values in highs for high in values if high is not None), default=1.0)
    with mpl.rc_context(_STYLE):
        figure = Figure((_WIDTH, 9.4), layout="constrained")
        panels = list(figure.subplots(len(STACKED) // 2 + 1, 2, sharex=True).flat)
        for axes, label in zip(panels, reversed(STACKED), strict=False):
            _draw_interval(axes, timeline, LABEL_COLOURS[label], partial(_share, label))
            axes.set_title(label, loc="left", fontweight="bold")
            axes.set_ylim(0, min(1.0, np.ceil(top * 10) / 10))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        balance, energy = panels[-2:]
        _draw_interval(balance, timeline, _INK, _valence)
        balance.set_title("valence (happy minus negative)", loc="left", fontweight="bold")
        balance.set_ylim(-1, 1)
        _draw_interval(energy, timeline, _INK, _energy)
        energy.set_title("energy (cheering and surprise)", loc="left", fontweight="bold")
        energy.set_ylim(0, 1)
        energy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        for axes in panels:
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            _draw_changes(axes, timeline.changes_of(WHOLE_STADIUM))
        for axes in panels[-2:]:
            _draw_time_axis(axes, timeline)
        return _svg(figure)


def _draw_stack(axes: Axes, timeline: Timeline, scope: Scope) -> None:
    moods = timeline.moods[scope]
    for has_shares, at_s, run in _runs(moods, timeline.hop_ms):
        if has_shares:
            shares = np.array([[mood.shares[label] or 0.0 for mood in run if mood.shares] for label in STACKED])
            axes.stackplot(at_s, shares, colors=[LABEL_COLOURS[label] for label in STACKED], linewidth=0)
        else:
            axes.axvspan(at_s[0], at_s[-1], facecolor="#F7F9FA", edgecolor="#D8E0E6", hatch="///", linewidth=0)
    if not any(mood.shares for mood in moods):
        box = {"facecolor": "white", "edgecolor": "none"}
        axes.text(
            0.5, 0.5, "too few readable people throughout", transform=axes.transAxes, ha="center", va="center", bbox=box
        )
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of people")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    changes = timeline.changes_of(scope)
    _draw_changes(axes, changes)
    _label_changes(axes, timeline, changes)


def _label_changes(axes: Axes, timeline: Timeline, changes: Sequence[MoodChange]) -> None:
    """Write the new label above each change, in the first of two rows that has room, or nowhere if none has."""
    room_s = (timeline.end_ms - timeline.start_ms) / 1000 * _NAME_WIDTH
    taken_until_s = [float("-inf")] * 2
    for change in changes:
        at_s = change.as_of_ms / 1000
        row = next((row for row, end_s in enumerate(taken_until_s) if end_s <= at_s), None)
        if row is None:
            continue
        taken_until_s[row] = at_s + room_s
        edge = LABEL_COLOURS.get(change.to_label, _INK)
        axes.annotate(
            f"{change.sequence} {change.to_label}",
            (at_s, 1.0),
            xytext=(0, 7 + 18 * row),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            fontweight="bold",
            bbox={"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": edge, "linewidth": 1.5},
        )


def _draw_people(axes: Axes, timeline: Timeline) -> None:
    for has_shares, at_s, run in _runs(timeline.stadium, timeline.hop_ms):
        if has_shares:
            axes.fill_between(at_s, [mood.people or 0 for mood in run], color="#D3DDE5", linewidth=0)
            axes.fill_between(at_s, [mood.readable or 0 for mood in run], color="#7F97A9", linewidth=0)
    axes.axhline(timeline.min_faces, color=_FAINT, linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("people")


def _draw_cameras(axes: Axes, timeline: Timeline) -> None:
    for row, camera in enumerate(timeline.cameras):
        for period in camera.periods:
            axes.barh(
                row,
                (period.end_ms - period.start_ms) / 1000,
                left=period.start_ms / 1000,
                height=0.6,
                color=STATE_COLOURS.get(period.state, _FAINT),
                edgecolor="#C9D3DB",
                linewidth=0.5,
            )
    axes.set_yticks(range(len(timeline.cameras)), [camera.camera for camera in timeline.cameras])
    axes.set_ylim(len(timeline.cameras) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _draw_interval(axes: Axes, timeline: Timeline, colour: str, interval: Callable[[Mood], _Interval]) -> None:
    missing = []
    for has_shares, at_s, run in _runs(timeline.stadium, timeline.hop_ms):
        if has_shares:
            middle, low, high = np.array([interval(mood) for mood in run], np.float64).T  # None becomes NaN, a hole
            axes.fill_between(at_s, low, high, color=colour, alpha=0.3, linewidth=0)
            axes.plot(at_s, middle, color=colour, linewidth=1.6)
            missing.append(bool(np.isnan(middle).all()))
    if missing and all(missing):
        axes.text(0.5, 0.5, "not available from this network", transform=axes.transAxes, ha="center", va="center")


def _share(label: str, mood: Mood) -> _Interval:
    assert mood.shares and mood.low and mood.high  # only moods with figures are drawn
    return mood.shares[label], mood.low[label], mood.high[label]


def _valence(mood: Mood) -> _Interval:
    return mood.valence, mood.valence_low, mood.valence_high


def _energy(mood: Mood) -> _Interval:
    return mood.energy, mood.energy_low, mood.energy_high


def _runs(moods: Sequence[Mood], hop_ms: int) -> Iterator[tuple[bool, NDArray[np.float64], list[Mood]]]:
    """Split moods into runs without gaps, in which either all moods have shares or none has.

    Args:
        moods: Moods of one scope, oldest first.
        hop_ms: Event time between the ends of two windows, in milliseconds.

    Yields:
        Whether the moods have shares, N times in seconds, and the N moods to draw at these times. The first mood occurs
        twice, because it covers the time since the mood before it.
    """
    every = max(1, math.ceil(len(moods) / _MAX_POINTS))
    step_ms = every * hop_ms
    drawn = list(enumerate(moods[::-every][::-1]))
    for (has_shares, _), run in groupby(
        drawn, lambda item: (item[1].shares is not None, item[1].as_of_ms - item[0] * step_ms)
    ):
        members = [mood for _, mood in run]
        at_ms = [members[0].as_of_ms - step_ms, *(mood.as_of_ms for mood in members)]
        yield has_shares, np.array(at_ms) / 1000, [members[0], *members]


def _draw_changes(axes: Axes, changes: Sequence[MoodChange]) -> None:
    strength = min(1.0, 30 / max(len(changes), 1))
    for change in changes:
        axes.axvline(change.as_of_ms / 1000, color=_INK, linewidth=1, linestyle=(0, (4, 3)), alpha=strength)


def _draw_time_axis(axes: Axes, timeline: Timeline) -> None:
    start_s, end_s = timeline.start_ms / 1000, timeline.end_ms / 1000
    step_s = next((s for s in _TICKS_S if (end_s - start_s) / s <= _MAX_TICKS), _TICKS_S[-1])
    axes.set_xlim(start_s, max(end_s, start_s + 1))
    axes.xaxis.set_major_locator(MultipleLocator(step_s))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at_s, _: clock(at_s)))
    axes.set_xlabel("match time")


def clock(at_s: float) -> str:
    """Format seconds of match time as `mm:ss`. Minutes are counted beyond an hour, as in a match."""
    return f"{int(at_s) // 60:02d}:{int(at_s) % 60:02d}"


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
