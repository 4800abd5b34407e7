"""A leader that is busy, or whose bus is unreachable, keeps its lease; one that dies is replaced once."""

import time
from collections.abc import Callable
from pathlib import Path

from crowdmood.bus.keys import StreamName
from crowdmood.domain.messages import Message
from tests.waiting import eventually, seconds_until

from .live_crowds import Aggregators, LiveCamera, emotions, two_aggregators, wall_ms

LEASE_S = 0.5
LEASE = {"CROWDMOOD_AGGREGATOR__LEASE_S": str(LEASE_S)}
CAMERAS = tuple(f"camera-{number}" for number in range(8))
FACES = 1500


def test_bus_outage_longer_than_the_lease_begins_no_term(tmp_path: Path, figures: Callable[..., None]) -> None:
    outage_s = 6.0
    with two_aggregators(tmp_path, ("north",), **LEASE) as (aggregators, bus):
        camera = LiveCamera(bus.url, aggregators.settings, "north")
        try:
            eventually(aggregators.of_stadium)
            with bus.frozen():
                time.sleep(outage_s)
            healthy_ms = wall_ms()
            back_s = seconds_until(lambda: aggregators.newest().as_of_ms > healthy_ms)
            eventually(lambda: aggregators.roles() == {"one": "leading", "two": "standby"})
            assert "leading in term" not in aggregators.log("two")
            assert aggregators.log("one").count("leading in term") == 1
        finally:
            camera.close()
    figures(f"bus frozen for {outage_s / LEASE_S:.0f} leases: one term, a new mood {back_s:.1f} s after its health")


def test_cold_takeover_whose_windows_outlast_the_lease_takes_one_term(
    tmp_path: Path, figures: Callable[..., None]
) -> None:
    def send(aggregators: Aggregators, seconds: range) -> None:
        for second in seconds:
            messages: list[tuple[StreamName, Message]] = [
                ("emotions", emotions(name, second, first_ms + second * 1000, FACES)) for name in CAMERAS
            ]
            aggregators.bus.publish(messages)

    first_ms = wall_ms() - 20_000  # no frame is ahead of the clock, however fast they are published
    with two_aggregators(tmp_path, CAMERAS, **LEASE) as (aggregators, _):
        send(aggregators, range(12))
        eventually(aggregators.of_stadium, 240)
        aggregators.processes["one"].kill()
        send(aggregators, range(12, 18))
        eventually(lambda: "leading in term 2" in aggregators.log("two"))
        known = len(aggregators.of_stadium())
        window_s = seconds_until(lambda: len(aggregators.of_stadium()) > known, 240)
        aggregators.start("one")  # it stands by, ready to acquire a lease that expires
        end_ms = aggregators.newest().as_of_ms // 1000 * 1000
        eventually(lambda: aggregators.newest().as_of_ms >= max(end_ms, (first_ms + 17_000) // 1000 * 1000), 240)
        assert "term 3" not in aggregators.log("one")
        assert "another process leads, this one led" not in aggregators.log("two")
    assert window_s > LEASE_S, "the windows were too cheap to show anything"
    figures(
        f"takeover of {len(CAMERAS)} cameras with {FACES} faces each: the first mood took {window_s:.1f} s, "
        f"the lease lasts {LEASE_S:g} s; one term"
    )
