"""The number of processors that a process may use, from its affinity and from quotas of control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crowdmood.core import processors

ALL = len(os.sched_getaffinity(0))


def groups(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "groups").mkdir(exist_ok=True)
    return folder / "groups"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("", {}, ALL),
        ("0::/\n", {}, ALL),
        ("0::/\n", {"cpu.max": "max 100000\n"}, ALL),
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),  # a fifth of a processor
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, ALL),  # more than the machine has
        ("0::/pods/mine\n", {"pods/mine/cpu.max": "max 100000\n", "pods/cpu.max": "100000 100000\n"}, 1),
        ("0::/on/the/host\n", {"cpu.max": "100000 100000\n"}, 1),  # a container sees its own group as the root
        ("4:cpu,cpuacct:/\n", {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, ALL),
        ("4:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "50000"}, 1),
        ("3:cpuset:/a\n", {"cpuset/a/cpu.cfs_quota_us": "50000", "cpuset/a/cpu.cfs_period_us": "50000"}, ALL),
        ("0::/\n", {"cpu.max": "damaged"}, ALL),
    ],
)
def test_counts_what_the_quotas_of_the_groups_allow(
    tmp_path: Path, own: str, files: dict[str, str], expected: int
) -> None:
    (tmp_path / "own").write_text(own)
    assert processors.available(groups(tmp_path, files), tmp_path / "own") == expected


def test_a_machine_without_control_groups_has_its_processors(tmp_path: Path) -> None:
    assert processors.available(tmp_path, tmp_path / "missing") == ALL


def test_a_process_that_is_bound_to_one_processor_starts_one_detector() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
        "from crowdmood.core.settings import load; from crowdmood.core import processors; "
        "print(load().run.detectors, processors.limited() if os.cpu_count() > 1 else 1)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"]
