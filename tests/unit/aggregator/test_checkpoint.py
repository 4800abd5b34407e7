"""A checkpoint with damaged figures is found before an aggregator continues from it."""

from typing import Any

import numpy as np
import pytest

from aggregator.checkpoint import check
from aggregator.crowd import Crowd
from aggregator.estimate import estimate
from aggregator.holding import HeldFigures
from crowdmood.core.errors import UndecodableError


def checkpoint() -> dict[str, Any]:
    held = HeldFigures()
    held.update(frozenset({"north"}), 30, estimate(Crowd.of(np.eye(8)[[3] * 20 + [6] * 10]), "raw", None))
    windows = {"last_end_ms": None, "first_ms": None, "retired": [], "closed": {}, "runs": []}
    return {"windows": windows, "cameras": {}, "changes": {}, "figures": held.snapshot()}


def test_figures_that_were_held_are_accepted() -> None:
    check(checkpoint())


def test_a_checkpoint_of_an_earlier_release_has_no_figures() -> None:
    earlier = checkpoint()
    del earlier["figures"]
    check(earlier)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("people", "30"),
        ("readable", -5),
        ("shares", {"happy": 1.0}),
        ("raw", None),
        ("low", dict.fromkeys(["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "cheering"], -0.5)),
        ("dominant", "bored"),
        ("valence", 2.0),
        ("energy", "much"),
        ("method", 1),
    ],
)
def test_damaged_figures_are_refused(name: str, value: object) -> None:
    damaged = checkpoint()
    damaged["figures"][0]["figures"][name] = value
    with pytest.raises(UndecodableError, match=f"figures.{name}"):
        check(damaged)
