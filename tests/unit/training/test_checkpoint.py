"""What is kept is given again for the same inputs only, and never half."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from training.checkpoint import cached

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def never() -> np.ndarray:
    raise AssertionError("computed again")


def test_the_same_inputs_are_computed_once_and_others_again(tmp_path: Path) -> None:
    assert np.array_equal(cached(tmp_path, "teachers", ["a", "b"], VALUES.copy), VALUES)
    assert np.array_equal(cached(tmp_path, "teachers", ["a", "b"], never), VALUES)
    for number, other in enumerate([["a"], ["b", "a"], ["ab"], ["a", "b", ""], ["a', 'b"]]):
        others = VALUES + number + 1
        assert np.array_equal(cached(tmp_path, "teachers", other, others.copy), others)
    with pytest.raises(AssertionError, match="computed again"):
        cached(tmp_path, "features", ["a", "b"], never)
    assert np.array_equal(cached(tmp_path, "teachers", ["a", "b"], never), VALUES)


def test_a_run_that_was_killed_while_it_wrote_does_not_break_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(file: BinaryIO, array: np.ndarray, **options: object) -> None:
        file.write(b"\x93NUMPY half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(np, "save", killed)
        cached(tmp_path, "teachers", ["a"], VALUES.copy)
    assert len(list(tmp_path.iterdir())) == 1  # the half that was written, under another name
    assert np.array_equal(cached(tmp_path, "teachers", ["a"], VALUES.copy), VALUES)
