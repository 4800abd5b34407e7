"""Settings, metrics, commands and fields of messages are used and documented."""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase
from typer.main import get_command

from app.cli import app
from crowdmood.core import metrics
from crowdmood.core.settings import CameraSettings, Group, Settings
from crowdmood.domain.messages import CameraState, Emotions, Faces, Frame, FrameRef, FramesLost

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
INSTALLED = [name.replace(".", "/") for name in SETUPTOOLS["packages"]]
METRICS = {name: found for name, found in vars(metrics).items() if isinstance(found, MetricWrapperBase)}
MESSAGES = (Frame, Faces, Emotions, FramesLost, CameraState, FrameRef)

UNREAD = {
    "Faces.scores",  # part of the design, for stages that others write
}


@cache
def code() -> dict[str, ast.Module]:
    """Return the syntax tree of every installed module, by path."""
    files = {path for folder in INSTALLED for path in (ROOT / folder).glob("*.py")}
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(files)}


def nodes(file: str, kind: type[T]) -> Iterator[T]:
    return (node for node in ast.walk(code()[file]) if isinstance(node, kind))


@cache
def read_in(file: str) -> set[str]:
    """Return the names of the attributes that a module reads."""
    return {node.attr for node in nodes(file, ast.Attribute) if isinstance(node.ctx, ast.Load)}


@cache
def names_in(file: str) -> set[str]:
    """Return the names that a module uses, and those of the attributes that it reads."""
    return {node.id for node in nodes(file, ast.Name)} | read_in(file)


def settings() -> Iterator[tuple[str, set[str]]]:
    """Yield every setting, with the names of which a module that reads it uses one: its group or the group's class."""
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Group):
            yield from ((f"{name}.{inner}", {name, group.__name__}) for inner in group.model_fields)
        else:
            yield name, {"settings", "Settings"}
    yield from ((f"cameras.{name}", {"camera", "CameraSettings"}) for name in CameraSettings.model_fields)


def test_every_setting_is_read() -> None:
    readers = [file for file in code() if not file.startswith("crowdmood/core/settings/")]
    unread = [
        name
        for name, names in settings()
        if not any(name.rpartition(".")[2] in read_in(file) and names & names_in(file) for file in readers)
    ]
    assert unread == ["camera_addresses"]  # `load` puts them into `cameras`


def test_every_metric_is_set() -> None:
    set_ = set().union(*(read_in(file) for file in code() if file != "crowdmood/core/metrics.py"))
    assert [name for name in METRICS if name not in set_] == []


def label_names(metric: str) -> list[str]:
    """Return the labels that the definition of a metric names: the third argument, after name and help."""
    (definition,) = (
        call
        for call in nodes("crowdmood/core/metrics.py", ast.Call)
        if call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value in (metric, f"{metric}_total")
    )
    return ast.literal_eval(definition.args[2]) if len(definition.args) > 2 else []


def test_operations_list_every_metric() -> None:
    rows = ["| metric | labels | meaning |", "|---|---|---|"]
    for found in METRICS.values():
        (metric,) = found.describe()
        name = metric.name + ("_total" if isinstance(found, Counter) else "")
        labels = ", ".join(f"`{label}`" for label in label_names(metric.name))
        rows.append(f"| `{name}` | {labels} | {metric.documentation} |")
    written = (ROOT / "docs/operations.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    assert [line for line in written.splitlines() if line.startswith("|")] == rows


def commands(group: Any, words: str = "crowdmood") -> Iterator[str]:
    for name, command in group.commands.items():
        yield from commands(command, f"{words} {name}") if hasattr(command, "commands") else [f"{words} {name}"]


def test_the_readme_lists_every_command() -> None:
    table = (ROOT / "README.md").read_text().partition("| command |")[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines()]
    for command in commands(get_command(app)):
        # A row has the full name of a command, and may have the last words of others in its group.
        family, _, name = command.rpartition(" ")
        assert any(re.search(rf"`({family} )?{name}\b(?!-)", row) and f"`{family} " in row for row in rows), command


def readers(message: type[Any]) -> Iterator[str]:
    """Yield the modules that import a kind of message and do not create it."""
    name = "Emotions" if message is FrameRef else message.__name__  # Emotions contain it
    for file in code():
        imports = (node for node in nodes(file, ast.ImportFrom) if node.module == "crowdmood.domain.messages")
        made = {node.func.id for node in nodes(file, ast.Call) if isinstance(node.func, ast.Name)}
        if name in {alias.name for node in imports for alias in node.names} - made:
            yield file


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_every_field_of_a_message_is_documented_and_read_by_a_receiver(message: type[Any]) -> None:
    names = {field.name for field in fields(message)}
    assert names <= set(re.findall(r"^ {4}(\w+): ", inspect.getdoc(message) or "", re.MULTILINE))
    read = set().union(*(read_in(file) for file in readers(message)))
    assert {f"{message.__name__}.{name}" for name in names - read} <= UNREAD
