"""People live through the script each in their own way, and on the whole as it says."""

import numpy as np
import pytest

from crowdmood import LABELS
from simulator.feelings import Timeline, live_through
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


@pytest.mark.parametrize(("event", "label"), [("goal", "happy"), ("conceded", "sad"), ("chance", "surprise")])
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


def test_arms_go_up_after_a_goal_and_come_down_again() -> None:
    people = crowd(Event(at_s=20, event="goal"))

    def raised(at_s: float) -> float:
        return sum(person.at(at_s).gesture is not Gesture.NONE for person in people) / PEOPLE

    assert raised(19) == 0
    assert 0.25 < raised(22) < 0.55
    assert raised(40) == 0


def test_states_are_in_order_begin_at_zero_and_the_same_seed_gives_the_same_lives() -> None:
    script = tuple(Event(at_s=at_s, event=name) for at_s, name in ((0, "kick-off"), (5, "goal"), (5.2, "conceded")))
    people = crowd(*script)

    for person in people:
        begins = [state.from_s for state in person.states]
        assert begins[0] == 0
        assert begins == sorted(begins)
    assert people == crowd(*script)
    assert people != crowd(*script, seed=4)
