"""Converts settings back to the environment of a child process."""

import json
from typing import Any

from pydantic import SecretStr

from crowdmood.core.settings.base import Group
from crowdmood.core.settings.sources import CameraAddress
from crowdmood.core.settings.tree import Settings


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the environment with which a child process loads the same settings, secrets included."""
    environment: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Group):
            for field in type(value).model_fields:
                _put(environment, f"CROWDMOOD_{name}__{field}".upper(), getattr(value, field))
        else:
            _put(environment, f"CROWDMOOD_{name}".upper(), value)
    return environment


def _put(environment: dict[str, str], variable: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, SecretStr):
        environment[variable] = value.get_secret_value()
    elif isinstance(value, dict):
        environment[variable] = json.dumps({name: _plain(item) for name, item in value.items()})
    elif isinstance(value, tuple):
        environment[variable] = json.dumps([_plain(item) for item in value])
    else:
        environment[variable] = str(value)


def _plain(item: Any) -> Any:
    if isinstance(item, CameraAddress):
        secrets = {"uri": item.uri.get_secret_value(), "password": item.password.get_secret_value()}
        return item.model_dump(mode="json") | secrets
    return item
