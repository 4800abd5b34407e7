"""Write the bill of materials of a role's image: every Python package that its lock file pins, as CycloneDX 1.6.

    python deploy/sbom.py aggregator > crowdmood-aggregator.cdx.json

The lock files contain versions and hashes, so nothing is downloaded. The packages of the base image are not part of it.
"""

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)(.*?)(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)


def bill(role: str, root: Path = ROOT) -> dict[str, Any]:
    """Return the bill of materials of a role.

    Args:
        role: Name of the role, as that of its lock file in `deploy/requirements`.
        root: Folder of the project.

    Raises:
        ValueError: There is no such role, or its lock file pins nothing.
    """
    lock = root / f"deploy/requirements/{role}.txt"
    if not lock.is_file():
        raise ValueError(f"there is no role {role!r}: {lock} does not exist")
    found = _PINNED.findall(lock.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{lock} pins no package")
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": f"crowdmood-{role}", "version": version}},
        "components": [_component(*pinned) for pinned in found],
    }


def _component(name: str, version: str, rest: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    files = [
        {
            "type": "distribution",
            "url": f"https://pypi.org/project/{name}/{version}/#files",
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for digest in re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)
    ]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "externalReferences": files,
    }


if __name__ == "__main__":
    try:
        print(json.dumps(bill(sys.argv[1]), indent=2))
    except ValueError as error:
        sys.exit(f"error: {error}")
