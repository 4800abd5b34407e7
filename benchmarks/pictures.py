"""One picture a figure: bars, or curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.results import shown

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Chart

_DPI: Final = 100


def draw(chart: Chart, file: Path) -> None:
    """Draw a chart into a PNG file."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    bars = bool(chart.x) and isinstance(chart.x[0], str)
    height = 1.1 + 0.32 * len(chart.x) * len(chart.series) ** 0.5 if bars else 3.8
    # Powers of ten as plain words: mathematics would look for fonts that no server has.
    with rc_context({"font.family": "DejaVu Sans", "axes.formatter.use_mathtext": False, "axes.spines.top": False}):
        figure = Figure((8, height), layout="constrained")
        axes: Any = figure.subplots()
        (_bars if bars else _curves)(axes, chart)
        if len(chart.series) > 1:
            figure.legend(loc="outside right upper", fontsize="small", frameon=False)
        axes.spines["right"].set_visible(False)
        figure.savefig(file, dpi=_DPI, metadata={"Software": None})


def _bars(axes: Any, chart: Chart) -> None:
    at = np.arange(len(chart.x))[::-1]
    thick = 0.8 / len(chart.series)
    for number, (name, values) in enumerate(chart.series.items()):
        shift = (len(chart.series) / 2 - number - 0.5) * thick
        drawn = axes.barh(at + shift, values, thick, label=name)
        axes.bar_label(drawn, [shown(value) for value in values], padding=3, fontsize="small")
    axes.set_yticks(at, chart.x)
    if chart.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: shown(value))
        axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.margins(x=0.12)
    axes.set_xlabel(chart.y_label)


def _curves(axes: Any, chart: Chart) -> None:
    for name, values in chart.series.items():
        axes.plot(chart.x, values, marker="." if len(chart.x) < 40 else None, label=name)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    if chart.log:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(chart.x)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: shown(value))
            axis.set_minor_formatter(lambda *_: "")
    else:
        axes.set_ylim(bottom=0)
