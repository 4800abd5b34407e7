"""The number of processors that this process may use: less than the machine's in a container or under `taskset`."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup")


def available(groups: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many processors may be used at once, by affinity and by the quotas of control groups; at least 1.

    Args:
        groups: Where the control groups are mounted.
        own: File with the control groups of this process.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(int(quota) for quota in _quotas(groups, own))]))


def limited() -> int:
    """Return the number of available processors if it is less than the machine's, else 0."""
    return number if (number := available()) < (os.cpu_count() or 1) else 0


def _quotas(groups: Path, own: Path) -> Iterator[float]:
    """Yield the quotas of the groups of this process and of the groups around them, in processors."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        # In a container, the path may be that on the host: then the container's own group is the root.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            yield from _quota(folder)
            if folder == root:
                break


def _quota(folder: Path) -> Iterator[float]:
    """Yield the quota of one group, if it has one: version 2 in one file, version 1 in two."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)
    except (OSError, ValueError):
        return
