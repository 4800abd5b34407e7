"""Where every frame that a camera gave a number to has gone, whatever comes of it."""

import json
import random

import pytest

from aggregator.windows import EventTimeWindows, WindowPolicy
from crowdmood.domain.messages import FrameRef

POLICY = WindowPolicy(window_ms=3000, hop_ms=1000, allowed_lateness_ms=2000, idle_timeout_ms=5000, max_wait_ms=60_000)


@pytest.mark.parametrize("seed", range(20))
def test_every_frame_is_accounted_for_once_whatever_comes_twice_late_or_never(seed: int) -> None:
    """Two live cameras with restarts; frames in some disorder, some twice, some never, some reported lost or not."""
    chance = random.Random(seed)
    target: EventTimeWindows[FrameRef] = EventTimeWindows(POLICY, {"A": False, "B": False})
    counted, late, lost, sent = (dict.fromkeys("AB", 0) for _ in range(4))
    arriving: list[tuple[int, str, str, int, int]] = []
    for camera in "AB":
        for run in ("first", "second", "third"):
            frames = chance.randrange(1, 60)
            start_ms = {"first": 0, "second": 15_000, "third": 40_000}[run]
            for frame_id in range(frames):
                at_ms = start_ms + frame_id * 250
                times = [at_ms + chance.randrange(0, 4000) for _ in range(chance.choice([0, 1, 1, 1, 1, 2]))]
                arriving += [(time_ms, camera, run, frame_id, at_ms) for time_ms in times]
    arriving.sort()
    last: dict[tuple[str, str], int] = {}
    for _, camera, run, frame_id, at_ms in arriving:
        last[camera, run] = max(last.get((camera, run), -1), frame_id)
        if chance.random() < 0.1:
            lost[camera] += target.lose(camera, run, range(frame_id, frame_id + 1))
        else:
            frame = FrameRef(camera, run, frame_id, at_ms, 640, 480, recorded=False)
            verdict = target.observe(frame, frame)
            counted[camera] += verdict == "counted"
            late[camera] += verdict == "late"
        target.close_ready()
        target.release()
        if chance.random() < 0.2:  # a successor sees again what was held, or nothing of it: the bus was emptied
            held = target.held()
            snapshot = target.snapshot()
            target = EventTimeWindows(POLICY)
            target.restore(json.loads(json.dumps(snapshot)))
            for frame in held if chance.random() < 0.7 else []:
                assert target.observe(frame, frame) == "returned"  # counted before, and not again
        accounts = target.accounts()
        for name, account in accounts.items():
            assert account.accepted == counted[name] + late[name] + lost[name] + account.missing + account.awaited
    for (camera, _), newest in last.items():
        sent[camera] += newest + 1
    assert {name: account.accepted for name, account in target.accounts().items()} == sent
