"""Makes the moods of a closed window: of the stadium, each zone and each camera. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aggregator.crowd import Crowd
from aggregator.disclosure import publishable
from aggregator.estimate import Estimate, combined, estimate
from aggregator.holding import Figures, HeldFigures
from aggregator.people import people
from aggregator.shares import published_figures
from aggregator.views import Links
from aggregator.windows import ClosedWindow
from crowdmood.core.settings import STADIUM, AggregatorSettings
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.messages import Emotions
from crowdmood.domain.mood import Mood

_EXACT_STEPS: Final = 1000
"""Steps from 0 to 1 of figures that are not published, and of exposed ones."""

_LEAST_PROBABILITY: Final = 1e-3
"""Added to a face's probabilities of the common labels, so that a face with another label still has shares."""


@dataclass(frozen=True, slots=True, eq=False)
class CameraCrowd:
    """The people that one camera saw in a window.

    Attributes:
        people: Number of people with a face that is large and sharp enough, readable or not.
        at_once: Most readable people in one frame: the crowd has at least so many.
        crowd: The readable people.
        confusions: The network's confusions, serialised.
    """

    people: int
    at_once: int
    crowd: Crowd
    confusions: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a window for one scope.

    Attributes:
        mood: The mood to publish, the mean of the window.
        lately: The mood of each person's last expression in the window, with intervals for comparison with other
            windows of the same scene. Its figures are exact and must not be published. None where figures are withheld,
            and for a single camera, which has no changes.
    """

    mood: Mood
    lately: Mood | None


@dataclass(frozen=True, slots=True)
class Scope:
    """A set of cameras with a mood of its own: a zone (the stadium holds every camera), or one camera."""

    zone: str
    camera: str | None
    cameras: frozenset[str]


class Moods:
    """Makes the moods of windows, in their order: published figures are held until several people have changed.

    Args:
        settings: Which faces count, the method, and how long a mood is valid.
        zones: Named sets of cameras.
    """

    def __init__(self, settings: AggregatorSettings, zones: Mapping[str, Sequence[str]] | None = None) -> None:
        self._settings = settings
        self._zones = {name: frozenset(cameras) for name, cameras in (zones or {}).items()}
        self._links: dict[str, Links] = {}
        self._held = HeldFigures()

    def snapshot(self) -> list[Any]:
        """Return the state that a successor needs, as JSON values."""
        return self._held.snapshot()

    def restore(self, snapshot: Iterable[Any]) -> None:
        """Continue where `snapshot` was made."""
        self._held.restore(snapshot)

    def of(self, window: ClosedWindow[Emotions], troubled: Mapping[str, str] | None = None) -> list[Finding]:
        """Return the findings of the stadium, then of each zone, then of each camera.

        Figures are withheld for a scope with too few readable people in one frame, added over its cameras, and for a
        scope that would reveal few people by subtraction.

        Args:
            window: The cameras' frames.
            troubled: Cameras that report `frozen`, `refused` or `down`, with that state, which replaces `live`.
        """
        states = {
            camera_id: (troubled or {}).get(camera_id, state) if state != "ended" else state
            for camera_id, state in window.cameras.items()
        }
        crowds = {camera_id: self._crowd(camera_id, frames) for camera_id, frames in window.frames.items()}
        self._links = {camera_id: links for camera_id, links in self._links.items() if camera_id in crowds}
        scopes = self._scopes(states)
        self._held.keep([scope.cameras for scope in scopes])
        counts = {camera_id: crowds[camera_id].at_once if camera_id in crowds else 0 for camera_id in states}
        may_publish = publishable((scope.cameras for scope in scopes), counts, self._settings.min_faces)
        return [
            self._finding(window, scope, crowds if allowed else None, states)
            for scope, allowed in zip(scopes, may_publish, strict=True)
        ]

    def _scopes(self, states: Mapping[str, str]) -> list[Scope]:
        zones = [Scope(name, None, frozenset(cameras & states.keys())) for name, cameras in self._zones.items()]
        return [
            Scope(STADIUM, None, frozenset(states)),
            *(zone for zone in zones if zone.cameras),
            *(Scope(STADIUM, camera_id, frozenset([camera_id])) for camera_id in states),
        ]

    def _crowd(self, camera_id: str, frames: Sequence[Emotions]) -> CameraCrowd:
        links = self._links.setdefault(camera_id, Links())
        known, confusions = _of_common_labels(frames)
        seen = people([_weighed(frame, self._settings) for frame in known], links, self._settings.min_readable)
        links.end_window()
        return CameraCrowd(int((seen.quality > 0).sum()), seen.at_once, seen.crowd.only(seen.readable), confusions)

    def _finding(
        self,
        window: ClosedWindow[Emotions],
        scope: Scope,
        crowds: Mapping[str, CameraCrowd] | None,
        states: Mapping[str, str],
    ) -> Finding:
        """Return the finding of a scope; without crowds its figures are withheld."""
        cameras = [camera_id for camera_id in states if camera_id in scope.cameras]
        frames = [frame for camera_id in cameras for frame in window.frames.get(camera_id, [])]
        blank = Mood.blank(
            as_of_ms=window.end_ms,
            window_start_ms=window.start_ms,
            valid_until_ms=window.end_ms + round(self._settings.valid_for_s * 1000) + window.waited_ms,
            zone=scope.zone,
            camera=scope.camera,
            method=self._settings.method,
            model=_named(frame.model_id for frame in frames),
            detector=_named(frame.detector for frame in frames),
            cameras={camera_id: states[camera_id] for camera_id in cameras},
        )
        if crowds is None:
            return Finding(blank, None)
        seen = [crowds[camera_id] for camera_id in cameras if camera_id in crowds]
        people, found = sum(each.people for each in seen), self._estimate(seen, within_scene=False)
        if self._settings.expose_individuals:
            mood = _filled(blank, exact_figures(people, found))
        else:
            mood = _filled(blank, self._held.update(scope.cameras, people, found))
        if scope.camera is not None:
            return Finding(mood, None)
        last = self._estimate([replace(each, crowd=each.crowd.lately()) for each in seen], within_scene=True)
        return Finding(mood, _filled(blank, exact_figures(people, last)))

    def _estimate(self, seen: Sequence[CameraCrowd], *, within_scene: bool) -> Estimate:
        by_network: dict[tuple[bytes, int], list[Crowd]] = {}
        for each in seen:
            if len(each.crowd):
                by_network.setdefault((each.confusions, each.crowd.labels), []).append(each.crowd)
        return combined(
            [
                estimate(
                    Crowd.joined(parts),
                    self._settings.method,
                    Confusions.from_bytes(confusions),
                    within_scene=within_scene,
                )
                for (confusions, _), parts in by_network.items()
            ]
        )


def exact_figures(people: int, found: Estimate) -> Figures:
    """Return figures that single out people: only for comparisons, and where people are exposed."""
    return {"people": people, "readable": found.people, **published_figures(found, _EXACT_STEPS)}


def _filled(blank: Mood, figures: Figures) -> Mood:
    return replace(blank, status="ok", **figures)


def unfit(emotions: Emotions, settings: AggregatorSettings) -> dict[str, npt.NDArray[np.bool_]]:
    """Return by reason which faces do not count; bool (N,) each, at most one reason per face.

    Args:
        emotions: The faces of one frame.
        settings: The least size, quality and readability of faces that count.
    """
    boxes = emotions.boxes
    small = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) < settings.min_face_px
    poor = ~small & (emotions.quality < settings.min_quality)
    unreadable = ~small & ~poor & (emotions.readable < settings.min_readable)
    return {"small": small, "poor": poor, "unreadable": unreadable}


def _weighed(emotions: Emotions, settings: AggregatorSettings) -> Emotions:
    """Return the frame with quality 0 for faces that are too small or too poor."""
    reasons = unfit(emotions, settings)
    return replace(emotions, quality=np.where(reasons["small"] | reasons["poor"], np.float16(0), emotions.quality))


def _of_common_labels(frames: Sequence[Emotions]) -> tuple[Sequence[Emotions], bytes]:
    """Return the frames with the labels that all networks know, and the confusions of the newest such network.

    Networks differ in a window in which the model was changed. A face with a label that not all of them know counts by
    the sum of its other probabilities.
    """
    labels = min(frame.probabilities.shape[1] for frame in frames)
    confusions = next(frame.confusions for frame in reversed(frames) if frame.probabilities.shape[1] == labels)
    return [frame if frame.probabilities.shape[1] == labels else _cut(frame, labels) for frame in frames], confusions


def _cut(emotions: Emotions, labels: int) -> Emotions:
    """Return a frame with only the first `labels` labels."""
    rows = emotions.probabilities[:, :labels].astype(np.float64) + _LEAST_PROBABILITY
    left = rows.sum(axis=1)
    return replace(
        emotions,
        probabilities=(rows / left[:, None]).astype(np.float16),
        quality=(emotions.quality * np.minimum(left, 1.0)).astype(np.float16),
    )


def _named(names: Iterable[str]) -> str | None:
    """Return all distinct names, joined by `+`; None without any."""
    return "+".join(sorted(set(names))) or None
