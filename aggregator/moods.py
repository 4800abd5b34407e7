"""From a closed window to its moods: one for the whole stadium, one for each camera. Pure."""

from collections.abc import Iterable, Mapping

from aggregator.shares import METHOD, dominant, raw_shares, stack, valence
from aggregator.windows import ClosedWindow
from crowdmood.messages import Emotions
from crowdmood.mood import STADIUM, Mood
from crowdmood.settings import AggregatorSettings


def moods_of(
    window: ClosedWindow[Emotions], settings: AggregatorSettings, troubled: Mapping[str, str] | None = None
) -> list[Mood]:
    """The stadium's mood, then each camera's.

    People are the faces of the last frame that each camera has in the window.

    Args:
        window: What the cameras saw.
        settings: Fewest people, and how long a mood is valid.
        troubled: Cameras that report `frozen` or `down`, which a live camera's state in the mood then says.
    """
    states = {
        camera_id: (troubled or {}).get(camera_id, state) if state != "ended" else state
        for camera_id, state in window.cameras.items()
    }
    last = {camera_id: frames[-1] for camera_id, frames in window.frames.items()}
    stadium = _mood(window, settings, list(last.values()), None, states)
    return [
        stadium,
        *(
            _mood(window, settings, [last[camera_id]] if camera_id in last else [], camera_id, {camera_id: state})
            for camera_id, state in states.items()
        ),
    ]


def _mood(
    window: ClosedWindow[Emotions],
    settings: AggregatorSettings,
    frames: list[Emotions],
    camera_id: str | None,
    states: dict[str, str],
) -> Mood:
    people = stack([frame.probabilities for frame in frames])
    enough = len(people) >= settings.min_faces
    shares = raw_shares(people) if enough else None
    return Mood(
        as_of_ms=window.end_ms,
        window_start_ms=window.start_ms,
        valid_until_ms=window.end_ms + round(settings.valid_for_s * 1000),
        status="ok" if enough else "insufficient",
        zone=STADIUM,
        camera=camera_id,
        people=len(people) if enough else None,
        shares=shares,
        raw=shares,
        dominant=dominant(shares) if shares else None,
        valence=valence(shares) if shares else None,
        method=METHOD,
        model=_named(frame.model_id for frame in frames),
        detector=_named(frame.detector for frame in frames),
        cameras=states,
    )


def _named(names: Iterable[str]) -> str | None:
    """All the names that occur, so that a mixed fleet shows."""
    return "+".join(sorted(set(names))) or None
