"""How the tests of this folder run the real command."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "app"]

# Handed down to every process that is started from here: others of the same name may run on this machine.
os.environ["TESTED_BY"] = str(os.getpid())
_MARK = f"TESTED_BY={os.getpid()}".encode()


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
    """Ids of the processes that these tests started whose command line ends in these words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                ours = _MARK in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if ours and tuple(command[-len(words) :]) == words:
                found.append(int(entry.name))
    return found
