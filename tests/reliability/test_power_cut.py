"""The state store loses its last seconds, as after a power cut: the moods of footage are the same bytes."""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from crowdmood.bus.keys import StreamName
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import CameraState, Message
from crowdmood.store.moods import START
from tests.crowds import seen
from tests.waiting import eventually, seconds_until

from .live_crowds import Aggregators
from .servers import Server

CAMERAS = ("north", "south")
FRAMES = 120


def footage(first: int, until: int) -> list[tuple[StreamName, Message]]:
    """Return the emotions of some frames of both cameras, and their end after the last."""
    messages: list[tuple[StreamName, Message]] = []
    for number in range(first, until):
        label = "neutral" if number < FRAMES // 2 else "happy"
        messages += [("emotions", seen(camera, number, [label] * 30, every_ms=500)) for camera in CAMERAS]
    if until == FRAMES:
        messages += [
            ("control", CameraState(camera, "run-1", "ended", True, "footage", "", FRAMES, 1_000)) for camera in CAMERAS
        ]
    return messages


def written(aggregators: Aggregators) -> tuple[list[str], list[str]]:
    """Return all moods and all changes."""
    store = aggregators.store
    moods = [mood.to_json() for _, mood in store.since(START, 100_000)[1]]
    return moods, [change.to_json() for _, change in store.changes_since(START)[1]]


def test_checkpoints_that_no_disk_had_are_made_again(tmp_path: Path, figures: Callable[..., None]) -> None:
    with ExitStack() as stack:
        bus, state = Server("bus", tmp_path), Server("state", tmp_path)
        for server in (bus, state):
            stack.callback(server.kill)
            server.start()

        def aggregators(prefix: str) -> Aggregators:
            found = Aggregators(
                tmp_path,
                bus.url,
                state.url,
                CAMERAS,
                BusSettings(key_prefix=prefix),
                uri="{}.mp4",
                CROWDMOOD_RUN_ID="run-1",
            )
            stack.callback(found.close)
            return found

        undisturbed = aggregators("undisturbed")
        undisturbed.bus.publish(footage(0, FRAMES))
        undisturbed.start("only")
        eventually(lambda: undisturbed.bus.backlog("emotions") == 0)
        expected = written(undisturbed)

        crowd = aggregators("drill")
        crowd.start("one")
        eventually(lambda: crowd.roles() == {"one": "leading"})
        crowd.start("two")
        crowd.bus.publish(footage(0, 40))
        eventually(lambda: crowd.bus.backlog("emotions") <= 2 * 20)  # what is durable is acknowledged
        state.client.config_set("appendfsync", "no")
        time.sleep(1)
        saved = tmp_path / "on-disk"
        shutil.copytree(state.folder / "appendonlydir", saved)
        crowd.bus.publish(footage(40, 80))
        known = len(written(crowd)[0])
        eventually(lambda: len(written(crowd)[0]) > known + 30)
        lost = len(written(crowd)[0])
        assert crowd.bus.backlog("emotions") > 2 * 40  # nothing is acknowledged that no disk has

        for process in crowd.processes.values():
            process.kill()
        state.kill()
        shutil.rmtree(state.folder / "appendonlydir")
        shutil.copytree(saved, state.folder / "appendonlydir")
        state.start()
        left = len(written(crowd)[0])
        assert left < lost
        for name in ("one", "two"):
            crowd.start(name)
        crowd.bus.publish(footage(80, FRAMES))
        took_s = seconds_until(lambda: written(crowd) == expected)
        eventually(lambda: crowd.bus.backlog("emotions") == 0)
    figures(
        f"a power cut took {lost - left} of {lost} moods from the state store: all made again, every byte as "
        f"undisturbed, {took_s:.1f} s after the start; {len(expected[1])} change, with its sequence"
    )
