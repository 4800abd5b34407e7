"""The messages about a camera's run, and the counts of its frames."""

from crowdmood.core.settings import CameraSettings
from ingest.cameras import FrameCounts, IngestRun

RUN = IngestRun(
    CameraSettings.model_validate({"id": "north", "uri": "rtsp://eye:secret@cam.example/1?key=secret"}), "7"
)


def test_state_of_a_camera_holds_no_credentials() -> None:
    state = RUN.state("opening")
    assert state.source == "rtsp://cam.example/…"
    assert not state.recorded
    assert b"secret" not in b"".join(state.to_fields().values())


def test_summary_counts_frames_and_losses_by_reason() -> None:
    counts = FrameCounts()
    assert str(counts) == "0 frames, lost: none"
    counts.add_published("north")
    for reason in ("overload", "unreadable", "overload"):
        counts.add_lost(reason)
    assert str(counts) == "1 frames, lost: 2 overload, 1 unreadable"
