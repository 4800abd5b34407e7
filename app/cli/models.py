"""`crowdmood models use`; what it needs is imported when it runs."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import load

_USED_WITHIN_S = 60.0


def use(
    folder: Annotated[Path | None, typer.Argument(help="A model folder, at this path on every machine.")] = None,
    configured: Annotated[
        bool, typer.Option("--configured", help="Go back to the model that the settings name.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Directory of the embedded servers.", file_okay=False)
    ] = None,
) -> None:
    """Swap the network of a running installation: no frame is lost, and one that does not fit is refused."""
    from app.check import addresses
    from classifier import model_choice

    if (folder is None) != configured:
        raise SettingsError("name a model folder, or --configured: one of them")
    overrides: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    settings = load(**overrides)
    bus_url, state_url = map(SecretStr, addresses(settings))
    settings = settings.model_copy(update={"bus_url": bus_url, "state_url": state_url})
    if folder is None:
        model_choice.forget(settings)
        print("classifiers go back to the model of their settings")
        return
    choice = model_choice.choose(settings, folder)
    workers = model_choice.wait_until_used(settings, choice, _USED_WITHIN_S)
    print(f"{choice.model_id} is used by {', '.join(workers) or 'the next classifier that starts'}")
