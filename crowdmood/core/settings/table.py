"""The table of all settings in Markdown."""

import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from crowdmood.core.settings.base import Group
from crowdmood.core.settings.tree import Settings

_HEAD = """# Settings

Each setting is an environment variable and a key of `crowdmood.toml` (or of the file that `CROWDMOOD_CONFIG` names):
`CROWDMOOD_BUS__MAX_BACKLOG=64` is `max_backlog = 64` under `[bus]`. The command line overrides the environment, and the
environment overrides the file. `crowdmood config` prints the current settings, `crowdmood config --page` this page.
"""

_BOUNDS = {"ge": "from {}", "gt": "more than {}", "le": "to {}", "lt": "less than {}"}


def page() -> str:
    """Return the page of all settings, in Markdown."""
    return "\n".join([_HEAD, *rows(), ""])


def rows() -> Iterator[str]:
    """Yield the lines of the table in Markdown: variable, default, bounds or choices, description."""
    yield "| setting | default | values | description |"
    yield "|---|---|---|---|"
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Group):
            for inner, inner_field in group.model_fields.items():
                yield _row(f"{name}__{inner}", inner_field)
        else:
            yield _row(name, field)


def _row(name: str, field: FieldInfo) -> str:
    cells = (f"`CROWDMOOD_{name.upper()}`", _default(field), _allowed(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    if field.default_factory not in (None, dict):
        return "depends on the machine"
    if field.default_factory is dict or field.default in (None, (), ""):
        return ""
    default = field.default
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _allowed(field: FieldInfo) -> str:
    if any(bound in str(field.annotation) for bound in ("dict", "tuple")):
        return ""
    bounds = (
        text.format(f"{value:,}".replace(",", " "))
        for item in field.metadata
        for bound, text in _BOUNDS.items()
        if (value := getattr(item, bound, None)) is not None
    )
    return ", ".join([f"`{choice}`" for choice in _choices(field.annotation)] + list(filter(None, [" ".join(bounds)])))


def _choices(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif annotation is bool:
        yield from ("true", "false")
    else:
        for part in get_args(annotation):
            yield from _choices(part)
