"""The expression and gestures of each person over the match, as a list of states."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdmood.domain.labels import LABELS
from simulator.hiding import Hiding
from simulator.people import Gesture
from simulator.script import CALM, REACTIONS

if TYPE_CHECKING:
    from simulator.script import MatchEvent, Reaction

_NOTICE: Final = 0.93
_DELAY_S: Final = (0.15, 1.4)
_SHORTEST_S: Final = 1.5
_GESTURE_S: Final = 7.0
_JUMPING: Final = 0.5
_CHEERING_ARMS: Final = 1.6
_HIDDEN_S: Final = (1.0, 3.5)
_HAPPY: Final = LABELS.index("happy")
_CHEERING: Final = LABELS.index("cheering")
_WAYS: Final = tuple(Hiding)[1:]


@dataclass(frozen=True, slots=True)
class State:
    """What a person shows and does from a time on.

    Attributes:
        from_s: Start, in seconds.
        label: The expression, a code 0-7.
        gesture: What the arms do.
        jumps: Whether the person jumps up and down.
        hiding: What hides the expression.
    """

    from_s: float
    label: int
    gesture: Gesture = Gesture.NONE
    jumps: bool = False
    hiding: Hiding = Hiding.NONE


@dataclass(frozen=True, slots=True)
class PersonStates:
    """The states of a person in the order of time; the first one starts at 0."""

    states: tuple[State, ...]

    def at(self, at_s: float) -> State:
        """Return the state at a time; a state lasts from its start, inclusive, to the start of the next one."""
        return self.states[bisect_right(self.states, at_s, key=lambda state: state.from_s) - 1]


def draw_states(
    script: tuple[MatchEvent, ...], camera: str, duration_s: float, rng: np.random.Generator
) -> PersonStates:
    """Draw the states of a person in a stand during the script.

    People change their expression at random times. Most of them notice an event, each after a random delay, and are
    calm again when the reaction ends. At random times something hides their face or they turn it away, more often while
    they are excited.
    """
    states = [State(0.0, _draw(CALM, rng))]
    phases: list[tuple[float, Reaction]] = [(0.0, CALM)]
    _add_calm_changes(states, duration_s, rng)
    for event in script:
        if not event.concerns(camera) or rng.random() >= _NOTICE:
            continue
        at_s = event.at_s + rng.uniform(*_DELAY_S)
        # The event replaces all later states.
        states = [state for state in states if state.from_s < at_s]
        phases = [phase for phase in phases if phase[0] < at_s]
        reaction: Reaction | None = REACTIONS[event.event]
        while reaction is not None:
            end_s = at_s + max(_SHORTEST_S, reaction.hold_s * rng.lognormal(-0.03, 0.25))
            states += _react(reaction, at_s, end_s, rng)
            phases.append((at_s, reaction))
            at_s, reaction = end_s, reaction.then
        states.append(State(at_s, _draw(CALM, rng)))
        phases.append((at_s, CALM))
        _add_calm_changes(states, duration_s, rng)
    return PersonStates(with_hidden_spans(states, _spans(phases, duration_s, rng)))


def _react(reaction: Reaction, begin_s: float, end_s: float, rng: np.random.Generator) -> list[State]:
    label = _draw(reaction, rng)
    gesture = _gesture(reaction, label, rng)
    jumps = reaction.excitement >= 1 and label in (_HAPPY, _CHEERING) and rng.random() < _JUMPING
    states = [State(begin_s, label, gesture, jumps)]
    if gesture is not Gesture.NONE or jumps:
        states.append(State(min(begin_s + _GESTURE_S * rng.uniform(0.5, 1.2), end_s), label))
    return states


def _add_calm_changes(states: list[State], to_s: float, rng: np.random.Generator) -> None:
    """Add random changes of a calm person after the last state."""
    at_s = states[-1].from_s
    while (at_s := at_s + _SHORTEST_S + rng.exponential(CALM.hold_s)) < to_s:
        states.append(State(at_s, _draw(CALM, rng)))


def _draw(reaction: Reaction, rng: np.random.Generator) -> int:
    return int(rng.choice(len(LABELS), p=reaction.shares))


def _gesture(reaction: Reaction, label: int, rng: np.random.Generator) -> Gesture:
    drawn = rng.random()
    arms = reaction.arms * (_CHEERING_ARMS if label == _CHEERING else 1.0)
    if drawn < arms:
        return Gesture.ARMS
    return Gesture.SCARF if drawn < arms + reaction.scarf else Gesture.NONE


def _spans(
    phases: list[tuple[float, Reaction]], duration_s: float, rng: np.random.Generator
) -> list[tuple[float, float, Hiding]]:
    """Draw the times in which something hides a person, so that a phase's share of people is hidden at any time."""
    spans = []
    hidden_s = sum(_HIDDEN_S) / 2
    for (from_s, reaction), (to_s, _) in zip(phases, [*phases[1:], (duration_s, CALM)], strict=True):
        free_s = hidden_s * (1 - reaction.hidden) / reaction.hidden
        at_s = from_s
        if rng.random() >= reaction.hidden:
            at_s += rng.exponential(free_s)
        while at_s < to_s:
            end_s = min(at_s + rng.uniform(*_HIDDEN_S), to_s)
            spans.append((at_s, end_s, _WAYS[int(rng.choice(len(_WAYS), p=reaction.ways))]))
            at_s = end_s + rng.exponential(free_s)
    return spans


def with_hidden_spans(states: list[State], spans: list[tuple[float, float, Hiding]]) -> tuple[State, ...]:
    """Return the states with hidden spans; a state is split where a span starts or ends.

    Args:
        states: States in the order of time.
        spans: Start, end (exclusive) and kind of each span; spans do not overlap.
    """
    whole = PersonStates(tuple(states))
    changes = {state.from_s: Hiding.NONE for state in states}
    changes |= {end_s: Hiding.NONE for _, end_s, _ in spans}
    changes |= {begin_s: hiding for begin_s, _, hiding in spans}
    changes |= {
        state.from_s: hiding for begin_s, end_s, hiding in spans for state in states if begin_s <= state.from_s < end_s
    }
    return tuple(replace(whole.at(at_s), from_s=at_s, hiding=changes[at_s]) for at_s in sorted(changes))
