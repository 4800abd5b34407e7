"""Scenes of people before a camera as boxes with known truth: who is where, what the camera does, what is found.

A scene is a function of time. Its people have places in a world of pixels, the camera has a view of it, and a detector
finds most of the faces that are in the image, with boxes that scatter, and now and then a face where none is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from crowdmood.domain.messages import Emotions, FrameRef

WIDTH, HEIGHT = 1280, 720
FPS, WINDOW_S = 5, 10
MIN_FOUND = 0.2
"""Share of the frames that show a person in which the person must be found to be counted."""

Boxes: TypeAlias = npt.NDArray[np.float64]
Path: TypeAlias = Callable[[float], tuple[float, float] | None]
"""Where the middle of a face is in the world at a time in seconds; None while it cannot be seen."""


@dataclass(frozen=True)
class View:
    """What the camera shows: the world's place p is seen at `zoom * (p - corner)`."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0


@dataclass(frozen=True)
class Person:
    """A person: where they are, and the side of their face in the world's pixels."""

    path: Path
    side: float


@dataclass
class Scene:
    """People before a camera.

    Attributes:
        people: Who is there, in the order of their numbers.
        camera: The view at a time in seconds.
        missed: Share of the faces that the detector misses, in each frame.
        false: Faces that it finds where none is, a frame.
        scatter: Of a box's corners, as a share of its side.
        empty: Frames in which it finds no face at all.
    """

    people: Sequence[Person]
    camera: Callable[[float], View] = field(default=lambda _: View())
    missed: float = 0.0
    false: float = 0.0
    scatter: float = 0.03
    empty: frozenset[int] = frozenset()

    def filmed(self, seconds: float, seed: int = 0) -> "Film":
        """Return what a detector finds, and who is truly shown."""
        rng = np.random.default_rng(seed)
        frames, shown, found = [], [], []
        for number in range(round(seconds * FPS)):
            who, boxes = self._shown(number / FPS)
            sides = (boxes[:, 2] - boxes[:, 0])[:, None]
            hit = (rng.random(len(who)) >= self.missed) & (number not in self.empty)
            scattered = boxes + rng.normal(0, self.scatter, boxes.shape) * sides
            corners = rng.random((rng.poisson(self.false), 2)) * (WIDTH - 80, HEIGHT - 80)
            wrong = np.concatenate([corners, corners + rng.choice(sides[:, 0], (len(corners), 1))], axis=1)
            frames.append(seen(number, np.concatenate([scattered[hit], wrong])))
            shown.append(who)
            found.append(who[hit])
        return Film(frames, shown, found)

    def _shown(self, at_s: float) -> tuple[npt.NDArray[np.intp], Boxes]:
        view, who, boxes = self.camera(at_s), [], []
        for number, person in enumerate(self.people):
            at = person.path(at_s)
            if at is None:
                continue
            x, y = view.zoom * (at[0] - view.x), view.zoom * (at[1] - view.y)
            half = view.zoom * person.side / 2
            if half <= x <= WIDTH - half and half <= y <= HEIGHT - half:
                who.append(number)
                boxes.append([x - half, y - half, x + half, y + half])
        return np.array(who, np.intp), np.array(boxes, np.float64).reshape(-1, 4)


@dataclass(frozen=True)
class Film:
    """What a detector found in a scene.

    Attributes:
        frames: Five a second.
        shown: For each frame who is shown, intp (N,).
        found: For each frame whose faces were found.
    """

    frames: list[Emotions]
    shown: list[npt.NDArray[np.intp]]
    found: list[npt.NDArray[np.intp]]

    def windows(self, every_s: int = 1) -> list[slice]:
        """Return the frames of every whole window."""
        last = len(self.frames) + 1
        return [slice(end - WINDOW_S * FPS, end) for end in range(WINDOW_S * FPS, last, every_s * FPS)]

    def truth(self, window: slice) -> int:
        """Return how many people the frames of a window show, of those that are found often enough."""
        shown = np.bincount(np.concatenate(self.shown[window]), minlength=1)
        found = np.bincount(np.concatenate(self.found[window]), minlength=len(shown))
        return int(np.count_nonzero((found > 0) & (found >= MIN_FOUND * shown)))

    def at_once(self, window: slice) -> int:
        """Return the most faces that are found in one frame of a window."""
        return max(len(frame.boxes) for frame in self.frames[window])


def seen(number: int, boxes: npt.ArrayLike) -> Emotions:
    """Return the message about one frame, with faces that say nothing."""
    xyxy = np.rint(np.asarray(boxes, np.float64).reshape(-1, 4)).astype(np.int32)
    n = len(xyxy)
    ref = FrameRef("camera", "run", number, number * 1000 // FPS, WIDTH, HEIGHT, True)
    ones = np.ones(n, np.float16)
    return Emotions(ref, xyxy, np.full((n, 8), 1 / 8, np.float16), ones, ones, "network", "detector")


def sitting(x: float, y: float, sway: float = 0.0, phase: float = 0.0) -> Path:
    """Stay at a place, and sway by so many pixels."""
    return lambda t: (x + sway * np.sin(0.9 * t + phase), y + 0.5 * sway * np.sin(1.3 * t + 2 * phase))


def crossing(speed: float, y: float, start_s: float = 0.0, width: float = WIDTH, side: float = 100.0) -> Path:
    """Cross the world at a speed in pixels a second, from the left or, where that is negative, from the right."""

    def path(t: float) -> tuple[float, float] | None:
        gone = abs(speed) * (t - start_s)
        if not 0 <= gone <= width + side:
            return None
        return (gone - side / 2 if speed > 0 else width + side / 2 - gone), y + 3 * np.sin(9 * t)

    return path


def pacing(speed: float, y: float, width: float = WIDTH, side: float = 100.0) -> Path:
    """Walk to and fro at a speed in pixels a second."""
    length = width - side

    def path(t: float) -> tuple[float, float]:
        gone = (speed * t) % (2 * length)
        return side / 2 + (gone if gone < length else 2 * length - gone), y + 3 * np.sin(9 * t)

    return path


def unless(hidden: Callable[[float], bool], path: Path) -> Path:
    """Follow a path, but cannot be seen at some times."""
    return lambda t: None if hidden(t) else path(t)


def stand(
    columns: int, rows: int, side: float, rng: np.random.Generator, left: float = 0.0, top: float = 0.0
) -> list[Person]:
    """Return people in rows of seats, each a bit off the seat's middle."""
    people = []
    for row in range(rows):
        for column in range(columns):
            x = left + (1.72 * column + 1 + 0.2 * (row % 2) + rng.uniform(-0.2, 0.2)) * side
            y = top + (1.3 * row + 1 + rng.uniform(-0.15, 0.15)) * side
            people.append(Person(sitting(x, y, 0.07 * side, rng.uniform(0, 6.28)), side * rng.uniform(0.94, 1.06)))
    return people


def waving(people: Sequence[Person], width: float, start_s: float, seconds: float = 4.0) -> list[Person]:
    """Let a wave run through a stand from the left to the right: each rises by 1.3 faces and sits down again in 1 s."""

    def risen(person: Person) -> Person:
        at = person.path(0.0)
        assert at is not None
        begins = start_s + seconds * at[0] / width

        def path(t: float) -> tuple[float, float] | None:
            here = person.path(t)
            up = np.sin(np.pi * (t - begins)) if begins <= t <= begins + 1 else 0.0
            return None if here is None else (here[0], here[1] - 1.3 * person.side * up)

        return Person(path, person.side)

    return [risen(person) for person in people]
