"""Charts of a timeline as SVG: stacked shares above people and cameras, and every share with its interval."""

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
"""State of a camera to its colour; the colours of labels are for labels."""

_MOST_POINTS: Final = 600
"""More than the page is wide enough to show: longer timelines are drawn from every second, third, … mood."""

_NAME_WIDTH: Final = 0.09
"""Of the picture's width, for the name of a change."""

_TICKS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_MOST_TICKS: Final = 10

_Interval: TypeAlias = tuple[float | None, float | None, float | None]
"""A value with the lower and the upper end of its interval; None where the network does not know it."""

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
    "svg.hashsalt": "crowdmood",  # the same figure is the same bytes
    "text.color": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
}


def overview(timeline: Timeline) -> str:
    """The stadium: shares as stacked areas with its changes; how many people they rest on; each camera's state."""
    cameras = len(timeline.coverage)
    heights = [4.0, 0.9, 0.15 + 0.24 * cameras]
    with mpl.rc_context(_STYLE):
        figure = Figure((_WIDTH, sum(heights) + 1.4), layout="constrained")
        shares, people, coverage = figure.subplots(3, 1, sharex=True, height_ratios=heights)
        _draw_stack(shares, timeline, WHOLE_STADIUM)
        _draw_people(people, timeline)
        _draw_coverage(coverage, timeline)
        _match_time(coverage, timeline)
        return _svg(figure)


def stacked(timeline: Timeline, scope: Scope) -> str:
    """One zone or camera: shares as stacked areas, with its changes."""
    with mpl.rc_context(_STYLE):
        figure = Figure((_WIDTH, 2.6), layout="constrained")
        axes = figure.subplots()
        _draw_stack(axes, timeline, scope)
        _match_time(axes, timeline)
        return _svg(figure)


def intervals(timeline: Timeline) -> str:
    """Return the stadium: each label's share, valence and energy, each as a line within its 90 % interval."""
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
        balance.set_title("valence (happy less negative)", loc="left", fontweight="bold")
        balance.set_ylim(-1, 1)
        _draw_interval(energy, timeline, _INK, _energy)
        energy.set_title("energy (cheering and surprise)", loc="left", fontweight="bold")
        energy.set_ylim(0, 1)
        energy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        for axes in panels:
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            _mark(axes, timeline.changes_of(WHOLE_STADIUM))
        for axes in panels[-2:]:
            _match_time(axes, timeline)
        return _svg(figure)


def _draw_stack(axes: Axes, timeline: Timeline, scope: Scope) -> None:
    moods = timeline.moods[scope]
    for told, at_s, spell in _spells(moods, timeline.hop_ms):
        if told:
            shares = np.array([[mood.shares[label] or 0.0 for mood in spell if mood.shares] for label in STACKED])
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
    _mark(axes, changes)
    _name(axes, timeline, changes)


def _name(axes: Axes, timeline: Timeline, changes: Sequence[MoodChange]) -> None:
    """Write above each change what it led to, in the first of two rows that has room; without room the line is left."""
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
    for told, at_s, spell in _spells(timeline.stadium, timeline.hop_ms):
        if told:
            axes.fill_between(at_s, [mood.people or 0 for mood in spell], color="#D3DDE5", linewidth=0)
            axes.fill_between(at_s, [mood.readable or 0 for mood in spell], color="#7F97A9", linewidth=0)
    axes.axhline(timeline.min_faces, color=_FAINT, linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("people")


def _draw_coverage(axes: Axes, timeline: Timeline) -> None:
    for place, camera in enumerate(timeline.coverage):
        for stretch in camera.stretches:
            axes.barh(
                place,
                (stretch.end_ms - stretch.start_ms) / 1000,
                left=stretch.start_ms / 1000,
                height=0.6,
                color=STATE_COLOURS.get(stretch.state, _FAINT),
                edgecolor="#C9D3DB",
                linewidth=0.5,
            )
    axes.set_yticks(range(len(timeline.coverage)), [camera.camera for camera in timeline.coverage])
    axes.set_ylim(len(timeline.coverage) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _draw_interval(axes: Axes, timeline: Timeline, colour: str, of: Callable[[Mood], _Interval]) -> None:
    missing = []
    for told, at_s, spell in _spells(timeline.stadium, timeline.hop_ms):
        if told:
            middle, low, high = np.array([of(mood) for mood in spell], np.float64).T  # None becomes NaN, a hole
            axes.fill_between(at_s, low, high, color=colour, alpha=0.3, linewidth=0)
            axes.plot(at_s, middle, color=colour, linewidth=1.6)
            missing.append(bool(np.isnan(middle).all()))
    if missing and all(missing):
        axes.text(0.5, 0.5, "not known by the network", transform=axes.transAxes, ha="center", va="center")


def _share(label: str, mood: Mood) -> _Interval:
    assert mood.shares and mood.low and mood.high  # of a mood with figures
    return mood.shares[label], mood.low[label], mood.high[label]


def _valence(mood: Mood) -> _Interval:
    return mood.valence, mood.valence_low, mood.valence_high


def _energy(mood: Mood) -> _Interval:
    return mood.energy, mood.energy_low, mood.energy_high


def _spells(moods: Sequence[Mood], hop_ms: int) -> Iterator[tuple[bool, NDArray[np.float64], list[Mood]]]:
    """Unbroken times in which moods have shares, or in which they have none.

    Args:
        moods: Of one scope, oldest first.
        hop_ms: Event time between two windows' ends, in milliseconds.

    Yields:
        Whether there are shares; N times in seconds; the N moods to draw there. The first mood stands twice, since it
        tells of the time since the one before.
    """
    every = max(1, math.ceil(len(moods) / _MOST_POINTS))
    step_ms = every * hop_ms
    drawn = list(enumerate(moods[::-every][::-1]))
    for (told, _), spell in groupby(
        drawn, lambda item: (item[1].shares is not None, item[1].as_of_ms - item[0] * step_ms)
    ):
        members = [mood for _, mood in spell]
        at_ms = [members[0].as_of_ms - step_ms, *(mood.as_of_ms for mood in members)]
        yield told, np.array(at_ms) / 1000, [members[0], *members]


def _mark(axes: Axes, changes: Sequence[MoodChange]) -> None:
    strength = min(1.0, 30 / max(len(changes), 1))
    for change in changes:
        axes.axvline(change.as_of_ms / 1000, color=_INK, linewidth=1, linestyle=(0, (4, 3)), alpha=strength)


def _match_time(axes: Axes, timeline: Timeline) -> None:
    start_s, end_s = timeline.start_ms / 1000, timeline.end_ms / 1000
    step_s = next((s for s in _TICKS_S if (end_s - start_s) / s <= _MOST_TICKS), _TICKS_S[-1])
    axes.set_xlim(start_s, max(end_s, start_s + 1))
    axes.xaxis.set_major_locator(MultipleLocator(step_s))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at_s, _: clock(at_s)))
    axes.set_xlabel("match time")


def clock(at_s: float) -> str:
    """Seconds of match time as `mm:ss`; matches count minutes beyond an hour."""
    return f"{int(at_s) // 60:02d}:{int(at_s) % 60:02d}"


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
