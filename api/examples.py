"""Realistic responses for the OpenAPI document, made by the code that makes the real ones."""

from dataclasses import replace
from typing import Any

from api.answers import Scope, camera_answers, no_mood_yet
from crowdmood.core.settings import STADIUM
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange, Shares, to_ms

_AS_OF_MS = to_ms("2026-05-01T15:00:00Z")

_SHARES: Shares = dict(zip(LABELS, (0.02, 0.0, 0.0, 0.5, 0.02, 0.04, 0.2, 0.22), strict=True))
_LOW: Shares = dict(zip(LABELS, (0.0, 0.0, 0.0, 0.44, 0.0, 0.02, 0.15, 0.17), strict=True))
_HIGH: Shares = dict(zip(LABELS, (0.04, 0.02, 0.02, 0.56, 0.04, 0.06, 0.25, 0.27), strict=True))

OK = Mood(
    as_of_ms=_AS_OF_MS,
    window_start_ms=_AS_OF_MS - 10_000,
    valid_until_ms=_AS_OF_MS + 5_000,
    status="ok",
    zone=STADIUM,
    camera=None,
    people=500,
    readable=400,
    shares=_SHARES,
    low=_LOW,
    high=_HIGH,
    raw=dict(zip(LABELS, (0.02, 0.0, 0.0, 0.48, 0.04, 0.04, 0.24, 0.18), strict=True)),
    dominant="happy",
    valence=0.46,
    valence_low=0.39,
    valence_high=0.53,
    energy=0.26,
    energy_low=0.2,
    energy_high=0.32,
    method="gls",
    fit=0.9,
    model="crowdnet-1a2b3c4d/openvino-bf16",
    detector="haarcascade_frontalface_default",
    cameras={"north": "live", "south": "live"},
)

SEVEN_LABELS = replace(
    OK,
    shares=dict(zip(LABELS, (0.02, 0.0, 0.02, 0.56, 0.06, 0.12, 0.22, None), strict=True)),
    low=dict(zip(LABELS, (0.0, 0.0, 0.0, 0.49, 0.02, 0.07, 0.16, None), strict=True)),
    high=dict(zip(LABELS, (0.05, 0.02, 0.05, 0.63, 0.1, 0.17, 0.28, None), strict=True)),
    raw=dict(zip(LABELS, (0.04, 0.0, 0.04, 0.52, 0.08, 0.1, 0.22, None), strict=True)),
    energy=None,
    energy_low=None,
    energy_high=None,
    model="conv4-5e6f7a8b/openvino-bf16",
)

INSUFFICIENT = Mood.blank(
    as_of_ms=_AS_OF_MS,
    window_start_ms=_AS_OF_MS - 10_000,
    valid_until_ms=_AS_OF_MS + 5_000,
    zone=STADIUM,
    camera="south",
    method="gls",
    model="crowdnet-1a2b3c4d/openvino-bf16",
    detector="haarcascade_frontalface_default",
    cameras={"south": "frozen"},
)

MOOD: dict[str, Any] = {
    "ok": {"summary": "A mood to act on", "value": OK.to_dict()},
    "seven labels": {"summary": "The network does not know cheering", "value": SEVEN_LABELS.to_dict()},
    "insufficient": {"summary": "Too few readable people: show your default", "value": INSUFFICIENT.to_dict()},
    "stale": {"summary": "Nothing new for too long: show your default", "value": OK.as_stale().to_dict()},
    "overridden": {
        "summary": "An operator decides what boards show",
        "value": OK.overridden(
            {"show": "anthem", "from": "2026-05-01T14:59:00.000Z", "until": "2026-05-01T15:01:00.000Z"}
        ).to_dict(),
    },
    "none": {"summary": "Before the first mood: show your default", "value": no_mood_yet(Scope())},
}

MOODS: dict[str, Any] = {
    "range": {"summary": "A short range", "value": {"moods": [OK.to_dict()], "next": None}},
}

CHANGE = MoodChange(
    sequence=7,
    zone=STADIUM,
    as_of_ms=OK.as_of_ms,
    valid_until_ms=OK.valid_until_ms,
    from_label="neutral",
    to_label="happy",
    people=500,
    readable=400,
    shares=_SHARES,
    low=_LOW,
    high=_HIGH,
)

CHANGES: dict[str, Any] = {
    "page": {"summary": "There is more", "value": {"changes": [CHANGE.to_dict()], "next": "1777647600000-0"}},
}

CAMERAS: dict[str, Any] = {
    "cameras": {
        "summary": "A live camera and ended footage",
        "value": camera_answers(
            {
                "north": {
                    "state": "live",
                    "since_ms": _AS_OF_MS - 3_600_000,
                    "source": "rtsp://camera-north.example/…",
                    "recorded": False,
                    "detail": "",
                    "run_id": "live-1",
                    "detector": "haar",
                    "model": OK.model,
                    "last_frame_at_ms": _AS_OF_MS - 200,
                    "frames": 18_000,
                    "faces": 3_712_450,
                    "unfit": {"small": 181_200, "poor": 40_118, "unreadable": 402_770},
                    "lost": {"overload": 12},
                    "late": 3,
                    "duplicates": 0,
                },
                "first-half": {
                    "state": "ended",
                    "since_ms": _AS_OF_MS - 60_000,
                    "source": "first-half.mp4",
                    "recorded": True,
                    "detail": "end of footage",
                    "run_id": "replay-1",
                    "detector": "haar",
                    "model": OK.model,
                    "last_frame_at_ms": 2_700_000,
                    "frames": 13_500,
                    "faces": 810_000,
                    "unfit": {"small": 0, "poor": 9_204, "unreadable": 98_310},
                    "lost": {},
                    "late": 0,
                    "duplicates": 4,
                },
            },
            sources=True,
        ),
    }
}


BY_PATH: dict[str, Any] = {"/mood": MOOD, "/moods": MOODS, "/changes": CHANGES, "/cameras": CAMERAS}
"""Examples of responses with status 200, by path."""
