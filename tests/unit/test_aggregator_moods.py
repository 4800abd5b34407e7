"""What is published of a closed window, and what is withheld."""

import numpy as np
import pytest

from aggregator.moods import Moods, unfit
from aggregator.windows import ClosedWindow
from crowdmood.confusions import Confusions
from crowdmood.messages import Emotions
from crowdmood.mood import Mood
from crowdmood.settings import AggregatorSettings
from tests.crowds import seen

SETTINGS = AggregatorSettings(min_faces=3, valid_for_s=5)


def window(**frames: list[Emotions]) -> ClosedWindow[Emotions]:
    return ClosedWindow(0, 10_000, frames, dict.fromkeys(frames, "live"))


def moods(closed: ClosedWindow[Emotions], **zones: list[str]) -> list[Mood]:
    return [finding.mood for finding in Moods(SETTINGS, zones).of(closed)]


def frames(camera: str, labels: list[str], count: int = 5, **more: object) -> list[Emotions]:
    return [seen(camera, frame_id, labels, **more) for frame_id in range(count)]  # type: ignore[arg-type]


def test_a_person_in_many_frames_is_one_person() -> None:
    north, south = frames("north", ["happy"] * 30), frames("south", ["sad"] * 10)
    stadium, of_north, of_south = moods(window(north=north, south=south))
    assert (stadium.camera, stadium.people, stadium.dominant) == (None, 40, "happy")
    assert stadium.shares is not None and stadium.raw is not None
    assert (stadium.raw["happy"], stadium.raw["sad"]) == (0.75, 0.25)
    assert (of_north.camera, of_north.people) == ("north", 30)
    assert (of_south.camera, of_south.people) == ("south", 10)
    assert (stadium.as_of_ms, stadium.window_start_ms, stadium.valid_until_ms) == (10_000, 0, 15_000)


def test_what_a_person_shows_is_the_mean_of_noisy_looks() -> None:
    # Eight people who are happy in six frames of ten within a second: sure of it they are not, but happier than sad.
    labels = ["happy", "sad"] * 4 + ["happy"] * 2
    north = [seen("north", i, [label] * 8, every_ms=100) for i, label in enumerate(labels)]
    (stadium, _) = moods(window(north=north))
    assert stadium.people == 8
    assert stadium.raw is not None and stadium.raw["happy"] == 1.0


def test_who_changes_within_the_window_counts_for_both_by_the_time() -> None:
    north = [seen("north", i, ["happy" if i < 6 else "sad"] * 8, every_ms=1000) for i in range(10)]
    (stadium, _) = moods(window(north=north))
    assert stadium.people == 8
    assert stadium.raw is not None
    assert (stadium.raw["happy"], stadium.raw["sad"]) == (0.6, 0.4)


def test_what_everybody_showed_last_is_found_too_for_zones() -> None:
    sixteen = ["happy"] * 8 + ["neutral"] * 8
    north = [seen("north", i, sixteen if i < 6 else ["sad"] * 8 + ["neutral"] * 8, every_ms=1000) for i in range(10)]
    stadium, home, camera = Moods(SETTINGS, {"home": ["north"]}).of(window(north=north))
    for zone in (stadium, home):
        assert zone.lately is not None and zone.lately.raw is not None
        assert (zone.lately.people, zone.lately.status, zone.lately.zone) == (16, "ok", zone.mood.zone)
        assert (zone.lately.raw["happy"], zone.lately.raw["sad"], zone.lately.raw["neutral"]) == (0.0, 0.5, 0.5)
    # Nobody is told of a single camera's changes.
    assert camera.lately is None


def test_of_a_crowd_that_keeps_its_expressions_both_are_the_same() -> None:
    (stadium, _) = Moods(SETTINGS).of(window(north=frames("north", ["happy"] * 8)))
    assert stadium.lately == stadium.mood


def test_too_few_people_and_nothing_but_the_status_is_told() -> None:
    (stadium, _) = moods(window(north=frames("north", ["happy", "happy"])))
    assert stadium.status == "insufficient"
    told = (stadium.people, stadium.shares, stadium.low, stadium.high, stadium.raw, stadium.dominant)
    assert told == (None,) * 6
    assert (stadium.valence, stadium.valence_low, stadium.valence_high) == (None,) * 3
    assert Moods(SETTINGS).of(window(north=frames("north", ["happy", "happy"])))[0].lately is None


def test_frames_without_faces_are_seen_and_count_nobody() -> None:
    (stadium, north) = moods(window(north=frames("north", [])))
    assert stadium.status == "insufficient"
    assert north.cameras == {"north": "live"}


def test_a_zone_has_a_mood_of_its_own() -> None:
    crowd = {name: frames(name, [label] * 12) for name, label in (("a", "happy"), ("b", "happy"), ("c", "sad"))}
    told = moods(window(**crowd), home=["a", "b"], away=["c"], elsewhere=["x"])
    assert [(mood.zone, mood.camera) for mood in told[:3]] == [("stadium", None), ("home", None), ("away", None)]
    assert [mood.people for mood in told[:3]] == [36, 24, 12]
    assert [mood.dominant for mood in told[1:3]] == ["happy", "sad"]
    assert told[1].cameras == {"a": "live", "b": "live"}


def test_a_zone_is_withheld_when_the_rest_would_tell_of_few() -> None:
    crowd = {"a": frames("a", ["happy"] * 12), "b": frames("b", ["sad"] * 2)}
    stadium, home, of_a, of_b = moods(window(**crowd), home=["a"])
    assert (stadium.status, stadium.people) == ("ok", 14)
    # Stadium less zone would be two people.
    assert [mood.status for mood in (home, of_a, of_b)] == ["insufficient"] * 3


def test_a_camera_is_withheld_when_the_stadium_less_several_others_would_tell_of_few() -> None:
    crowd = {name: frames(name, ["happy"] * people) for name, people in (("a", 12), ("b", 12), ("c", 2))}
    told = moods(window(**crowd))
    assert [(mood.status, mood.people) for mood in told] == [
        ("ok", 26),
        ("insufficient", None),
        ("ok", 12),
        ("insufficient", None),
    ]


def test_a_zone_of_every_camera_hides_nobody() -> None:
    told = moods(window(a=frames("a", ["happy"] * 12)), home=["a"])
    assert [mood.status for mood in told] == ["ok"] * 3


@pytest.mark.parametrize(
    ("more", "reason"),
    [({"side_px": 19}, "small"), ({"quality": 0.05}, "poor"), ({"quality": 0.05, "side_px": 12}, "small")],
)
def test_faces_too_small_or_too_poor_are_seen_and_do_not_count(more: dict[str, float], reason: str) -> None:
    shown = frames("a", ["happy"] * 12, **more)
    counts = {why: int(which.sum()) for why, which in unfit(shown[0], SETTINGS).items()}
    assert counts == {"small": 0, "poor": 0} | {reason: 12}
    assert moods(window(a=shown))[0].status == "insufficient"


def test_the_networks_confusions_are_undone() -> None:
    means = np.full((7, 7), 0.05) + 0.65 * np.eye(7)
    known = Confusions(3000, np.zeros(7), np.full(7, 1 / 7), means, np.stack([0.01 * np.eye(7)] * 7)).to_bytes()
    (stadium, _) = moods(window(a=frames("a", ["happy"] * 40 + ["sad"] * 10, confusions=known)))
    assert stadium.method == "sld"
    (counted, _) = Moods(SETTINGS.model_copy(update={"method": "raw"})).of(window(a=frames("a", ["happy"] * 40)))
    assert counted.mood.method == "raw"


def test_a_mixed_fleet_of_models_shows() -> None:
    told = moods(
        window(north=frames("north", ["sad"] * 3, model="new"), south=frames("south", ["sad"] * 3, model="old"))
    )
    assert told[0].model == "new+old"


def test_a_camera_in_trouble_is_named_in_the_mood() -> None:
    closed: ClosedWindow[Emotions] = ClosedWindow(0, 10_000, {}, {"a": "live", "b": "idle", "c": "ended"})
    stadium = Moods(SETTINGS).of(closed, {"a": "frozen", "b": "down", "c": "down"})[0].mood
    assert stadium.cameras == {"a": "frozen", "b": "down", "c": "ended"}


def test_a_window_gives_the_same_moods_whatever_was_seen_before() -> None:
    first, second = window(a=frames("a", ["happy"] * 12, 20)), window(a=frames("a", ["happy"] * 12, 30)[10:])
    used = Moods(SETTINGS)
    used.of(first)
    assert used.of(second) == Moods(SETTINGS).of(second)
