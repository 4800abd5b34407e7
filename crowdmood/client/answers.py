"""What the API answers, read into types; and which answers need not be asked for again. No I/O."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from crowdmood.core.errors import CrowdMoodError, UndecodableError
from crowdmood.domain.mood import Mood, MoodChange

T = TypeVar("T")
Scope: TypeAlias = tuple[str | None, str | None]
"""A zone and a camera; None for the whole stadium and for every camera."""

PHOTO_TIMEOUT_S = 20.0
"""Workers get 5 s, and the picture has to arrive."""

_MAX_AGE = re.compile(r"max-age=(\d+)")


class ClientError(CrowdMoodError):
    """The API did not answer as asked, or not at all.

    Attributes:
        status: The HTTP status; None when there was no answer.
        type: The problem's stable type, such as `/problems/unknown-camera`; `about:blank` when it has none.
        retry_after_s: Seconds after which asking again makes sense; None when the API does not say.
    """

    def __init__(
        self, text: str, status: int | None = None, type_: str = "about:blank", retry_after_s: float | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.type = type_
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Reply:
    """What came over HTTP.

    Attributes:
        status: The HTTP status.
        headers: By lower-case name.
        body: The body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera, as far as a board may care.

    Attributes:
        id: Its name.
        state: `opening`, `live`, `frozen`, `down` or `ended`.
        detail: More about the state, for people.
        last_frame_at: RFC 3339 time of its newest frame, event time; None before the first.
        frames: Frames counted.
        faces: Faces seen.
    """

    id: str
    state: str
    detail: str | None
    last_frame_at: str | None
    frames: int
    faces: int


@dataclass(frozen=True, slots=True)
class PhotoFace:
    """A face of a picture.

    Attributes:
        box: Left, top, right and bottom in pixels of the upright picture.
        label: Its likeliest expression; `unreadable` when `readable` is below 0.5.
        probabilities: Of each expression, adding up to 1; None for one that the network does not know.
        readable: Probability that an expression can be seen, 0-1.
        quality: How much detail the image holds, by size and sharpness, 0-1.
    """

    box: tuple[int, int, int, int]
    label: str
    probabilities: dict[str, float | None]
    readable: float
    quality: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the faces of one picture show.

    Attributes:
        width: Width of the upright picture in pixels.
        height: Its height in pixels.
        faces: Its faces.
        model: Which network judged, and what ran it.
        detector: Which detector looked.
    """

    width: int
    height: int
    faces: tuple[PhotoFace, ...]
    model: str
    detector: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of the history.

    Attributes:
        items: The newest first.
        next: The cursor of the next page; None when there is none.
    """

    items: tuple[T, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class _Kept:
    mood: Mood | None
    etag: str
    fresh_until_s: float


class MoodCache:
    """The newest answer for each scope: how long it stays valid, and how to ask whether it still stands."""

    def __init__(self) -> None:
        self._kept: dict[Scope, _Kept] = {}

    def fresh(self, scope: Scope, now_s: float) -> bool:
        """Whether the answer that we have needs no asking."""
        kept = self._kept.get(scope)
        return kept is not None and now_s < kept.fresh_until_s

    def mood(self, scope: Scope) -> Mood | None:
        """The mood of the answer that we have; None before the first mood."""
        return self._kept[scope].mood

    def headers(self, scope: Scope) -> dict[str, str]:
        """What to ask with, so that an answer that still stands is not sent again."""
        kept = self._kept.get(scope)
        return {"If-None-Match": kept.etag} if kept is not None and kept.etag else {}

    def take(self, scope: Scope, reply: Reply, asked_s: float) -> Mood | None:
        """Read an answer and keep it.

        Args:
            scope: Whose mood was asked for.
            reply: The answer.
            asked_s: Monotonic time in seconds at which it was asked for.

        Raises:
            ClientError: It is no mood.
        """
        kept = self._kept.get(scope)
        if reply.status == 304 and kept is not None:
            mood, etag = kept.mood, kept.etag
        else:
            mood, etag = _mood(reply), reply.headers.get("etag", "")
        age = _MAX_AGE.search(reply.headers.get("cache-control", ""))
        self._kept[scope] = _Kept(mood, etag, asked_s + int(age.group(1)) if age else asked_s)
        return mood


def leading(mood: Mood | None, default: str) -> str:
    """Return the leading expression (one of the eight labels) or `mixed` of a mood to act on, else the default."""
    return mood.dominant if mood is not None and mood.status == "ok" and mood.dominant else default


def _checked(reply: Reply) -> bytes:
    """The body of an answer that is one.

    Raises:
        ClientError: It tells of a problem.
    """
    if reply.status == 200:
        return reply.body
    try:
        problem = json.loads(reply.body)
        text = problem.get("detail") or problem["title"]
    except (ValueError, TypeError, KeyError, AttributeError):
        problem, text = {}, "no more is known"
    wait = reply.headers.get("retry-after", "")
    after = float(wait) if wait.isdigit() else None
    raise ClientError(f"HTTP {reply.status}: {text}", reply.status, problem.get("type", "about:blank"), after)


def page_of_moods(reply: Reply) -> Page[Mood]:
    """Read a page of `GET /moods`."""
    return _page(reply, "moods", Mood.from_json)


def page_of_changes(reply: Reply) -> Page[MoodChange]:
    """Read a page of `GET /changes`."""
    return _page(reply, "changes", MoodChange.from_json)


def cameras(reply: Reply) -> list[Camera]:
    """Read `GET /cameras`."""
    return _read(reply, lambda told: [Camera(**{name: row[name] for name in Camera.__slots__}) for row in told])


def prediction(reply: Reply) -> Prediction:
    """Read `POST /predict`."""

    def read(told: Any) -> Prediction:
        faces = tuple(
            PhotoFace(tuple(face["box"]), face["label"], face["probabilities"], face["readable"], face["quality"])
            for face in told["faces"]
        )
        return Prediction(told["width"], told["height"], faces, told["model"], told["detector"])

    return _read(reply, read)


def authorization(key: str | None) -> dict[str, str]:
    """The header that shows a key, where there is one."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def parameters(**given: Any) -> dict[str, Any]:
    """Query parameters: those that were given."""
    return {name.rstrip("_"): value for name, value in given.items() if value is not None}


def _mood(reply: Reply) -> Mood | None:
    # Before the first mood everything is null.
    return _read(reply, lambda told: None if told["as_of"] is None else Mood.from_json(reply.body))


def _page(reply: Reply, name: str, read: Callable[[str], T]) -> Page[T]:
    return _read(reply, lambda told: Page(tuple(read(json.dumps(item)) for item in told[name]), told["next"]))


def _read(reply: Reply, read: Callable[[Any], T]) -> T:
    """What an answer tells.

    Raises:
        ClientError: It tells of a problem, or is none of CrowdMood's.
    """
    body = _checked(reply)
    try:
        return read(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError, UndecodableError) as error:
        raise ClientError(f"this is no answer of CrowdMood: {error!r}") from None
