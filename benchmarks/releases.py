"""The release of CrowdNet before it knew cheering, from the history: today's network is compared with it."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.results import MissingError
from classifier.card import load_card

COMMIT: Final = "382d929520e1efdd8d0b4653e9ad04665ea86aaf"
"""The last commit with that release."""

METHOD: Final = "sld"
"""How that release estimated shares by default."""

_FOLDER: Final = "classifier/models/crowdnet"
_ROOT: Final = Path(__file__).parents[1]


def earlier_release(work: Path, repository: Path = _ROOT, commit: str = COMMIT) -> Path:
    """Return the model folder of the earlier release; extract it from the history unless an earlier run did.

    Args:
        work: Folder of the benchmarks; the release is kept in it.
        repository: Folder of the project.
        commit: The full hash of the commit that holds the release.

    Raises:
        MissingError: The folder is no git repository, git is not installed, or the history lacks the commit.
    """
    kept = work / "releases" / commit[:12]
    if not kept.is_dir():
        archive = _archive(repository, commit)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as unfinished:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(unfinished, filter="data")
            model = Path(unfinished) / _FOLDER
            load_card(model)
            model.replace(kept)
    return kept


def _archive(repository: Path, commit: str) -> bytes:
    """Return the model folder of a commit as a tar file."""
    command = ["git", "archive", "--format=tar", commit, _FOLDER]
    # A folder that lies inside another project's repository is not searched for its commits.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(repository.resolve().parent)}
    try:
        return subprocess.run(command, cwd=repository, capture_output=True, check=True, env=environment).stdout
    except (OSError, subprocess.CalledProcessError):
        raise MissingError(
            f"the earlier release of CrowdNet: commit {commit[:12]} is not in this clone's history; "
            "fetch it with `git fetch --unshallow`"
        ) from None
