"""Processes are killed at random moments, and nothing shows it: the moods are the same bytes."""

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually

from .rig import Installation, installation

PROCESSES = (
    "ingest-0",
    "detector-0",
    "detector-1",
    "classifier-0",
    "aggregator-0",
    "aggregator-1",
    "dispatch-0",
    "api-0",
)
KILLS = int(os.environ.get("RELIABILITY_KILLS", "200"))
SETTINGS: dict[str, Any] = {
    # Entries that were in the hands of several workers that were killed have killed none of them.
    "bus": {"max_deliveries": 100, "claim_idle_s": 2.0},
    "log": {"level": "ERROR"},
}


def told(rig: Installation) -> list[str]:
    return [mood.to_json() for mood in rig.moods()]


def replay(
    folder: Path, cameras: Sequence[dict[str, str]], yunet: dict[str, Any], speed: float | str, kills: int, seed: int
) -> tuple[list[str], dict[str, dict[str, Any]], dict[str, int]]:
    """Moods, ledger and who was killed how often."""
    chance = random.Random(seed)
    with installation(folder, cameras, serve=True, detector=yunet, ingest={"speed": speed}, **SETTINGS) as rig:
        done = 0
        while done < kills and not rig.complete():
            time.sleep(chance.uniform(0.2, 1.4))
            done += rig.kill(chance.choice(PROCESSES))
        eventually(rig.complete, 240)
        return told(rig), rig.settled(), rig.deaths


def check_kills(
    folder: Path,
    cameras: Sequence[dict[str, str]],
    yunet: dict[str, Any],
    expected: Sequence[str],
    speed: float,
    kills: int,
    figures: Callable[..., None],
) -> None:
    deaths: dict[str, int] = {}
    rounds = frames = 0
    while (left := kills - sum(deaths.values())) > 0:
        moods, ledger, killed = replay(folder / f"round-{rounds}", cameras, yunet, speed, left, rounds)
        assert moods == list(expected)
        assert all(row["accepted"] == row["counted"] > 0 for row in ledger.values()), ledger
        frames = sum(row["counted"] for row in ledger.values())
        for name, times in killed.items():
            deaths[name] = deaths.get(name, 0) + times
        rounds += 1
    shown = ", ".join(f"{name} {times}" for name, times in sorted(deaths.items()))
    figures(
        f"{sum(deaths.values())} kills ({shown}) in {rounds} replays of {frames} frames: "
        f"{len(expected)} moods, every byte as undisturbed; the ledger balances, {frames} counted"
    )


def test_a_few_kills_of_short_footage_change_no_byte(
    short_terraces: list[dict[str, str]],
    undisturbed: list[str],
    yunet: dict[str, Any],
    tmp_path: Path,
    figures: Callable[..., None],
) -> None:
    check_kills(tmp_path, short_terraces, yunet, undisturbed, 0.7, 6, figures)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_hundred_kills_of_both_terraces_change_no_byte(
    terraces: list[dict[str, str]], yunet: dict[str, Any], tmp_path: Path, figures: Callable[..., None]
) -> None:
    expected, _, _ = replay(tmp_path / "undisturbed", terraces, yunet, "max", 0, 0)
    check_kills(tmp_path, terraces, yunet, expected, 0.5, KILLS, figures)
