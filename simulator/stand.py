"""One stand in front of one camera: who sits there, what they look like at a moment, and what of them can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from crowdmood.domain.labels import LABELS
from simulator.camera import Camera
from simulator.feelings import live_through
from simulator.hiding import Hiding
from simulator.people import Gesture, draw_person, random_look
from simulator.scenery import QUALITY, empty_stand, hand_out_flags, scene_point, to_rest
from simulator.script import excitement_at
from simulator.seats import lay_out, occupy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.bank import FaceBank
    from simulator.canvas import Sprite
    from simulator.feelings import State, Timeline
    from simulator.people import Look
    from simulator.scenery import Flag
    from simulator.script import Event
    from simulator.seats import Seat

_NOBODY: Final = -1
_A_FLAG: Final = -2
_SWAY: Final = 0.035
_SINGERS_SWAY: Final = 0.07
_JUMP: Final = 0.16
_OCCLUDED_BELOW: Final = 0.9
_DECIMALS: Final = 3
_READABLE_FROM: Final = 0.5
_NEUTRAL: Final = LABELS.index("neutral")
_CHEERING: Final = LABELS.index("cheering")
_OUTSIDE_SHARE: Final = 0.1
_POLE: Final = (60, 100, 130)


@dataclass(frozen=True, slots=True)
class Person:
    """A person in the stand.

    Attributes:
        number: Unlike anybody else's in the stadium.
        seat: Where the person sits.
        look: What the person looks like.
        timeline: What the person lives through.
        phase: Where the swaying begins, in radians.
    """

    number: int
    seat: Seat
    look: Look
    timeline: Timeline
    phase: float


@dataclass(frozen=True, slots=True)
class Seen:
    """The people that a picture shows, in columns.

    Attributes:
        persons: `(N,) int64`, their numbers.
        boxes: `(N, 4) int64`, xyxy in pixels of the picture: the face from the forehead's edge to the chin.
        labels: `(N,) int64`, codes 0-7.
        visibility: `(N,) float64`, share of the face that can be seen, 0 to 1: arms, scarves, flags, others and a
            turned head hide the rest.
        readable: `(N,) bool`, whether the expression can be read: the face is neither turned away nor behind something
            that the person holds, and at least half of it can be seen.
    """

    persons: NDArray[np.int64]
    boxes: NDArray[np.int64]
    labels: NDArray[np.int64]
    visibility: NDArray[np.float64]
    readable: NDArray[np.bool_]

    @property
    def occluded(self) -> NDArray[np.bool_]:
        """Whose face is partly hidden, by more than a tenth of it: `(N,) bool`."""
        return np.asarray(self.visibility < _OCCLUDED_BELOW)


class Stand:
    """Renders a stand; the same arguments give the same pictures, in whatever order they are asked for.

    Args:
        camera_id: Which camera looks at it.
        size: Width and height of the camera's pictures, in pixels.
        people: How many people come.
        first_number: Number of the first of them.
        script: What happens.
        duration_s: How long the footage lasts, in seconds.
        bank: The faces that people wear.
        seed: What chance is drawn from.

    Raises:
        SettingsError: More people than seats.
    """

    def __init__(
        self,
        camera_id: str,
        size: tuple[int, int],
        people: int,
        first_number: int,
        script: tuple[Event, ...],
        duration_s: float,
        bank: FaceBank,
        seed: tuple[int, ...],
    ) -> None:
        rng = np.random.default_rng(seed)
        self._id, self._size, self._script, self._bank = camera_id, size, script, bank
        seats = lay_out(*size, people)
        taken = occupy(seats, people, rng)
        numbers = rng.permutation(max(people, max(len(faces) for faces in bank.faces)))[:people]
        self.people = tuple(
            Person(
                number=first_number + index,
                seat=seat,
                look=random_look(rng, int(number)),
                timeline=live_through(script, camera_id, duration_s, rng),
                phase=float(rng.uniform(0, 2 * np.pi)),
            )
            for index, (seat, number) in enumerate(zip(taken, numbers, strict=True))
        )
        self._flags = {flag.seat: flag for flag in hand_out_flags(taken, rng)}
        self._empty = empty_stand(*size, seats, rng)
        self._camera = Camera(size, rng)
        self._sprites: dict[tuple[int, int, Gesture, Hiding], Sprite] = {}

    def picture(self, frame: int, at_s: float) -> NDArray[np.uint8]:
        """Render a frame: `(H, W, 3) uint8`, BGR."""
        scene = self._empty.copy()
        for person in self.people:
            sprite, left, top = self._placed(person, at_s)
            _paste(scene, sprite, left, top)
            flag = self._flags.get(person.seat)
            if flag is not None:
                self._paste_flag(scene, flag, at_s)
        shot = cv2.warpAffine(scene, self._view(at_s)[:2], self._size, flags=cv2.INTER_LINEAR)
        return self._camera.expose(np.asarray(shot, dtype=np.uint8), frame, at_s)

    def seen(self, at_s: float) -> Seen:
        """Return who is in the picture at a moment, and who is hidden; people at its edges do not count."""
        owners = np.full(self._empty.shape[:2], _NOBODY, np.int32)
        for index, person in enumerate(self.people):
            sprite, column, line = self._placed(person, at_s)
            _paste(owners, sprite, column, line, index)
            flag = self._flags.get(person.seat)
            if flag is not None:
                for polygon in flag.draw(*self._size, at_s):
                    cv2.fillPoly(owners, [polygon[2:]], _A_FLAG)
        view = self._view(at_s)
        persons, boxes, labels, visibility, readable = [], [], [], [], []
        for index, person in enumerate(self.people):
            left, top = self._face_corner(person, at_s)
            side = person.seat.face_px * QUALITY
            box = _box_in_view(view, left, top, side)
            if _share_outside(box, self._size) > _OUTSIDE_SHARE:
                continue
            persons.append(person.number)
            boxes.append(box)
            state = person.timeline.at(at_s)
            free = _free(owners, index, left, top, side)
            labels.append(state.label)
            visibility.append(free * self._sprite(person, state).free)
            readable.append(state.hiding is Hiding.NONE and free >= _READABLE_FROM)
        return Seen(
            np.array(persons, np.int64),
            np.array(boxes, np.int64).reshape(-1, 4),
            np.array(labels, np.int64),
            np.array(visibility, np.float64).round(_DECIMALS),
            np.array(readable, np.bool_),
        )

    def _view(self, at_s: float) -> NDArray[np.float64]:
        view = self._camera.view(at_s, excitement_at(self._script, self._id, at_s))
        return np.asarray(np.vstack([view, [0, 0, 1]]) @ to_rest(*self._size))

    def _placed(self, person: Person, at_s: float) -> tuple[Sprite, int, int]:
        """Return a person's sprite and where its upper left corner lies in the scene."""
        sprite = self._sprite(person, person.timeline.at(at_s))
        left, top = self._face_corner(person, at_s)
        return sprite, round(left) + sprite.left, round(top) + sprite.top

    def _sprite(self, person: Person, state: State) -> Sprite:
        # A hidden face is drawn once for each way of hiding it, whatever it shows.
        hidden = state.hiding is not Hiding.NONE
        label, gesture = (_NEUTRAL, Gesture.NONE) if hidden else (state.label, state.gesture)
        key = (person.number, label, gesture, state.hiding)
        if key not in self._sprites:
            face = self._bank.face(label, person.look.face)
            side = person.seat.face_px * QUALITY
            self._sprites[key] = draw_person(person.look, face, side, gesture, state.hiding)
        return self._sprites[key]

    def _face_corner(self, person: Person, at_s: float) -> tuple[float, float]:
        """Return where the face square's upper left corner lies in the scene."""
        side = person.seat.face_px * QUALITY
        x, y = scene_point(person.seat.x, person.seat.y, *self._size)
        state = person.timeline.at(at_s)
        sway = (_SINGERS_SWAY if state.label == _CHEERING else _SWAY) * side
        x += sway * np.sin(0.9 * at_s + person.phase)
        y += 0.5 * sway * np.sin(1.3 * at_s + 2 * person.phase)
        if state.jumps:
            y -= _JUMP * side * abs(np.sin(6.5 * at_s + person.phase))
        return float(x), float(y)

    def _paste_flag(self, scene: NDArray[np.uint8], flag: Flag, at_s: float) -> None:
        for polygon, colour in zip(flag.draw(*self._size, at_s), flag.colours, strict=True):
            foot, tip = polygon[0].tolist(), polygon[1].tolist()
            cv2.line(scene, foot, tip, _POLE, max(1, round(0.06 * flag.seat.face_px * QUALITY)))
            cv2.fillPoly(scene, [polygon[2:]], colour)


def _paste(
    target: NDArray[np.uint8] | NDArray[np.int32], sprite: Sprite, left: int, top: int, value: int | None = None
) -> None:
    """Paste a sprite, or `value` where the sprite covers; what lies outside the target is cut off."""
    height, width = target.shape[:2]
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + sprite.mask.shape[1], width), min(top + sprite.mask.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    rows, columns = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    area, mask = target[y0:y1, x0:x1], sprite.mask[rows, columns]
    if value is None:
        cv2.copyTo(sprite.bgr[rows, columns], mask, area)
    else:
        area[mask > 0] = value


def _box_in_view(view: NDArray[np.float64], left: float, top: float, side: float) -> tuple[int, int, int, int]:
    middle = view[:2] @ (left + side / 2, top + side / 2, 1)
    half = side / 2 * np.sqrt(abs(np.linalg.det(view[:2, :2])))
    x1, y1, x2, y2 = np.concatenate([middle - half, middle + half]).round().astype(int).tolist()
    return x1, y1, x2, y2


def _share_outside(box: tuple[int, int, int, int], size: tuple[int, int]) -> float:
    x1, y1, x2, y2 = box
    inside = max(0, min(x2, size[0]) - max(x1, 0)) * max(0, min(y2, size[1]) - max(y1, 0))
    return 1 - inside / ((x2 - x1) * (y2 - y1))


def _free(owners: NDArray[np.int32], index: int, left: float, top: float, side: float) -> float:
    """Return how much of a person's face no other person or flag covers."""
    x, y, length = round(left), round(top), round(side)
    area = owners[max(y, 0) : y + length, max(x, 0) : x + length]
    if not area.size:
        return 0.0
    rows, columns = np.mgrid[0 : area.shape[0], 0 : area.shape[1]] / length
    oval = ((columns - 0.5) / 0.4) ** 2 + ((rows - 0.485) / 0.5) ** 2 <= 1
    return float((area[oval] == index).mean())
