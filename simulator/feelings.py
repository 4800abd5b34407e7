"""What each person's face shows and arms do over the match, as a list of changes."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdmood import LABELS
from simulator.people import Gesture
from simulator.script import CALM, REACTIONS

if TYPE_CHECKING:
    from simulator.script import Event, Reaction

_NOTICE: Final = 0.93
_DELAY_S: Final = (0.15, 1.4)
_SHORTEST_S: Final = 1.5
_GESTURE_S: Final = 7.0
_JUMPING: Final = 0.5
_HAPPY: Final = LABELS.index("happy")


@dataclass(frozen=True, slots=True)
class State:
    """What a person does from a moment on.

    Attributes:
        from_s: Since when, in seconds.
        label: What the face shows, a code 0-6.
        gesture: What the arms do.
        jumps: Whether the person jumps up and down.
    """

    from_s: float
    label: int
    gesture: Gesture = Gesture.NONE
    jumps: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """One person's states in the order of time; the first one begins at 0."""

    states: tuple[State, ...]

    def at(self, at_s: float) -> State:
        """The state at a moment; a state holds from its beginning, inclusively, to the next one's."""
        return self.states[bisect_right(self.states, at_s, key=lambda state: state.from_s) - 1]


def live_through(script: tuple[Event, ...], camera: str, duration_s: float, rng: np.random.Generator) -> Timeline:
    """Draws how one person of a stand lives through the script.

    People change their expression on their own now and then; most notice an event, each after a moment of their own,
    and fall back into calm when it has worn off.
    """
    states = [State(0.0, _draw(CALM, rng))]
    _drift(states, duration_s, rng)
    for event in script:
        if not event.concerns(camera) or rng.random() >= _NOTICE:
            continue
        reaction = REACTIONS[event.event]
        begin_s = event.at_s + rng.uniform(*_DELAY_S)
        end_s = begin_s + max(_SHORTEST_S, reaction.hold_s * rng.lognormal(-0.03, 0.25))
        label, gesture = _draw(reaction, rng), _gesture(reaction, rng)
        jumps = reaction.excitement >= 1 and label == _HAPPY and rng.random() < _JUMPING
        # Whatever would have come after this moment does not.
        states = [state for state in states if state.from_s < begin_s]
        states.append(State(begin_s, label, gesture, jumps))
        if gesture is not Gesture.NONE or jumps:
            states.append(State(min(begin_s + _GESTURE_S * rng.uniform(0.5, 1.2), end_s), label))
        states.append(State(end_s, _draw(CALM, rng)))
        _drift(states, duration_s, rng)
    return Timeline(tuple(states))


def _drift(states: list[State], to_s: float, rng: np.random.Generator) -> None:
    """Adds changes without any cause after the last state."""
    at_s = states[-1].from_s
    while (at_s := at_s + _SHORTEST_S + rng.exponential(CALM.hold_s)) < to_s:
        states.append(State(at_s, _draw(CALM, rng)))


def _draw(reaction: Reaction, rng: np.random.Generator) -> int:
    return int(rng.choice(len(LABELS), p=reaction.shares))


def _gesture(reaction: Reaction, rng: np.random.Generator) -> Gesture:
    drawn = rng.random()
    if drawn < reaction.arms:
        return Gesture.ARMS
    return Gesture.SCARF if drawn < reaction.arms + reaction.scarf else Gesture.NONE
