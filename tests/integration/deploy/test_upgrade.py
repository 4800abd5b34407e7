"""An upgrade in the order of the runbook: stages are replaced during a replay, and the moods stay the same."""

import re
import uuid
from pathlib import Path

from crowdmood.core.settings import Settings, load
from crowdmood.store.moods import MoodStore
from tests.pipelines import STAGES, Running, complete, moods, pipeline, small_footage, wait_for

RUNBOOK = (Path(__file__).parents[3] / "docs/operations.md").read_text()
CAMERAS, FRAMES = 2, 50


def test_replacing_every_stage_during_a_replay_gives_the_same_bytes(
    server_url: str, assets: Path, tmp_path: Path
) -> None:
    footage = small_footage(assets / "footage/terrace-north.mp4", tmp_path, CAMERAS, FRAMES)
    prefix = f"upgrade-{uuid.uuid4().hex[:8]}"

    def settings(key_prefix: str, speed: object) -> Settings:
        return load(
            bus_url=server_url,
            state_url=server_url,
            bus={"key_prefix": key_prefix, "max_backlog": 4},
            run_id="match",
            cameras=footage,
            ingest={"speed": speed},
            aggregator={"min_faces": 1, "expose_individuals": True, "window_s": 3},
        )

    upgrade = RUNBOOK.partition("## Upgrade")[2].partition("```\n")[2].partition("```")[0]
    order = [word for line in re.findall(r"--no-deps (.*)", upgrade) for word in line.split()]
    assert set(order) == {*STAGES, "dispatch", "api"}

    store = MoodStore(server_url, prefix)
    new = settings(prefix, 1)
    running = {stage: Running(stage, new, f"{stage}-old") for stage in STAGES}
    try:
        for number, stage in enumerate(stage for stage in order if stage in STAGES):
            # Replace the stage in the middle of the footage, after the stage that was replaced before it has worked.
            counted = 6 * (number + 1)
            wait_for(lambda counted=counted: store.cameras().get("camera-0", {}).get("frames", 0) >= counted)
            running[stage].stop()
            running[stage] = Running(stage, new, f"{stage}-new")
        assert not complete(store, CAMERAS, FRAMES)
        wait_for(lambda: complete(store, CAMERAS, FRAMES), list(running.values()))
    finally:
        for stage in reversed(STAGES):
            running[stage].stop()
    assert {name: (row["frames"], row["lost"]) for name, row in store.cameras().items()} == {
        f"camera-{camera}": (FRAMES, {}) for camera in range(CAMERAS)
    }

    other = MoodStore(server_url, f"{prefix}-u")
    with pipeline(lambda *_: settings(f"{prefix}-u", "max")):
        wait_for(lambda: complete(other, CAMERAS, FRAMES))
    assert len(moods(store)) > 3
    assert [mood.to_json() for mood in moods(store)] == [mood.to_json() for mood in moods(other)]
