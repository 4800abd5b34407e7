"""Print what the changelog says about a release: `python deploy/release_notes.py v0.1.0`.

A tag whose version the project, the chart or the changelog does not have is refused: it would publish something else.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def release_notes(tag: str, root: Path = ROOT) -> str:
    """Return the changelog's section of a release, without its heading.

    Args:
        tag: A tag such as `v0.1.0`.
        root: The top of a working tree.

    Raises:
        ValueError: The tag is no version, or not the one that the files have.
    """
    version = tag.removeprefix("v")
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        raise ValueError(f"{tag!r} is no version: a tag of a release is v1.2.3")
    projects = {
        path.relative_to(root).as_posix(): tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"]
        for path in (root / "pyproject.toml", *sorted(root.glob("clients/*/pyproject.toml")))
    }
    chart = re.findall(r"^(?:appVersion|version): (\S+)$", (root / "deploy/chart/Chart.yaml").read_text(), re.MULTILINE)
    for file, found in (*projects.items(), *(("deploy/chart/Chart.yaml", stated) for stated in chart)):
        if found != version:
            raise ValueError(f"{file} has version {found}, the tag is {tag}: change the file, or tag the right commit")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## \[{re.escape(version)}\].*?$(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if section is None or not section[1].strip():
        raise ValueError(f"CHANGELOG.md says nothing about {version}: move what is under Unreleased")
    return section[1].strip() + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(release_notes(sys.argv[1] if len(sys.argv) == 2 else ""))
    except ValueError as error:
        sys.exit(f"release_notes: {error}")
