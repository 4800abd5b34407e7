"""People live through the script each in their own way, and on the whole as it says."""

from itertools import pairwise

import numpy as np
import pytest

from crowdmood.domain.labels import LABELS
from simulator.feelings import State, Timeline, hide, live_through
from simulator.hiding import Hiding
from simulator.people import Gesture
from simulator.script import CALM, REACTIONS, Event

PEOPLE = 600
DURATION_S = 60.0


def crowd(*events: Event, camera: str = "stand-1", seed: int = 3) -> list[Timeline]:
    rng = np.random.default_rng(seed)
    return [live_through(events, camera, DURATION_S, rng) for _ in range(PEOPLE)]


def shares(people: list[Timeline], at_s: float) -> list[float]:
    counts = np.bincount([person.at(at_s).label for person in people], minlength=len(LABELS))
    return list(counts / len(people))


def test_nothing_happens_and_the_crowd_stays_calm_though_people_change() -> None:
    people = crowd()

    for at_s in (0.0, 30.0, 59.0):
        assert shares(people, at_s) == pytest.approx(CALM.shares, abs=0.07)
    assert sum(person.at(0).label != person.at(50).label for person in people) > PEOPLE / 4


@pytest.mark.parametrize(
    ("event", "label"), [("goal", "cheering"), ("singing", "cheering"), ("conceded", "sad"), ("chance", "surprise")]
)
def test_an_event_moves_the_crowd_where_its_reaction_says(event: str, label: str) -> None:
    people = crowd(Event(at_s=20, event=event))
    code = LABELS.index(label)

    #     before      event  reaction            worn off
    # ----19.9----------20-----22.5--------------------59--
    assert shares(people, 19.9)[code] == pytest.approx(CALM.shares[code], abs=0.06)
    assert shares(people, 22.5)[code] == pytest.approx(REACTIONS[event].shares[code], abs=0.12)
    assert shares(people, 59)[code] == pytest.approx(CALM.shares[code], abs=0.12)


def test_an_event_that_another_stand_saw_moves_nobody() -> None:
    elsewhere = crowd(Event(at_s=20, event="goal", cameras=("stand-2",)))

    assert elsewhere == crowd()


def test_after_a_goal_cheering_leads_then_happy_then_calm() -> None:
    people = crowd(Event(at_s=20, event="goal"))

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


def test_arms_go_up_after_a_goal_most_often_of_those_who_cheer_and_come_down_again() -> None:
    people = crowd(Event(at_s=20, event="goal"))

    def raised(at_s: float, label: str | None = None) -> float:
        states = [person.at(at_s) for person in people]
        chosen = [state for state in states if label is None or state.label == LABELS.index(label)]
        return sum(state.gesture is not Gesture.NONE for state in chosen) / len(chosen)

    assert raised(19) == 0
    assert 0.25 < raised(22) < 0.55
    assert raised(22, "cheering") > raised(22, "happy") + 0.05
    assert raised(59) == 0


def test_about_a_sixth_hides_the_face_after_a_goal_and_hardly_anyone_while_it_is_calm() -> None:
    people = crowd(Event(at_s=20, event="goal"))

    def hidden(*moments: float) -> float:
        return float(np.mean([person.at(at_s).hiding is not Hiding.NONE for person in people for at_s in moments]))

    assert 0.005 < hidden(1, 5, 10, 15, 19) < 0.04
    assert 0.1 < hidden(22, 24, 26) < 0.22
    assert 0.005 < hidden(50, 54, 59) < 0.04


def test_a_hidden_face_is_shown_again_after_some_seconds() -> None:
    for person in crowd(Event(at_s=20, event="goal"))[:100]:
        for state, after in pairwise(person.states):
            assert state.hiding is Hiding.NONE or 0 < after.from_s - state.from_s <= 3.5


def test_the_expression_goes_on_behind_what_hides_it() -> None:
    states = [State(0, 6), State(5, 3), State(9, 7)]

    #  neutral      happy        cheering
    # 0-----------5------------9----------
    #         3=======6        9=====10
    assert hide(states, [(3, 6, Hiding.ARM), (9, 10, Hiding.BACK)]) == (
        State(0, 6),
        State(3, 6, hiding=Hiding.ARM),
        State(5, 3, hiding=Hiding.ARM),
        State(6, 3),
        State(9, 7, hiding=Hiding.BACK),
        State(10, 7),
    )
    assert hide(states, []) == tuple(states)


def test_states_are_in_order_begin_at_zero_and_the_same_seed_gives_the_same_lives() -> None:
    script = tuple(Event(at_s=at_s, event=name) for at_s, name in ((0, "kick-off"), (5, "goal"), (5.2, "conceded")))
    people = crowd(*script)

    for person in people:
        begins = [state.from_s for state in person.states]
        assert begins[0] == 0
        assert begins == sorted(begins)
    assert people == crowd(*script)
    assert people != crowd(*script, seed=4)
