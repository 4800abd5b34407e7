"""From a closed window to its moods: the stadium's, each zone's, each camera's. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from aggregator.crowd import Crowd
from aggregator.disclosure import tellable
from aggregator.estimate import Estimate, combined, estimate
from aggregator.people import Links, people
from aggregator.shares import told
from aggregator.windows import ClosedWindow
from crowdmood import STADIUM
from crowdmood.confusions import Confusions
from crowdmood.messages import Emotions
from crowdmood.mood import Mood
from crowdmood.settings import AggregatorSettings

Judged: TypeAlias = tuple[Crowd, bytes]
"""The people whom one camera saw in a window and who count; and what is known of the network, as it travels."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a window says of one scope.

    Attributes:
        mood: Its mood, which is published: the mean of the window.
        lately: The same by what each person showed last in the window; None where nothing may be told, and for a
            single camera, of whose changes nobody is told.
    """

    mood: Mood
    lately: Mood | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose mood is told: a zone's (every camera's for the stadium), or one camera's."""

    zone: str
    camera: str | None
    cameras: frozenset[str]


class Moods:
    """Makes the moods of windows.

    Args:
        settings: Who counts, how they are counted, and how long a mood is valid.
        zones: Named sets of cameras.
    """

    def __init__(self, settings: AggregatorSettings, zones: Mapping[str, Sequence[str]] | None = None) -> None:
        self._settings = settings
        self._zones = {name: frozenset(cameras) for name, cameras in (zones or {}).items()}
        self._links: dict[str, Links] = {}

    def of(self, window: ClosedWindow[Emotions], troubled: Mapping[str, str] | None = None) -> list[Finding]:
        """What is found for the stadium, then for each zone, then for each camera.

        Nothing but the status is told of a scope with too few people; nor of one by which others would tell of few.

        Args:
            window: What the cameras saw.
            troubled: Cameras that report `frozen` or `down`, which a live camera's state in the mood then says.
        """
        states = {
            camera_id: (troubled or {}).get(camera_id, state) if state != "ended" else state
            for camera_id, state in window.cameras.items()
        }
        crowds = {camera_id: self._crowd(camera_id, frames) for camera_id, frames in window.frames.items()}
        self._links = {camera_id: links for camera_id, links in self._links.items() if camera_id in crowds}
        scopes = self._scopes(states)
        counts = {camera_id: len(crowds[camera_id][0]) if camera_id in crowds else 0 for camera_id in states}
        may_be_told = tellable((scope.cameras for scope in scopes), counts, self._settings.min_faces)
        return [
            self._finding(window, scope, crowds if tell else None, states)
            for scope, tell in zip(scopes, may_be_told, strict=True)
        ]

    def _scopes(self, states: Mapping[str, str]) -> list[Scope]:
        zones = [Scope(name, None, cameras & states.keys()) for name, cameras in self._zones.items()]
        return [
            Scope(STADIUM, None, frozenset(states)),
            *(zone for zone in zones if zone.cameras),
            *(Scope(STADIUM, camera_id, frozenset([camera_id])) for camera_id in states),
        ]

    def _crowd(self, camera_id: str, frames: Sequence[Emotions]) -> Judged:
        links = self._links.setdefault(camera_id, Links())
        seen = people([_weighed(frame, self._settings) for frame in frames], links)
        links.end_window()
        # The frames of a window in which the model was changed are read as the newest one's.
        return seen.crowd.only(seen.quality > 0), frames[-1].confusions

    def _finding(
        self,
        window: ClosedWindow[Emotions],
        scope: Scope,
        crowds: Mapping[str, Judged] | None,
        states: Mapping[str, str],
    ) -> Finding:
        """What is found for a scope; withheld without crowds."""
        cameras = [camera_id for camera_id in states if camera_id in scope.cameras]
        frames = [frame for camera_id in cameras for frame in window.frames.get(camera_id, [])]
        blank = Mood.blank(
            as_of_ms=window.end_ms,
            window_start_ms=window.start_ms,
            valid_until_ms=window.end_ms + round(self._settings.valid_for_s * 1000),
            zone=scope.zone,
            camera=scope.camera,
            method=self._settings.method,
            model=_named(frame.model_id for frame in frames),
            detector=_named(frame.detector for frame in frames),
            cameras={camera_id: states[camera_id] for camera_id in cameras},
        )
        if crowds is None:
            return Finding(blank, None)
        judged = [crowds[camera_id] for camera_id in cameras if camera_id in crowds]
        mood = self._filled(blank, judged)
        if scope.camera is not None:
            return Finding(mood, None)
        if all(crowd.is_constant() for crowd, _ in judged):
            return Finding(mood, mood)
        return Finding(mood, self._filled(blank, [(crowd.lately(), confusions) for crowd, confusions in judged]))

    def _filled(self, blank: Mood, crowds: Sequence[Judged]) -> Mood:
        found = self._estimate(crowds)
        return replace(blank, status="ok", people=found.people, method=found.method, **told(found))

    def _estimate(self, crowds: Sequence[Judged]) -> Estimate:
        by_network: dict[bytes, list[Crowd]] = {}
        for crowd, confusions in crowds:
            if len(crowd):
                by_network.setdefault(confusions, []).append(crowd)
        return combined(
            [
                estimate(Crowd.joined(parts), self._settings.method, Confusions.from_bytes(confusions))
                for confusions, parts in by_network.items()
            ]
        )


def unfit(emotions: Emotions, settings: AggregatorSettings) -> dict[str, npt.NDArray[np.bool_]]:
    """Which faces are seen but do not count, by reason; bool (N,) each, no face has two.

    Args:
        emotions: The faces of one frame.
        settings: The smallest and the worst face that count.
    """
    boxes = emotions.boxes
    small = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) < settings.min_face_px
    return {"small": small, "poor": ~small & (emotions.quality < settings.min_quality)}


def _weighed(emotions: Emotions, settings: AggregatorSettings) -> Emotions:
    """The same faces; those that do not count say nothing."""
    without = np.logical_or.reduce(list(unfit(emotions, settings).values()))
    return replace(emotions, quality=np.where(without, np.float16(0), emotions.quality))


def _named(names: Iterable[str]) -> str | None:
    """All the names that occur, so that a mixed fleet shows."""
    return "+".join(sorted(set(names))) or None
