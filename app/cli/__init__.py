"""The command line: every command, in the order in which help shows them.

Commands read settings and print answers. They must not do the work themselves: what does it is imported only when a
command is called, so that help comes at once.
"""

import sys
from typing import Annotated

import typer
from rich.console import Console

from app.cli import footage, installation, keys, models, stages
from crowdmood import __version__
from crowdmood.core.errors import CrowdMoodError, StageRefusedError
from detector import cli as detector_cli
from simulator import cli as simulator_cli
from training import cli as training_cli

app = typer.Typer(
    help="CrowdMood: the mood of a stadium crowd, measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Run a command; what CrowdMood raises on purpose becomes one line on standard error and an exit code."""
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


app.command()(footage.replay)
app.command()(footage.report)
app.command()(installation.run)
app.command()(stages.ingest)
app.command()(stages.detect)
app.command()(stages.classify)
app.command()(stages.aggregate)
app.command()(stages.api)
app.command()(stages.dispatch)
app.command()(simulator_cli.simulate)
app.command()(training_cli.train)
app.command()(training_cli.evaluate)
app.command()(detector_cli.evaluate_detector)
detector_cli.models.command()(models.use)
app.add_typer(detector_cli.models, name="models")
app.add_typer(keys.keys, name="keys")
app.command()(footage.preview)
app.command()(installation.check)
app.command()(installation.ledger)
app.command()(installation.config)
