"""`python -m facebank` draws or measures the bank."""

import typer

from facebank.build import main

typer.run(main)
