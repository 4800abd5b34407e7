"""People in a simulated stand are counted while they sway and jump, and the camera pans, zooms, rolls and shakes."""

import numpy as np
import pytest

from aggregator.people import people
from aggregator.views import Links
from crowdmood.domain.messages import Emotions, FrameRef
from simulator.bank import FaceBank
from simulator.script import MatchEvent
from simulator.stand import Stand

FPS, WINDOW, SIZE = 5, 50, (1280, 720)


@pytest.mark.parametrize("missed", [0.0, 0.3])
def test_people_who_jump_before_a_shaking_camera_are_counted(missed: float) -> None:
    rng = np.random.default_rng(0)
    bank = FaceBank(tuple(np.full((3, 64, 64), 60 + 20 * label, np.uint8) for label in range(8)))
    stand = Stand("stand-1", SIZE, 160, 0, (MatchEvent(at_s=8, event="goal"),), 14.0, bank, (3,))
    frames, shown, found = [], [], []
    for k in range(14 * FPS):
        seen = stand.visible_people(k / FPS)
        hit = ~seen.occluded & (rng.random(len(seen.persons)) >= missed)
        boxes = seen.boxes[hit] + rng.normal(0, 0.04, (hit.sum(), 4)) * np.diff(seen.boxes[hit][:, ::2])
        ref = FrameRef("stand-1", "r", k, k * 1000 // FPS, *SIZE, True)
        n = len(boxes)
        rows, quality = np.full((n, 7), 1 / 7, np.float16), np.ones(n, np.float16)
        frames.append(Emotions(ref, np.rint(boxes).astype(np.int32), rows, quality, quality, "m", "yunet"))
        shown.append(seen.persons)
        found.append(seen.persons[hit])
    links = Links()
    for end in range(WINDOW, len(frames) + 1, FPS):
        window = slice(end - WINDOW, end)
        times_shown = np.bincount(np.concatenate(shown[window]), minlength=160)
        times_found = np.bincount(np.concatenate(found[window]), minlength=160)
        # Who is hidden by others nearly all the time cannot be counted by a detector.
        truth = int(np.count_nonzero((times_found > 0) & (times_found >= 0.2 * times_shown)))
        assert truth > 130
        assert len(people(frames[window], links)) == pytest.approx(truth, rel=0.1)
        links.end_window()
