"""What is published of a closed window, and what is withheld."""

from dataclasses import replace

import numpy as np
import pytest

from aggregator.moods import Moods, unfit
from aggregator.windows import ClosedWindow
from crowdmood.core.settings import AggregatorSettings
from crowdmood.domain.labels import FER_LABELS, LABELS
from crowdmood.domain.messages import Emotions
from crowdmood.domain.mood import Mood
from tests.crowds import seen
from tests.networks import CROWD, Network

SETTINGS = AggregatorSettings(min_faces=3, expose_individuals=True, valid_for_s=5)


def window(**frames: list[Emotions]) -> ClosedWindow[Emotions]:
    return ClosedWindow(0, 10_000, frames, dict.fromkeys(frames, "live"))


def moods(closed: ClosedWindow[Emotions], **zones: list[str]) -> list[Mood]:
    return [finding.mood for finding in Moods(SETTINGS, zones).of(closed)]


def frames(camera: str, labels: list[str], count: int = 5, **more: object) -> list[Emotions]:
    return [seen(camera, frame_id, labels, **more) for frame_id in range(count)]  # type: ignore[arg-type]


def test_a_person_in_many_frames_is_one_person() -> None:
    north, south = frames("north", ["happy"] * 30), frames("south", ["sad"] * 10)
    stadium, of_north, of_south = moods(window(north=north, south=south))
    assert (stadium.camera, stadium.people, stadium.readable, stadium.dominant) == (None, 40, 40, "happy")
    assert stadium.shares is not None and stadium.raw is not None
    assert (stadium.raw["happy"], stadium.raw["sad"]) == (0.75, 0.25)
    assert (of_north.camera, of_north.people) == ("north", 30)
    assert (of_south.camera, of_south.people) == ("south", 10)
    assert (stadium.as_of_ms, stadium.window_start_ms, stadium.valid_until_ms) == (10_000, 0, 15_000)


def test_what_a_person_shows_is_the_mean_of_noisy_faces() -> None:
    # Eight people who are happy in six frames of ten within a second: sure of it they are not, but happier than sad.
    labels = ["happy", "sad"] * 4 + ["happy"] * 2
    north = [seen("north", i, [label] * 8, every_ms=100) for i, label in enumerate(labels)]
    (stadium, _) = moods(window(north=north))
    assert stadium.people == 8
    assert stadium.raw is not None and stadium.raw["happy"] == 1.0


def test_a_person_who_changes_within_the_window_counts_for_both_by_the_time() -> None:
    north = [seen("north", i, ["happy" if i < 6 else "sad"] * 8, every_ms=1000) for i in range(10)]
    (stadium, _) = moods(window(north=north))
    assert stadium.people == 8
    assert stadium.raw is not None
    assert (stadium.raw["happy"], stadium.raw["sad"]) == (0.6, 0.4)


def test_what_each_person_showed_last_is_found_for_zones() -> None:
    sixteen = ["happy"] * 8 + ["neutral"] * 8
    north = [seen("north", i, sixteen if i < 6 else ["sad"] * 8 + ["neutral"] * 8, every_ms=1000) for i in range(10)]
    stadium, home, camera = Moods(SETTINGS, {"home": ["north"]}).of(window(north=north))
    for zone in (stadium, home):
        assert zone.lately is not None and zone.lately.raw is not None
        assert (zone.lately.people, zone.lately.status, zone.lately.zone) == (16, "ok", zone.mood.zone)
        assert (zone.lately.raw["happy"], zone.lately.raw["sad"], zone.lately.raw["neutral"]) == (0.0, 0.5, 0.5)
    # Changes of a single camera are not published.
    assert camera.lately is None


def test_windows_of_one_scene_are_compared_with_narrower_intervals() -> None:
    rng = np.random.default_rng(0)
    network = Network(CROWD, scene=0.3)
    known = network.crowd_confusions(rng).to_bytes()
    answers = network.in_one_scene(rng, rng.choice(len(LABELS), 80, p=CROWD)).astype(np.float16)
    crowd = [replace(frame, probabilities=answers) for frame in frames("a", ["happy"] * 80, confusions=known)]
    (stadium, camera) = Moods(SETTINGS).of(window(a=crowd))
    mood, lately = stadium.mood, stadium.lately
    assert lately is not None and lately.shares is not None and mood.shares is not None
    assert [lately.shares[label] for label in LABELS] == pytest.approx(
        [mood.shares[label] for label in LABELS], abs=0.01
    )
    assert width(lately, "neutral") < 0.7 * width(mood, "neutral")
    assert camera.lately is None


def width(mood: Mood, label: str) -> float:
    assert mood.low is not None and mood.high is not None
    return (mood.high[label] or 0.0) - (mood.low[label] or 0.0)


def test_below_min_faces_the_figures_are_withheld() -> None:
    (stadium, _) = moods(window(north=frames("north", ["happy", "happy"])))
    assert stadium.status == "insufficient"
    figures = (stadium.people, stadium.readable, stadium.shares, stadium.low, stadium.high, stadium.raw)
    assert figures == (None,) * 6
    assert (stadium.dominant, stadium.fit, stadium.valence, stadium.energy) == (None,) * 4
    assert Moods(SETTINGS).of(window(north=frames("north", ["happy", "happy"])))[0].lately is None


def test_people_who_are_never_readable_at_the_same_time_are_too_few() -> None:
    turns = [seen("a", i, ["happy"] * 12, readable=[0.9 if n == i else 0.1 for n in range(12)]) for i in range(12)]
    assert {mood.status for mood in moods(window(a=turns))} == {"insufficient"}
    assert {mood.status for mood in moods(window(a=frames("a", ["happy"] * 12)))} == {"ok"}


def test_frames_without_faces_are_seen_and_count_no_one() -> None:
    (stadium, north) = moods(window(north=frames("north", [])))
    assert stadium.status == "insufficient"
    assert north.cameras == {"north": "live"}


def test_a_zone_has_a_mood_of_its_own() -> None:
    crowd = {name: frames(name, [label] * 12) for name, label in (("a", "happy"), ("b", "happy"), ("c", "sad"))}
    found = moods(window(**crowd), home=["a", "b"], away=["c"], elsewhere=["x"])
    assert [(mood.zone, mood.camera) for mood in found[:3]] == [("stadium", None), ("home", None), ("away", None)]
    assert [mood.people for mood in found[:3]] == [36, 24, 12]
    assert [mood.dominant for mood in found[1:3]] == ["happy", "sad"]
    assert found[1].cameras == {"a": "live", "b": "live"}


def test_a_zone_is_withheld_when_the_rest_would_be_few_people() -> None:
    crowd = {"a": frames("a", ["happy"] * 12), "b": frames("b", ["sad"] * 2)}
    stadium, home, of_a, of_b = moods(window(**crowd), home=["a"])
    assert (stadium.status, stadium.people) == ("ok", 14)
    # Stadium less zone would be two people.
    assert [mood.status for mood in (home, of_a, of_b)] == ["insufficient"] * 3


def test_a_camera_is_withheld_when_the_stadium_less_several_others_would_be_few_people() -> None:
    crowd = {name: frames(name, ["happy"] * people) for name, people in (("a", 12), ("b", 12), ("c", 2))}
    assert [(mood.status, mood.people) for mood in moods(window(**crowd))] == [
        ("ok", 26),
        ("insufficient", None),
        ("ok", 12),
        ("insufficient", None),
    ]


def test_a_zone_of_every_camera_is_published() -> None:
    found = moods(window(a=frames("a", ["happy"] * 12)), home=["a"])
    assert [mood.status for mood in found] == ["ok"] * 3


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"side_px": 19}, "small"),
        ({"quality": 0.05}, "poor"),
        ({"readable": 0.4}, "unreadable"),
        ({"quality": 0.05, "side_px": 12, "readable": 0.1}, "small"),
        ({"quality": 0.05, "readable": 0.1}, "poor"),
    ],
)
def test_unfit_faces_are_seen_and_do_not_count(more: dict[str, float], reason: str) -> None:
    shown = [seen("a", frame_id, ["happy"] * 12, **more) for frame_id in range(5)]  # type: ignore[arg-type]
    counts = {why: int(which.sum()) for why, which in unfit(shown[0], SETTINGS).items()}
    assert counts == {"small": 0, "poor": 0, "unreadable": 0} | {reason: 12}
    assert moods(window(a=shown))[0].status == "insufficient"


def test_a_crowd_of_unreadable_faces_is_insufficient() -> None:
    hidden = window(a=frames("a", ["sad"] * 40, readable=0.3))
    assert {mood.status for mood in moods(hidden)} == {"insufficient"}
    few = window(a=frames("a", ["sad"] * 40, readable=[0.9] * 2 + [0.3] * 38))
    assert {mood.status for mood in moods(few)} == {"insufficient"}


def test_people_who_cannot_be_read_are_seen_and_do_not_vote() -> None:
    labels, readable = ["happy"] * 10 + ["sad"] * 20, [0.9] * 10 + [0.2] * 20
    (stadium, _) = moods(window(a=frames("a", labels, readable=readable)))
    assert (stadium.people, stadium.readable, stadium.dominant) == (30, 10, "happy")
    assert stadium.raw is not None and stadium.raw["sad"] == 0


def test_a_person_counts_who_was_readable_once_and_by_that_face_alone() -> None:
    shown = [seen("a", i, ["happy" if i == 3 else "sad"] * 8, readable=0.7 if i == 3 else 0.4) for i in range(10)]
    (stadium, _) = moods(window(a=shown))
    assert (stadium.people, stadium.readable) == (8, 8)
    assert stadium.raw is not None and stadium.raw["happy"] == 1


def test_readable_faces_count_by_quality_and_readability() -> None:
    # In one second: two sad faces of 0.5, and a happy one of 0.9 and better quality.
    shown = [seen("a", i, ["sad"] * 8, every_ms=100, readable=0.5, quality=0.5) for i in range(2)]
    shown.append(seen("a", 2, ["happy"] * 8, every_ms=100, readable=0.9))
    (stadium, _) = moods(window(a=shown))
    assert stadium.raw is not None and stadium.raw["happy"] == 1


def test_min_readable_may_be_lowered() -> None:
    hidden = window(a=frames("a", ["happy"] * 8, readable=0.0))
    (stadium, _) = Moods(SETTINGS.model_copy(update={"min_readable": 0.0})).of(hidden)
    assert (stadium.mood.status, stadium.mood.readable, stadium.mood.dominant) == ("ok", 8, "happy")


def test_unreadable_people_do_not_hide_few_readable_ones() -> None:
    crowd = {
        "a": frames("a", ["happy"] * 12),
        "b": frames("b", ["sad"] * 30, readable=[0.9] * 2 + [0.1] * 28),
    }
    stadium, of_a, of_b = moods(window(**crowd))
    assert (stadium.status, stadium.people, stadium.readable) == ("ok", 42, 14)
    assert [mood.status for mood in (of_a, of_b)] == ["insufficient"] * 2


def test_a_network_of_seven_labels_gives_null_for_cheering_and_energy() -> None:
    (stadium, _) = moods(window(a=frames("a", ["happy"] * 30 + ["surprise"] * 10, known=FER_LABELS)))
    assert stadium.shares is not None
    assert (stadium.shares["cheering"], stadium.shares["happy"]) == (None, 0.75)
    assert (stadium.energy, stadium.energy_low, stadium.energy_high) == (None,) * 3


def test_a_singing_crowd_cheers() -> None:
    (stadium, _) = moods(window(a=frames("a", ["cheering"] * 30 + ["happy"] * 10)))
    assert (stadium.dominant, stadium.valence, stadium.energy) == ("cheering", 0.25, 0.75)


def test_cameras_whose_networks_differ_in_labels_know_the_common_ones() -> None:
    crowd = {
        "a": frames("a", ["cheering"] * 10 + ["happy"] * 10),
        "b": frames("b", ["neutral"] * 10, known=FER_LABELS),
    }
    stadium, of_a, of_b = moods(window(**crowd))
    assert stadium.shares is not None and of_a.shares is not None and of_b.shares is not None
    assert [of_a.shares["cheering"], of_b.shares["cheering"], stadium.shares["cheering"]] == [0.5, None, None]
    assert (stadium.shares["happy"], stadium.shares["neutral"], stadium.energy) == (0.5, 0.5, None)
    assert stadium.readable == 30


def test_a_camera_whose_network_changes_its_labels_knows_the_common_ones_for_a_window() -> None:
    labels = ["cheering"] * 4 + ["happy"] * 8
    new = frames("a", labels)[3:]
    old = [seen("a", i, ["neutral"] * 4 + ["happy"] * 8, known=FER_LABELS) for i in range(3)]
    for order in (old + new, [replace(frame, ref=ref.ref) for frame, ref in zip(new + old, old + new, strict=True)]):
        (stadium, _) = moods(window(a=order))
        assert stadium.shares is not None
        assert (stadium.readable, stadium.shares["cheering"], stadium.energy) == (12, None, None)
        # People who cheer count by what else they showed.
        assert stadium.shares["happy"] == pytest.approx(2 / 3, abs=0.01)
        assert stadium.shares["neutral"] == pytest.approx(1 / 3, abs=0.01)


def test_the_networks_confusions_are_undone() -> None:
    rng = np.random.default_rng(0)
    network = Network(CROWD, apart=2.0)
    known = network.crowd_confusions(rng).to_bytes()
    singing = np.repeat(np.arange(len(LABELS)), [0, 0, 0, 30, 0, 0, 50, 120])
    answers = network.in_one_scene(rng, singing).astype(np.float16)
    crowd = window(
        a=[replace(frame, probabilities=answers) for frame in frames("a", ["happy"] * 200, confusions=known)]
    )
    cheering = {}
    for method in ("gls", "raw"):
        (stadium, _) = Moods(SETTINGS.model_copy(update={"method": method})).of(crowd)
        assert (stadium.mood.method, stadium.mood.fit is None) == (method, method == "raw")
        assert stadium.mood.shares is not None
        cheering[method] = stadium.mood.shares["cheering"] or 0.0
    assert abs(cheering["gls"] - 0.6) < 0.5 * abs(cheering["raw"] - 0.6)


def test_a_mixed_fleet_of_models_shows() -> None:
    fleet = window(north=frames("north", ["sad"] * 3, model="new"), south=frames("south", ["sad"] * 3, model="old"))
    assert moods(fleet)[0].model == "new+old"


def test_a_camera_in_trouble_is_named_in_the_mood() -> None:
    closed: ClosedWindow[Emotions] = ClosedWindow(0, 10_000, {}, {"a": "live", "b": "idle", "c": "ended"})
    stadium = Moods(SETTINGS).of(closed, {"a": "frozen", "b": "down", "c": "down"})[0].mood
    assert stadium.cameras == {"a": "frozen", "b": "down", "c": "ended"}


def test_a_window_gives_the_same_moods_whatever_was_seen_before() -> None:
    first, second = window(a=frames("a", ["happy"] * 12, 20)), window(a=frames("a", ["happy"] * 12, 30)[10:])
    used = Moods(SETTINGS)
    used.of(first)
    assert used.of(second) == Moods(SETTINGS).of(second)
