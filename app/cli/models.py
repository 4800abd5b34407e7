"""`crowdmood models use`: switch the network of a running installation."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from app.cli.processes import DataDir, settings_for
from crowdmood.core.errors import SettingsError

_USED_WITHIN_S = 60.0


def use(
    folder: Annotated[
        Path | None, typer.Argument(help="Model folder. It must be at this path on every machine.")
    ] = None,
    configured: Annotated[bool, typer.Option("--configured", help="Return to the model of the settings.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Switch the network of a running installation. No frame is lost; an unsuitable network is refused."""
    from app.check import server_urls
    from classifier import model_choice

    if (folder is None) != configured:
        raise SettingsError("give either a model folder or --configured")
    settings = settings_for(data_dir)
    bus_url, state_url = map(SecretStr, server_urls(settings))
    settings = settings.model_copy(update={"bus_url": bus_url, "state_url": state_url})
    if folder is None:
        model_choice.forget(settings)
        print("classifiers return to the model of the settings")
        return
    choice = model_choice.choose(settings, folder)
    workers = model_choice.wait_until_used(settings, choice, _USED_WITHIN_S)
    print(f"{choice.model_id} is used by {', '.join(workers) or 'the next classifier that starts'}")
