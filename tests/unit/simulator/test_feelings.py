"""People react differently to the script, and together as the script says."""

from itertools import pairwise

import numpy as np
import pytest

from crowdmood.domain.labels import LABELS
from simulator.feelings import PersonStates, State, draw_states, with_hidden_spans
from simulator.hiding import Hiding
from simulator.people import Gesture
from simulator.script import CALM, REACTIONS, MatchEvent

PEOPLE = 600
DURATION_S = 60.0


def crowd(*events: MatchEvent, camera: str = "stand-1", seed: int = 3) -> list[PersonStates]:
    rng = np.random.default_rng(seed)
    return [draw_states(events, camera, DURATION_S, rng) for _ in range(PEOPLE)]


def shares(people: list[PersonStates], at_s: float) -> list[float]:
    counts = np.bincount([person.at(at_s).label for person in people], minlength=len(LABELS))
    return list(counts / len(people))


def test_crowd_stays_calm_without_events_while_people_change() -> None:
    people = crowd()

    for at_s in (0.0, 30.0, 59.0):
        assert shares(people, at_s) == pytest.approx(CALM.shares, abs=0.07)
    assert sum(person.at(0).label != person.at(50).label for person in people) > PEOPLE / 4


@pytest.mark.parametrize(
    ("event", "label"), [("goal", "cheering"), ("singing", "cheering"), ("conceded", "sad"), ("chance", "surprise")]
)
def test_event_changes_the_shares_to_those_of_its_reaction(event: str, label: str) -> None:
    people = crowd(MatchEvent(at_s=20, event=event))
    code = LABELS.index(label)

    #     before      event  reaction            worn off
    # ----19.9----------20-----22.5--------------------59--
    assert shares(people, 19.9)[code] == pytest.approx(CALM.shares[code], abs=0.06)
    assert shares(people, 22.5)[code] == pytest.approx(REACTIONS[event].shares[code], abs=0.12)
    assert shares(people, 59)[code] == pytest.approx(CALM.shares[code], abs=0.12)


def test_event_of_another_stand_changes_nothing() -> None:
    elsewhere = crowd(MatchEvent(at_s=20, event="goal", cameras=("stand-2",)))

    assert elsewhere == crowd()


def test_cheering_leads_after_a_goal_then_happy_then_neutral() -> None:
    people = crowd(MatchEvent(at_s=20, event="goal"))

    def leading(at_s: float) -> str:
        return LABELS[int(np.argmax(shares(people, at_s)))]

    #    goal     cheering          happy           worn off
    # ----20----22------28---------36--38---------------59--
    assert [leading(at_s) for at_s in (19, 22, 28, 36, 38, 59)] == [
        "neutral",
        "cheering",
        "cheering",
        "happy",
        "happy",
        "neutral",
    ]


def test_people_raise_their_arms_after_a_goal_most_often_when_they_cheer() -> None:
    people = crowd(MatchEvent(at_s=20, event="goal"))

    def raised(at_s: float, label: str | None = None) -> float:
        states = [person.at(at_s) for person in people]
        chosen = [state for state in states if label is None or state.label == LABELS.index(label)]
        return sum(state.gesture is not Gesture.NONE for state in chosen) / len(chosen)

    assert raised(19) == 0
    assert 0.25 < raised(22) < 0.55
    assert raised(22, "cheering") > raised(22, "happy") + 0.05
    assert raised(59) == 0


def test_a_sixth_of_the_people_hide_their_face_after_a_goal_and_few_while_it_is_calm() -> None:
    people = crowd(MatchEvent(at_s=20, event="goal"))

    def hidden(*moments: float) -> float:
        return float(np.mean([person.at(at_s).hiding is not Hiding.NONE for person in people for at_s in moments]))

    assert 0.005 < hidden(1, 5, 10, 15, 19) < 0.04
    assert 0.1 < hidden(22, 24, 26) < 0.22
    assert 0.005 < hidden(50, 54, 59) < 0.04


def test_face_is_hidden_for_at_most_3_5_seconds() -> None:
    for person in crowd(MatchEvent(at_s=20, event="goal"))[:100]:
        for state, after in pairwise(person.states):
            assert state.hiding is Hiding.NONE or 0 < after.from_s - state.from_s <= 3.5


def test_expression_continues_while_it_is_hidden() -> None:
    states = [State(0, 6), State(5, 3), State(9, 7)]

    #  neutral      happy        cheering
    # 0-----------5------------9----------
    #         3=======6        9=====10
    assert with_hidden_spans(states, [(3, 6, Hiding.ARM), (9, 10, Hiding.BACK)]) == (
        State(0, 6),
        State(3, 6, hiding=Hiding.ARM),
        State(5, 3, hiding=Hiding.ARM),
        State(6, 3),
        State(9, 7, hiding=Hiding.BACK),
        State(10, 7),
    )
    assert with_hidden_spans(states, []) == tuple(states)


def test_states_are_in_order_start_at_zero_and_depend_on_the_seed_only() -> None:
    script = tuple(
        MatchEvent(at_s=at_s, event=name) for at_s, name in ((0, "kick-off"), (5, "goal"), (5.2, "conceded"))
    )
    people = crowd(*script)

    for person in people:
        begins = [state.from_s for state in person.states]
        assert begins[0] == 0
        assert begins == sorted(begins)
    assert people == crowd(*script)
    assert people != crowd(*script, seed=4)
