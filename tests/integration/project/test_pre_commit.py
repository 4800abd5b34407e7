"""The hooks before a commit, run as Git runs them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TIDY = 'GREETING = "hello"\n'
UNTIDY = "GREETING = 'hello'\n"


def run(*words: str, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PRE_COMMIT_HOME": str(home), "GIT_CONFIG_GLOBAL": os.devnull}
    # Git sets some for its hooks: these tests may run in one.
    environment = {
        name: value for name, value in environment.items() if not name.startswith("GIT_") or name == "GIT_CONFIG_GLOBAL"
    }
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with the project's hooks installed, and the tools of this environment."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
    (clone / ".venv").symlink_to(sys.prefix)
    (clone / ".gitignore").write_text(".venv\n")
    for words in (
        ["git", "init", "--quiet"],
        ["git", "config", "user.email", "tester@example.org"],
        ["git", "config", "user.name", "Tester"],
        [f"{sys.prefix}/bin/pre-commit", "install"],
    ):
        done = run(*words, cwd=clone, home=tmp_path / "home")
        assert done.returncode == 0, done.stdout + done.stderr
    return clone


@pytest.mark.parametrize(("text", "hook", "refused"), [(TIDY, "format", False), (UNTIDY, "format", True)])
def test_a_commit_is_refused_when_a_check_fails(clone: Path, text: str, hook: str, refused: bool) -> None:
    (clone / "greeting.py").write_text(text)
    home = clone.parent / "home"
    assert run("git", "add", "greeting.py", cwd=clone, home=home).returncode == 0
    others = "bandit,mypy,mypy-client,lint-imports,ruff-check"  # which need the whole project
    words = ["env", f"SKIP={others}", "git", "commit", "--message", "Add a greeting"]
    done = run(*words, cwd=clone, home=home)
    line = next(line for line in done.stderr.splitlines() if line.startswith(f"{hook}."))
    assert line.endswith("Failed" if refused else "Passed"), done.stderr
    assert (done.returncode != 0) is refused
    committed = run("git", "rev-parse", "--verify", "--quiet", "HEAD", cwd=clone, home=home).returncode == 0
    assert committed is not refused
