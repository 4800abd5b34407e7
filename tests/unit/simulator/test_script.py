"""Scripts of a match; a malformed script is refused in one line."""

from pathlib import Path

import pytest

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import LABELS
from simulator.script import (
    CALM,
    REACTIONS,
    MatchEvent,
    Reaction,
    check_script,
    default_script,
    excitement_at,
    load_script,
)

TOML = '[[events]]\nat_s = 30\nevent = "goal"\ncameras = ["stand-2"]\n[[events]]\nat_s = 2.5\nevent = "kick-off"\n'
JSON = '{"events": [{"at_s": 30, "event": "goal", "cameras": ["stand-2"]}, {"at_s": 2.5, "event": "kick-off"}]}'
WANTED = (MatchEvent(at_s=2.5, event="kick-off"), MatchEvent(at_s=30, event="goal", cameras=("stand-2",)))


@pytest.mark.parametrize(("name", "text"), [("match.toml", TOML), ("match.json", JSON)])
def test_loads_toml_and_json_with_events_in_order(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    assert load_script(tmp_path / name) == WANTED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[events]]\nat_s = -1\nevent = 'goal'", r"events\.0\.at_s: .*greater than or equal to 0"),
        ("[[events]]\nat_s = nan\nevent = 'goal'", r"events\.0\.at_s: .*finite"),
        ("[[events]]\nevent = 'goal'", r"events\.0\.at_s: Field required"),
        ("[[events]]\nat_s = 1\nevent = 'goal'\nloud = true", r"events\.0\.loud: Extra inputs"),
        ("goal at 7", "cannot be read as a script"),
        ("", "events: Field required"),
    ],
)
def test_refuses_a_malformed_script_and_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "match.toml").write_text(text)

    with pytest.raises(DataError, match=message) as refused:
        load_script(tmp_path / "match.toml")
    assert "\n" not in str(refused.value)


def test_refuses_a_missing_script(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"match\.json: cannot be read as a script"):
        load_script(tmp_path / "match.json")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (MatchEvent(at_s=1, event="riot"), "unknown event 'riot' at 1 s; use kick-off, chance, goal"),
        (MatchEvent(at_s=60, event="goal"), "goal at 60 s is after the end at 60 s"),
        (MatchEvent(at_s=1, event="goal", cameras=("roof",)), "names the camera 'roof'; there are stand-1, stand-2"),
    ],
)
def test_refuses_a_script_that_does_not_fit_the_match(event: MatchEvent, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_script((event,), 60.0, ("stand-1", "stand-2"))


@pytest.mark.parametrize("duration_s", [0.5, 12.0, 5400.0])
def test_default_script_fits_any_length(duration_s: float) -> None:
    script = default_script(duration_s)

    check_script(script, duration_s, ("stand-1",))
    assert {event.event for event in script} == set(REACTIONS)


def every_reaction() -> list[Reaction]:
    given = [CALM, *REACTIONS.values()]
    return given + [reaction.then for reaction in given if reaction.then is not None]


def test_shares_and_ways_of_hiding_of_every_reaction_sum_to_one() -> None:
    for reaction in every_reaction():
        assert len(reaction.shares) == len(LABELS)
        assert sum(reaction.shares) == pytest.approx(1)
        assert sum(reaction.ways) == pytest.approx(1)
        assert 0 < reaction.hidden < 0.2


def test_reaction_to_a_goal_is_cheering_and_then_happy() -> None:
    goal = REACTIONS["goal"]

    assert goal.then is not None
    leading = [LABELS[reaction.shares.index(max(reaction.shares))] for reaction in (goal, goal.then)]
    assert leading == ["cheering", "happy"]
    assert goal.lasts_s == goal.hold_s + goal.then.hold_s


def test_excitement_starts_with_the_event_decreases_and_is_limited_to_its_stands() -> None:
    script = (MatchEvent(at_s=10, event="goal", cameras=("stand-1",)),)

    assert excitement_at(script, "stand-1", 9.9) == 0
    assert excitement_at(script, "stand-1", 10) == 1
    assert 0 < excitement_at(script, "stand-1", 17) < 1
    assert excitement_at(script, "stand-1", 60) == 0
    assert excitement_at(script, "stand-2", 10) == 0
