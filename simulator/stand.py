"""The stand of a camera: its people, how it looks at a time, and which faces can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from crowdmood.domain.labels import LABELS
from simulator.camera import SimulatedCamera
from simulator.feelings import draw_states
from simulator.hiding import Hiding
from simulator.people import Gesture, draw_person, random_look
from simulator.scenery import QUALITY, empty_stand, random_flags, scene_point, to_rest
from simulator.script import excitement_at
from simulator.seats import lay_out, occupy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.bank import FaceBank
    from simulator.canvas import Sprite
    from simulator.feelings import PersonStates, State
    from simulator.people import Look
    from simulator.scenery import Flag
    from simulator.script import MatchEvent
    from simulator.seats import Seat

_NO_PERSON: Final = -1
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
        number: Unique in the stadium.
        seat: The person's seat.
        look: The person's appearance.
        states: The person's states over the match.
        phase: Phase of the swaying, in radians.
    """

    number: int
    seat: Seat
    look: Look
    states: PersonStates
    phase: float


@dataclass(frozen=True, slots=True)
class VisiblePeople:
    """The people in a frame, in columns.

    Attributes:
        persons: `(N,) int64`, their numbers.
        boxes: `(N, 4) int64`, xyxy in pixels of the frame: the face from the edge of the forehead to the chin.
        labels: `(N,) int64`, codes 0-7.
        visibility: `(N,) float64`, share of the face that can be seen, 0-1. Arms, scarves, flags, other people and a
            turned head hide the rest.
        readable: `(N,) bool`, whether the expression can be read: the face is not turned away and not behind something
            that the person holds, and at least half of it can be seen.
    """

    persons: NDArray[np.int64]
    boxes: NDArray[np.int64]
    labels: NDArray[np.int64]
    visibility: NDArray[np.float64]
    readable: NDArray[np.bool_]

    @property
    def occluded(self) -> NDArray[np.bool_]:
        """Whether more than a tenth of the face is hidden: `(N,) bool`."""
        return np.asarray(self.visibility < _OCCLUDED_BELOW)


class Stand:
    """Renders a stand; the same arguments give the same frames, rendered in any order.

    Args:
        camera_id: Id of its camera.
        size: Width and height of the camera's frames, in pixels.
        people: Number of people.
        first_number: Number of the first person.
        script: The script of the match.
        duration_s: Length of the footage, in seconds.
        bank: The faces of the people.
        seed: Seed of everything random.

    Raises:
        SettingsError: There are more people than seats.
    """

    def __init__(
        self,
        camera_id: str,
        size: tuple[int, int],
        people: int,
        first_number: int,
        script: tuple[MatchEvent, ...],
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
                states=draw_states(script, camera_id, duration_s, rng),
                phase=float(rng.uniform(0, 2 * np.pi)),
            )
            for index, (seat, number) in enumerate(zip(taken, numbers, strict=True))
        )
        self._flags = {flag.seat: flag for flag in random_flags(taken, rng)}
        self._empty = empty_stand(*size, seats, rng)
        self._camera = SimulatedCamera(size, rng)
        self._sprites: dict[tuple[int, int, Gesture, Hiding], Sprite] = {}

    def render(self, frame: int, at_s: float) -> NDArray[np.uint8]:
        """Render a frame: `(H, W, 3) uint8`, BGR."""
        scene = self._empty.copy()
        for person in self.people:
            sprite, left, top = self._placed(person, at_s)
            _paste(scene, sprite, left, top)
            flag = self._flags.get(person.seat)
            if flag is not None:
                self._paste_flag(scene, flag, at_s)
        view = cv2.warpAffine(scene, self._view(at_s)[:2], self._size, flags=cv2.INTER_LINEAR)
        return self._camera.expose(np.asarray(view, dtype=np.uint8), frame, at_s)

    def visible_people(self, at_s: float) -> VisiblePeople:
        """Return the people in the frame at a time, without those at its edges."""
        owners = np.full(self._empty.shape[:2], _NO_PERSON, np.int32)
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
            state = person.states.at(at_s)
            free = _free(owners, index, left, top, side)
            labels.append(state.label)
            visibility.append(free * self._sprite(person, state).free)
            readable.append(state.hiding is Hiding.NONE and free >= _READABLE_FROM)
        return VisiblePeople(
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
        """Return a person's sprite and the position of its top left corner in the scene."""
        sprite = self._sprite(person, person.states.at(at_s))
        left, top = self._face_corner(person, at_s)
        return sprite, round(left) + sprite.left, round(top) + sprite.top

    def _sprite(self, person: Person, state: State) -> Sprite:
        # A hidden face has one sprite for each way of hiding it, for all expressions.
        hidden = state.hiding is not Hiding.NONE
        label, gesture = (_NEUTRAL, Gesture.NONE) if hidden else (state.label, state.gesture)
        key = (person.number, label, gesture, state.hiding)
        if key not in self._sprites:
            face = self._bank.face(label, person.look.face)
            side = person.seat.face_px * QUALITY
            self._sprites[key] = draw_person(person.look, face, side, gesture, state.hiding)
        return self._sprites[key]

    def _face_corner(self, person: Person, at_s: float) -> tuple[float, float]:
        """Return the position of the face square's top left corner in the scene."""
        side = person.seat.face_px * QUALITY
        x, y = scene_point(person.seat.x, person.seat.y, *self._size)
        state = person.states.at(at_s)
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
    """Paste a sprite, or `value` where the sprite covers. Parts outside the target are cut off."""
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
    """Return the share of a person's face that no other person or flag covers."""
    x, y, length = round(left), round(top), round(side)
    area = owners[max(y, 0) : y + length, max(x, 0) : x + length]
    if not area.size:
        return 0.0
    rows, columns = np.mgrid[0 : area.shape[0], 0 : area.shape[1]] / length
    oval = ((columns - 0.5) / 0.4) ** 2 + ((rows - 0.485) / 0.5) ** 2 <= 1
    return float((area[oval] == index).mean())
