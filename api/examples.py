"""Realistic answers for the OpenAPI document, made by the code that makes the real ones."""

from typing import Any

from api.answers import Scope, camera_answers, no_mood_yet
from crowdmood import STADIUM
from crowdmood.mood import Mood, MoodChange, to_ms

_AS_OF_MS = to_ms("2026-05-01T15:00:00Z")

OK = Mood(
    as_of_ms=_AS_OF_MS,
    window_start_ms=_AS_OF_MS - 10_000,
    valid_until_ms=_AS_OF_MS + 5_000,
    status="ok",
    zone=STADIUM,
    camera=None,
    people=412,
    shares={
        "angry": 0.05,
        "disgust": 0.01,
        "fear": 0.02,
        "happy": 0.58,
        "sad": 0.04,
        "surprise": 0.12,
        "neutral": 0.18,
    },
    low={
        "angry": 0.03,
        "disgust": 0.0,
        "fear": 0.0,
        "happy": 0.54,
        "sad": 0.01,
        "surprise": 0.09,
        "neutral": 0.14,
    },
    high={
        "angry": 0.07,
        "disgust": 0.02,
        "fear": 0.05,
        "happy": 0.62,
        "sad": 0.08,
        "surprise": 0.15,
        "neutral": 0.22,
    },
    raw={
        "angry": 0.06,
        "disgust": 0.01,
        "fear": 0.03,
        "happy": 0.54,
        "sad": 0.05,
        "surprise": 0.11,
        "neutral": 0.2,
    },
    dominant="happy",
    valence=0.46,
    valence_low=0.41,
    valence_high=0.51,
    method="sld",
    model="crowdnet-1a2b3c4d/openvino-bf16",
    detector="haarcascade_frontalface_default",
    cameras={"north": "live", "south": "live"},
)

INSUFFICIENT = Mood.blank(
    as_of_ms=_AS_OF_MS,
    window_start_ms=_AS_OF_MS - 10_000,
    valid_until_ms=_AS_OF_MS + 5_000,
    zone=STADIUM,
    camera="south",
    method="sld",
    model="crowdnet-1a2b3c4d/openvino-bf16",
    detector="haarcascade_frontalface_default",
    cameras={"south": "frozen"},
)

MOOD: dict[str, Any] = {
    "ok": {"summary": "A mood to act on", "value": OK.to_dict()},
    "insufficient": {"summary": "Too few people: show your default", "value": INSUFFICIENT.to_dict()},
    "stale": {"summary": "Nothing new for too long: show your default", "value": OK.as_stale().to_dict()},
    "none": {"summary": "Before the first mood: show your default", "value": no_mood_yet(Scope())},
}

MOODS: dict[str, Any] = {
    "range": {"summary": "A short range", "value": {"moods": [OK.to_dict()], "next": None}},
}

_shares, _low, _high = OK.shares, OK.low, OK.high
assert _shares is not None and _low is not None and _high is not None
CHANGE = MoodChange(
    sequence=7,
    zone=STADIUM,
    as_of_ms=OK.as_of_ms,
    valid_until_ms=OK.valid_until_ms,
    from_label="neutral",
    to_label="happy",
    people=412,
    shares=_shares,
    low=_low,
    high=_high,
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
                    "source": "rtsp://camera-north.example/stream",
                    "recorded": False,
                    "detail": "",
                    "run_id": "live-1",
                    "detector": "haar",
                    "model": OK.model,
                    "last_frame_at_ms": _AS_OF_MS - 200,
                    "frames": 18_000,
                    "faces": 3_712_450,
                    "unfit": {"small": 181_200, "poor": 40_118},
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
                    "unfit": {"small": 0, "poor": 9_204},
                    "lost": {},
                    "late": 0,
                    "duplicates": 4,
                },
            }
        ),
    }
}


BY_PATH: dict[str, Any] = {"/mood": MOOD, "/moods": MOODS, "/changes": CHANGES, "/cameras": CAMERAS}
"""Examples of the 200 answers."""
