"""The command line: all commands, in the order of the help text.

Command functions read settings and print results. They import the modules that do the work only when they are called,
so that `--help` is fast.
"""

import sys
from typing import Annotated

import typer
from rich.console import Console

from app.cli import audit, footage, installation, keys, models, overrides, stages
from app.cli.extras import needs
from app.stages import STAGES
from crowdmood import __version__
from crowdmood.core.errors import CrowdMoodError, StageRefusedError
from detector import cli as detector_cli
from simulator import cli as simulator_cli
from training import cli as training_cli

app = typer.Typer(
    help="Measure the mood of a stadium crowd.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_STAGES = "Commands that run one stage"


def main() -> None:
    """Run a command. Print a `CrowdMoodError` as one line on standard error and exit with its code."""
    try:
        app()
    except CrowdMoodError as error:
        if not isinstance(error, StageRefusedError):
            Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"error: {error}")
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


app.command()(needs("run")(footage.replay))
app.command()(needs("report")(footage.report))
app.command()(needs("run")(footage.preview))
app.command()(needs("run")(installation.run))
app.command(rich_help_panel=_STAGES)(needs(STAGES["ingest"].extra)(stages.ingest))
app.command(rich_help_panel=_STAGES)(needs(STAGES["detector"].extra)(stages.detect))
app.command(rich_help_panel=_STAGES)(needs(STAGES["classifier"].extra)(stages.classify))
app.command(rich_help_panel=_STAGES)(needs(STAGES["aggregator"].extra)(stages.aggregate))
app.command(rich_help_panel=_STAGES)(needs(STAGES["api"].extra)(stages.api))
app.command(rich_help_panel=_STAGES)(needs(STAGES["dispatch"].extra)(stages.dispatch))
app.command()(needs("simulate")(simulator_cli.simulate))
app.command()(needs("train")(training_cli.train))
app.command()(needs("train")(training_cli.evaluate))
app.command()(needs("train")(detector_cli.evaluate_detector))
detector_cli.models.command()(needs("classifier", "models use")(models.use))
app.add_typer(detector_cli.models, name="models")
app.add_typer(keys.keys, name="keys")
app.add_typer(overrides.overrides, name="override")
app.add_typer(audit.audit, name="audit")
app.command()(installation.check)
app.command()(installation.ledger)
app.command()(installation.config)
