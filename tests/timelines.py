"""Moods, changes and timelines that tests make up."""

from dataclasses import replace
from pathlib import Path

from crowdmood import LABELS, STADIUM
from crowdmood.mood import Mood, MoodChange
from crowdmood.replay import Replay
from crowdmood.reporting.timeline import Timeline
from crowdmood.settings import CameraSettings, Settings


def _around(happy: float) -> dict[str, float]:
    """Shares with so many happy, some neutral and nobody else."""
    return dict.fromkeys(LABELS, 0.0) | {"happy": happy, "neutral": round(1 - happy, 4)}


def mood(as_of_s: int, zone: str = STADIUM, camera: str | None = None) -> Mood:
    """What thirty people showed in the ten seconds before."""
    return Mood(
        as_of_ms=as_of_s * 1000,
        window_start_ms=(as_of_s - 10) * 1000,
        valid_until_ms=(as_of_s + 5) * 1000,
        status="ok",
        zone=zone,
        camera=camera,
        people=30,
        shares=_around(0.6),
        low=_around(0.5),
        high=_around(0.7),
        raw=_around(0.55),
        dominant="happy",
        valence=0.5,
        valence_low=0.4,
        valence_high=0.6,
        method="pacc",
        model="crowdnet/openvino-bf16",
        detector="haar",
        cameras={"north": "live"},
    )


def too_few(as_of_s: int) -> Mood:
    """The same of too few people."""
    return replace(mood(as_of_s).as_stale(), status="insufficient")


def change(sequence: int, as_of_s: int, zone: str = STADIUM, to: str = "happy") -> MoodChange:
    """A change settled by the window that ends at this second."""
    return MoodChange(
        sequence=sequence,
        zone=zone,
        as_of_ms=as_of_s * 1000,
        valid_until_ms=(as_of_s + 5) * 1000,
        from_label="neutral",
        to_label=to,
        people=30,
        shares=_around(0.6),
        low=_around(0.5),
        high=_around(0.7),
    )


def timeline(
    moods: list[Mood],
    *,
    changes: list[MoodChange] | None = None,
    lost: dict[str, int] | None = None,
    footage: str = "north.mp4",
    detail: str = "",
    incomplete: bool = False,
    last_frame_s: float | None = None,
) -> Timeline:
    """The timeline of a replay of one piece of footage."""
    row = {
        "frames": 300,
        "faces": 9000,
        "late": 0,
        "lost": lost or {},
        "detail": detail,
        "since_ms": 1_780_000_000_000,
        "last_frame_at_ms": None if last_frame_s is None else round(last_frame_s * 1000),
    }
    result = Replay(moods=moods, changes=changes or [], cameras={"north": row}, incomplete=incomplete)
    camera = CameraSettings.model_validate({"id": "north", "uri": str(Path("/somewhere") / footage)})
    return Timeline.of(result, Settings(cameras=(camera,)))
