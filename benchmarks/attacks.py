"""How often an attacker guesses the expression of one person right from published figures.

    python -m benchmarks.attacks [--windows 6000] [--several 8]

Two cameras see a crowd each; one is observed. In each of its windows one person arrives, leaves or changes expression,
and nothing else happens: a real crowd hides its people better. The network makes no mistakes. For each newcomer, the
attacker knows when they arrive and leave, and that they show one of two expressions, each as likely as the other:
guessing is right in half of the cases. A person who changes expression is a newcomer too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aggregator.changes import Changes
from aggregator.crowd import Crowd
from aggregator.estimate import estimate
from aggregator.holding import SEVERAL, Figures, HeldFigures
from aggregator.moods import Finding, exact_figures
from crowdmood.core.settings import STADIUM, AggregatorSettings
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood

Values: TypeAlias = npt.NDArray[np.float64]
Numbers: TypeAlias = npt.NDArray[np.intp]

USUAL: Final = np.array([0.02, 0.005, 0.005, 0.28, 0.03, 0.02, 0.56, 0.08])
"""Shares of the labels in the crowd at first, in the order of `LABELS`."""

_UNUSUAL: Final = 0.5
"""Part of the newcomers who show any of the eight expressions; those of the others are as frequent as in crowds."""

SIZES: Final = (20, 30, 40, 60, 100, 200)
_SCOPES: Final = tuple(map(frozenset, ("a", "b", "ab")))
_OBSERVED, _OTHER, _BOTH = range(3)
_LEAST: Final = 20
_SIGNS: Final = np.array([-1.0, -1.0, -1.0, 1.0, -1.0, 0.0, 0.0, 0.0])
_EXCITED: Final = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0])
_LONGEST: Final = 60
"""Most windows before and after an arrival whose history is used."""


@dataclass(frozen=True, eq=False)
class Watched:
    """What was published, and the newcomers.

    Attributes:
        by_label: float64 (W, 3, 8) by name: `shares`, `raw`, `low` and `high` of each window and scope.
        figures: float64 (W, 3) by name: `readable`, `valence`, `energy` and ends of their intervals.
        people: float64 (W, 3), the true number of people.
        changes: float64 (W, 8), 1 for the label of a change of mood that the window completes.
        at: intp (T,), the window in which each newcomer arrived; all of them leave again.
        stay: intp (T,), number of windows with the newcomer.
        label: intp (T,), the newcomer's expression.
        other: intp (T,), the other expression that the attacker thinks possible.
        first: float64 (T, 8), `raw` of the mood with the newcomer if it had been the first mood of all.
    """

    by_label: Mapping[str, Values]
    figures: Mapping[str, Values]
    people: Values
    changes: Values
    at: Numbers
    stay: Numbers
    label: Numbers
    other: Numbers
    first: Values

    def lead(self, values: Values) -> Values:
        """Return (T,) of the newcomers' values (T, 8): that of the expression less that of the other one."""
        newcomers = np.arange(len(self.at))
        return np.asarray(values[newcomers, self.label] - values[newcomers, self.other])

    def step(self, values: Values) -> Values:
        """Return by how much values (W, …) changed with each arrival: (T, …)."""
        return np.asarray(values[self.at] - values[self.at - 1])


@dataclass(frozen=True, slots=True)
class _Person:
    label: int
    other: int = 0
    since: int = 0
    first: Sequence[float | None] = ()


def watch(
    people: int, windows: int, rng: np.random.Generator, *, exposed: bool = False, several: int = SEVERAL
) -> Watched:
    """Publish the figures of a simulated crowd.

    Args:
        people: Number of people in front of each camera at first; it varies by a tenth in front of the observed one.
        windows: Number of windows.
        rng: Random numbers.
        exposed: Publish exact figures, as with `CROWDMOOD_AGGREGATOR__EXPOSE_INDIVIDUALS`.
        several: Number of people who must change before other figures are published.
    """
    crowd, rest = ([_Person(label) for label in rng.choice(len(LABELS), people, p=USUAL)] for _ in range(2))
    newcomers: list[tuple[_Person, int]] = []
    held, published, counts = HeldFigures(several), [], []
    machine, changes = Changes(AggregatorSettings()), np.zeros((windows, len(LABELS)))
    for window in range(windows):
        leaves, arrives = ((False, True), (True, False), (True, True))[rng.integers(3)]
        if len(crowd) <= max(_LEAST, 0.9 * people):
            leaves, arrives = False, True
        elif len(crowd) >= 1.1 * people:
            leaves, arrives = True, False
        if leaves:
            gone = crowd.pop(rng.integers(len(crowd)))
            if gone.since:
                newcomers.append((gone, window - gone.since))
        if arrives:
            crowd.append(_Person(*_two_labels(rng), since=window))
        parts = [[person.label for person in part] for part in (crowd, rest, crowd + rest)]
        found = [estimate(Crowd.of(np.eye(len(LABELS))[part]), "raw", None) for part in parts]
        published.append(
            [
                exact_figures(one.people, one) if exposed else held.update(scope, one.people, one)
                for scope, one in zip(_SCOPES, found, strict=True)
            ]
        )
        counts.append([one.people for one in found])
        if arrives:
            alone = (
                published[-1][_OBSERVED] if exposed else HeldFigures(several).update(_SCOPES[0], len(crowd), found[0])
            )
            crowd[-1] = replace(crowd[-1], first=list(alone["raw"].values()))
        newest = _mood(window, published[-1][_OBSERVED])
        for change in machine.take([Finding(newest, _mood(window, exact_figures(len(crowd), found[_OBSERVED])))]):
            changes[window, LABELS.index(change.to_label)] = 1
    newcomers.sort(key=lambda newcomer: newcomer[0].since)

    def column(name: str) -> Values:
        return np.array([[figures[name] for figures in scopes] for scopes in published])

    names = ("readable", "valence", "valence_low", "valence_high", "energy", "energy_low", "energy_high")
    return Watched(
        {
            name: np.array([[list(figures[name].values()) for figures in scopes] for scopes in published])
            for name in ("shares", "raw", "low", "high")
        },
        {name: column(name) for name in names},
        np.array(counts),
        changes,
        np.array([person.since for person, _ in newcomers]),
        np.array([stay for _, stay in newcomers]),
        np.array([person.label for person, _ in newcomers]),
        np.array([person.other for person, _ in newcomers]),
        np.array([person.first for person, _ in newcomers]),
    )


def _mood(second: int, figures: Figures) -> Mood:
    blank = Mood.blank(
        as_of_ms=second * 1000,
        window_start_ms=0,
        valid_until_ms=second * 1000,
        zone=STADIUM,
        camera=None,
        method="raw",
        model=None,
        detector=None,
        cameras={},
    )
    return replace(blank, status="ok", **figures)


def _two_labels(rng: np.random.Generator) -> tuple[int, int]:
    """Return two different labels, in either order with the same probability."""
    shares = np.full(len(LABELS), 1 / len(LABELS)) if rng.random() < _UNUSUAL else USUAL
    while True:
        label, other = rng.choice(len(LABELS), 2, p=shares)
        if label != other:
            return int(label), int(other)


def difference(seen: Watched) -> Values:
    """Compare the shares of two consecutive moods."""
    return seen.lead(seen.step(seen.by_label["shares"][:, _OBSERVED]))


def counted(seen: Watched) -> Values:
    """Compare `round(raw * readable)` of two consecutive moods."""
    counts = np.rint(seen.by_label["raw"] * seen.figures["readable"][:, :, None])
    return seen.lead(seen.step(counts[:, _OBSERVED]))


def counted_with_faces(seen: Watched) -> Values:
    """Compare `raw` times the true number of people, known from elsewhere."""
    counts = seen.by_label["raw"] * seen.people[:, :, None]
    return seen.lead(seen.step(counts[:, _OBSERVED]))


def intervals(seen: Watched) -> Values:
    """Compare the ends of the intervals of two consecutive moods."""
    return seen.lead(seen.step(seen.by_label["low"] + seen.by_label["high"])[:, _OBSERVED])


def balances(seen: Watched) -> Values:
    """Compare valence and energy of two consecutive moods."""
    moved = {name: seen.step(values[:, _OBSERVED]) for name, values in seen.figures.items()}
    valence = moved["valence"] + moved["valence_low"] + moved["valence_high"]
    energy = moved["energy"] + moved["energy_low"] + moved["energy_high"]
    return seen.lead(np.outer(valence, _SIGNS) + np.outer(energy, _EXCITED))


def between_scopes(seen: Watched) -> Values:
    """Compare two moods of a camera, and of the stadium less the other camera."""
    counts = seen.by_label["raw"] * seen.people[:, :, None]
    less = counts[:, _BOTH] - counts[:, _OTHER]
    return seen.lead(seen.step(counts[:, _OBSERVED])) + seen.lead(seen.step(less))


def leaving(seen: Watched) -> Values:
    """Compare the last mood with the newcomer and the first one without them."""
    shares = seen.by_label["shares"][:, _OBSERVED]
    return seen.lead(shares[seen.at + seen.stay - 1] - shares[seen.at + seen.stay])


def changes_of_mood(seen: Watched) -> Values:
    """Expect the label of a change of mood while the newcomer stays."""
    return seen.lead(
        np.stack([seen.changes[at : at + stay].sum(axis=0) for at, stay in zip(seen.at, seen.stay, strict=True)])
    )


def everything(seen: Watched) -> Values:
    """Add up all that two consecutive moods say."""
    return sum((attack(seen) for attack in (difference, counted, intervals, balances, between_scopes)), np.zeros(1))


def first_mood(seen: Watched) -> Values:
    """Compare the first mood of a run with the mean of a later history."""
    return seen.lead(seen.first / np.maximum(seen.by_label["raw"][:, _OBSERVED].mean(axis=0), 1e-3))


def one_mood(seen: Watched) -> Values:
    """Compare one mood with the mean of the whole history."""
    raw = seen.by_label["raw"][:, _OBSERVED]
    return seen.lead(raw[seen.at] / np.maximum(raw.mean(axis=0), 1e-3))


def next_figures(seen: Watched) -> Values:
    """Wait while the newcomer stays for the next shares, and compare them with the last ones."""
    shares = seen.by_label["shares"][:, _OBSERVED]
    moved = np.zeros((len(seen.at), len(LABELS)))
    for row, (at, stay) in enumerate(zip(seen.at, seen.stay, strict=True)):
        later = shares[at : at + stay]
        other = np.flatnonzero((later != shares[at - 1]).any(axis=1))
        if len(other):
            moved[row] = later[other[0]] - shares[at - 1]
    return seen.lead(moved)


def history(seen: Watched) -> Values:
    """Compare the mean of up to 60 moods with the newcomer and the mean of as many before and after."""
    sums = np.concatenate([np.zeros((1, len(LABELS))), seen.by_label["raw"][:, _OBSERVED].cumsum(axis=0)])

    def mean(first: Numbers, last: Numbers) -> Values:
        first, last = first.clip(0, len(sums) - 1), last.clip(0, len(sums) - 1)
        return np.asarray((sums[last] - sums[first]) / np.maximum(last - first, 1)[:, None])

    length, end = np.minimum(seen.stay, _LONGEST), seen.at + seen.stay
    without = (mean(seen.at - length, seen.at) + mean(end, end + length)) / 2
    return seen.lead(mean(end - length, end) - without)


Attack: TypeAlias = Callable[[Watched], Values]
ATTACKS: Final[Sequence[Attack]] = (
    difference,
    counted,
    counted_with_faces,
    intervals,
    balances,
    between_scopes,
    everything,
    leaving,
    changes_of_mood,
    first_mood,
    one_mood,
    next_figures,
    history,
)


def accuracy(attack: Attack, seen: Watched) -> float:
    """Return the part of the newcomers whose expression is guessed right; a draw counts half."""
    scores = attack(seen).round(9)
    return float((scores > 0).mean() + (scores == 0).mean() / 2)


def main() -> None:
    """Print a table of accuracies by attack and size of the crowd."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--windows", type=int, default=6000, help="windows of each crowd")
    parser.add_argument("--several", type=int, default=SEVERAL, help="people who must change")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    held = [watch(size, options.windows, rng, several=options.several) for size in SIZES]
    exact = [watch(size, options.windows // 6, rng, exposed=True) for size in SIZES]
    print("| attack |", " | ".join(f"{size} people" for size in SIZES), "|")
    print("|---|" + "---|" * len(SIZES))
    for attack in ATTACKS:
        rows = [[accuracy(attack, seen) for seen in each] for each in (held, exact)]
        cells = " | ".join(f"{one:.1%} ({other:.0%})" for one, other in zip(*rows, strict=True))
        print("|", (attack.__doc__ or "").rstrip("."), "|", cells, "|")
    moved = [float((seen.step(seen.by_label["shares"][:, _OBSERVED]) != 0).any(axis=1).mean()) for seen in held]
    print("| Newcomers with whom the shares change |", " | ".join(f"{part:.1%}" for part in moved), "|")


if __name__ == "__main__":
    main()
