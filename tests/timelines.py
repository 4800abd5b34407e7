"""Moods, changes and timelines for tests."""

from dataclasses import replace
from pathlib import Path

from app.replay import Replay
from app.reports.timeline import Timeline
from crowdmood.core.settings import STADIUM, CameraSettings, Settings
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange, Shares

SCHEMA_1_MOOD = (
    '{"schema":1,"as_of":"2026-05-01T15:00:00.000Z","window_start":"2026-05-01T14:59:50.000Z",'
    '"valid_until":"2026-05-01T15:00:05.000Z","status":"ok","zone":"stadium","camera":null,"people":412,'
    '"shares":{"angry":0.05,"disgust":0.01,"fear":0.02,"happy":0.58,"sad":0.04,"surprise":0.12,"neutral":0.18},'
    '"low":{"angry":0.03,"disgust":0.0,"fear":0.0,"happy":0.54,"sad":0.01,"surprise":0.09,"neutral":0.14},'
    '"high":{"angry":0.07,"disgust":0.02,"fear":0.05,"happy":0.62,"sad":0.08,"surprise":0.15,"neutral":0.22},'
    '"raw":{"angry":0.06,"disgust":0.01,"fear":0.03,"happy":0.54,"sad":0.05,"surprise":0.11,"neutral":0.2},'
    '"dominant":"happy","valence":0.46,"valence_low":0.41,"valence_high":0.51,"method":"sld",'
    '"model":"crowdnet-1a2b3c4d/openvino-bf16","detector":"haarcascade_frontalface_default",'
    '"cameras":{"north":"live"}}'
)
"""A stored mood of schema 1."""

SCHEMA_1_CHANGE = (
    '{"schema":1,"as_of":"2026-05-01T15:00:00.000Z","valid_until":"2026-05-01T15:00:05.000Z","sequence":7,'
    '"zone":"stadium","from":"neutral","to":"happy","people":412,'
    '"shares":{"angry":0.05,"disgust":0.01,"fear":0.02,"happy":0.58,"sad":0.04,"surprise":0.12,"neutral":0.18},'
    '"low":{"angry":0.03,"disgust":0.0,"fear":0.0,"happy":0.54,"sad":0.01,"surprise":0.09,"neutral":0.14},'
    '"high":{"angry":0.07,"disgust":0.02,"fear":0.05,"happy":0.62,"sad":0.08,"surprise":0.15,"neutral":0.22}}'
)
"""A stored change of schema 1."""


def _of(happy: float, neutral: float) -> Shares:
    """Return figures of happy and neutral, and 0 for the other labels."""
    return {**dict.fromkeys(LABELS, 0.0), "happy": happy, "neutral": neutral}


def mood(as_of_s: int, zone: str = STADIUM, camera: str | None = None) -> Mood:
    """Return a mood of 40 people, 30 of them readable, in a window of 10 s that ends at this second."""
    return Mood(
        as_of_ms=as_of_s * 1000,
        window_start_ms=(as_of_s - 10) * 1000,
        valid_until_ms=(as_of_s + 5) * 1000,
        status="ok",
        zone=zone,
        camera=camera,
        people=40,
        readable=30,
        shares=_of(0.6, 0.4),
        low=_of(0.5, 0.3),
        high=_of(0.7, 0.5),
        raw=_of(0.55, 0.45),
        dominant="happy",
        valence=0.5,
        valence_low=0.4,
        valence_high=0.6,
        energy=0.1,
        energy_low=0.05,
        energy_high=0.15,
        method="pacc",
        fit=0.9,
        model="crowdnet/openvino-bf16",
        detector="haar",
        cameras={"north": "live"},
    )


def seven_labels(as_of_s: int) -> Mood:
    """Return the same mood from a network without cheering."""
    known = mood(as_of_s)
    parts = {name: {**getattr(known, name), "cheering": None} for name in ("shares", "low", "high", "raw")}
    return replace(known, **parts, energy=None, energy_low=None, energy_high=None)


def too_few(as_of_s: int) -> Mood:
    """Return the same mood with too few readable people."""
    return replace(mood(as_of_s).as_stale(), status="insufficient")


def change(sequence: int, as_of_s: int, zone: str = STADIUM, to: str = "happy") -> MoodChange:
    """Return a change with the window that ends at this second."""
    return MoodChange(
        sequence=sequence,
        zone=zone,
        as_of_ms=as_of_s * 1000,
        valid_until_ms=(as_of_s + 5) * 1000,
        from_label="neutral",
        to_label=to,
        people=40,
        readable=30,
        shares=_of(0.6, 0.4),
        low=_of(0.5, 0.3),
        high=_of(0.7, 0.5),
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
    """Return the timeline of a replay with one camera."""
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
