"""Virtual environments with a few of the installed packages: what an installation sees that has no others."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed(requirements: Iterable[str]) -> dict[str, Distribution]:
    """Return the installed distributions that requirements need, by canonical name."""
    found: dict[str, Distribution] = {}
    todo = [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if not holds(requirement) or (name in found and not requirement.extras):
            continue
        found[name] = distribution(name)
        todo += [each for each in map(Requirement, found[name].requires or ()) if holds(each, requirement.extras)]
    return found


def holds(requirement: Requirement, extras: Iterable[str] = ()) -> bool:
    """Return whether a requirement applies on this machine, for some extras of the package that has it."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def make_environment(folder: Path, requirements: Iterable[str], wheel: Path) -> Path:
    """Make an environment of a wheel and what some requirements need; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    for each in needed(requirements).values():
        for top in tops(each):
            if not (packages / top).exists():  # namespace packages have several owners
                (packages / top).symlink_to(Path(str(each.locate_file(top))))
    python = folder / "bin/python"
    words = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel]
    subprocess.run(words, check=True)
    return python


def tops(found: Distribution) -> Iterator[str]:
    """Yield the files and folders of a distribution that lie in site-packages itself."""
    yield from {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}
