"""The answers of the API as types: one dataclass for each schema that the client reads. No I/O.

A figure that the service does not know or withholds is None, never 0. Times are event time in UTC. Names that may grow
with the service (labels, states, methods) are plain strings.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Literal

from crowdmood_client.decoding import JSON_NAME
from crowdmood_client.errors import ClientError


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator makes boards show, whatever the crowd shows. Times are wall-clock time in UTC.

    Attributes:
        show: A creative, or `default`: each board shows its own default.
        from_: Its start.
        until: Its end; an operator may end it earlier.
    """

    show: str
    from_: datetime = field(metadata={JSON_NAME: "from"})
    until: datetime


@dataclass(frozen=True, slots=True)
class Mood:
    """The mood of a crowd in one window of event time. Act on it only while `status` is `ok`.

    Attributes:
        schema: Version of this shape.
        as_of: End of the window (exclusive).
        window_start: Start of the window (inclusive).
        valid_until: Event time after which the mood must not be acted on.
        status: `ok`, `insufficient` (too few readable people), `stale` or `overridden` (an operator decides what boards
            show). Figures are None unless it is `ok`.
        zone: The named set of cameras; `stadium` holds every camera.
        camera: The one camera; None for the whole zone.
        people: Number of people seen, readable or not; rounded.
        readable: Number of people counted: their expression was readable at least once; rounded.
        shares: Estimated share of the readable people by label, in steps of about four people; None for a label that
            the network does not know.
        low: Lower end of each share's 90 % interval.
        high: Upper end of each share's 90 % interval.
        raw: Share of the readable people whose likeliest label is this one.
        dominant: The label with the largest share, or `mixed` when its lead may be chance.
        valence: Share of happy less angry, disgust, fear and sad, in [-1, 1].
        valence_low: Lower end of its 90 % interval.
        valence_high: Upper end of its 90 % interval.
        energy: Share of cheering and surprise together, in [0, 1].
        energy_low: Lower end of its 90 % interval.
        energy_high: Upper end of its 90 % interval.
        method: How shares were estimated.
        fit: How much of the correction for the network's confusions is applied, in [0, 1]; None without a correction.
        model: The network and the engine that ran it; None when it saw no face.
        detector: The detector; None when no frame arrived.
        cameras: State of each camera in this window.
        override: What to show while the status is `overridden`. In the history: the override during which the mood was
            published. None without one, and from an API that does not have overrides.
    """

    schema: int
    as_of: datetime
    window_start: datetime
    valid_until: datetime
    status: str
    zone: str
    camera: str | None
    people: int | None
    readable: int | None
    shares: dict[str, float | None] | None
    low: dict[str, float | None] | None
    high: dict[str, float | None] | None
    raw: dict[str, float | None] | None
    dominant: str | None
    valence: float | None
    valence_low: float | None
    valence_high: float | None
    energy: float | None
    energy_low: float | None
    energy_high: float | None
    method: str
    fit: float | None
    model: str | None
    detector: str | None
    cameras: dict[str, str]
    override: Override | None = None

    def as_stale(self) -> Mood:
        """Return the same mood with the status `stale` and without figures."""
        withheld: dict[str, Any] = dict.fromkeys(_FIGURES)
        return replace(self, status="stale", **withheld)

    def leading(self, default: str) -> str:
        """Return the leading label or `mixed` if the status is `ok`, the creative of an override, else the default."""
        if self.status == "overridden" and self.override is not None:
            return default if self.override.show == "default" else self.override.show
        return self.dominant if self.status == "ok" and self.dominant else default


_KNOWN_WITHOUT_FIGURES = {
    "schema",
    "as_of",
    "window_start",
    "valid_until",
    "status",
    "zone",
    "camera",
    "method",
    "model",
    "detector",
    "cameras",
    "override",
}
_FIGURES = [each.name for each in fields(Mood) if each.name not in _KNOWN_WITHOUT_FIGURES]


@dataclass(frozen=True, slots=True)
class MoodChange:
    """A change of a crowd's leading label.

    Attributes:
        schema: Version of this shape.
        as_of: End of the window that settled it (exclusive).
        valid_until: Event time after which the change must not be acted on.
        sequence: 1, 2, 3, … within a run and zone; 1,000 numbers are skipped after the servers lost data.
        zone: The named set of cameras; `stadium` holds every camera.
        from_label: The leading label before.
        to_label: The leading label now.
        people: Number of people seen, readable or not.
        readable: Number of people counted; None in changes that were stored with schema 1.
        shares: Estimated share of the readable people by label; None for a label that the network does not know.
        low: Lower end of each share's 90 % interval.
        high: Upper end of each share's 90 % interval.
        override: The override during which it was published, in the history; streams do not have such changes.
    """

    schema: int
    as_of: datetime
    valid_until: datetime
    sequence: int
    zone: str
    from_label: str = field(metadata={JSON_NAME: "from"})
    to_label: str = field(metadata={JSON_NAME: "to"})
    people: int
    readable: int | None
    shares: dict[str, float | None]
    low: dict[str, float | None]
    high: dict[str, float | None]
    override: Override | None = None


@dataclass(frozen=True, slots=True)
class Camera:
    """The state of a camera and the accounts of its frames.

    Attributes:
        id: Its name.
        state: `opening`, `live`, `frozen`, `down` or `ended`.
        since: When it came into this state.
        source: Scheme, host and port of its address, or its file; None for keys without the scope `manage`.
        recorded: Whether it is recorded footage.
        detail: More about the state, for people.
        run_id: The uninterrupted numbering of frames that it is in.
        detector: The detector of its newest frame.
        model: The network of its newest frame, and the engine that ran it.
        last_frame_at: Capture time of its newest frame; None before the first.
        frames: Frames counted.
        faces: Faces seen in frames with at least `min_faces` faces; other frames add none.
        unfit: Faces that do not count, by reason.
        lost: Frames that were never counted, by reason.
        late: Frames that arrived after their windows had closed.
        duplicates: Frames that were delivered again, and not counted again.
    """

    id: str
    state: str
    since: datetime | None
    source: str | None
    recorded: bool | None
    detail: str | None
    run_id: str | None
    detector: str | None
    model: str | None
    last_frame_at: datetime | None
    frames: int
    faces: int
    unfit: dict[str, int]
    lost: dict[str, int]
    late: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class PhotoFace:
    """A face in an image.

    Attributes:
        box: Left, top, right and bottom in pixels of the upright image.
        label: Its likeliest label; `unreadable` when `readable` is below 0.5.
        probabilities: Probability of each label; None for a label that the network does not know.
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
    """The expressions of the faces of one image.

    Attributes:
        width: Width of the upright image in pixels.
        height: Its height in pixels.
        faces: Its faces.
        model: The network, and the engine that ran it.
        detector: The detector that found them.
    """

    width: int
    height: int
    faces: tuple[PhotoFace, ...]
    model: str
    detector: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream: exactly one of `mood`, `change` and `error` is set.

    Attributes:
        kind: `mood`: a mood was published. `change`: the leading label changed. `gap`: the history no longer reaches
            back to the last event, so some are missing. `lost`: the connection broke, and the stream reconnects; events
            continue after the last one.
        id: Where the stream stands: `stream(after=id)` continues after this event. Empty before the first message.
        mood: The mood of `mood`, as it was published: check `valid_until` after a reconnect.
        change: The change of `change`.
        error: The reason of `gap` and `lost`.
    """

    kind: Literal["mood", "change", "gap", "lost"]
    id: str
    mood: Mood | None = None
    change: MoodChange | None = None
    error: ClientError | None = None
