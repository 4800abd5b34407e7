"""How the tests of this folder run the real command."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "crowdmood"]


def crowdmood(*words: str | Path, timeout: float = 280, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def running(*words: str) -> list[int]:
    """Ids of the processes whose command line ends in these words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            except OSError:
                continue
            if tuple(command[-len(words) :]) == words:
                found.append(int(entry.name))
    return found
