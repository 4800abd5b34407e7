"""Reports about a live camera stay bounded while the bus is unreachable."""

from crowdmood.core.settings import CameraSettings
from crowdmood.domain.messages import FramesLost
from ingest.cameras import IngestRun
from ingest.live_publisher import PendingReports

RUN = IngestRun(CameraSettings.model_validate({"id": "north", "uri": "rtsp://cam.example/1"}), "7")


def test_merges_consecutive_losses_and_keeps_only_the_newest_state() -> None:
    reports = PendingReports()
    assert reports.messages() == []
    reports.set_state(RUN.state("down", "gone"))
    for frame_id, reason in [(3, "overload"), (4, "overload"), (5, "bus_unavailable"), (7, "bus_unavailable")]:
        reports.add_loss(RUN.lost(frame_id, reason))
    live = RUN.state("live")
    reports.set_state(live)
    assert reports.messages() == [
        FramesLost("north", "7", 3, 4, "overload"),
        FramesLost("north", "7", 5, 5, "bus_unavailable"),
        FramesLost("north", "7", 7, 7, "bus_unavailable"),
        live,
    ]
    reports.clear()
    assert reports.messages() == []
