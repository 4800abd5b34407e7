"""The shapes of all answers, as the OpenAPI document tells them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from crowdmood.domain.messages import CameraStateName
from crowdmood.domain.mood import Status, WindowCameraState, to_rfc3339
from crowdmood.store.api_keys import SCOPES, ApiKey
from crowdmood.store.api_keys import Scope as KeyScope
from crowdmood.store.regions import Regions

Time = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-05-01T15:00:00.000Z"]}),
]
Share = Annotated[float, Field(ge=0, le=1)]
Label = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "cheering"]
Dominant = Literal[Label, "mixed"]


class Shares(BaseModel):
    """Share per expression. Null: the network does not know this one; the others add up to 1."""

    angry: Share | None
    disgust: Share | None
    fear: Share | None
    happy: Share | None
    sad: Share | None
    surprise: Share | None
    neutral: Share | None
    cheering: Share | None = Field(description="Mouth open, singing, shouting or chanting; no other expression.")


class Mood(BaseModel):
    """What a crowd shows in one window of event time. Act on it only while `status` is `ok`."""

    schema_version: int = Field(alias="schema", description="Version of this shape: 2.")
    as_of: Time | None = Field(description="End of the window (exclusive), event time; null before the first mood.")
    window_start: Time | None = Field(description="Start of the window (inclusive), event time.")
    valid_until: Time | None = Field(description="Event time after which the mood must not be acted on.")
    status: Status = Field(
        description="`ok`; `insufficient`: too few readable people at the same time, figures are withheld; `stale`: no "
        "new mood for too long or none at all, figures are withheld. Show your default unless it is `ok`."
    )
    zone: str = Field(description="The named set of cameras this is about; `stadium` holds every camera.")
    camera: str | None = Field(description="The one camera this is about; null for the whole zone.")
    people: int | None = Field(
        description="Number of people seen in the window, readable or not, each counted once however often they are "
        "found. While a camera stands still there are at most 1.3 times as many as the most faces found in one frame "
        "of the window; in proportion more while it pans or cuts. Null unless `ok`.",
        ge=0,
    )
    readable: int | None = Field(
        description="Number of people counted: their expression was readable at least once. Shares are of these. Null "
        "unless `ok`, and in moods stored with schema 1.",
        ge=0,
    )
    shares: Shares | None = Field(description="Estimated share of readable people per expression; null unless `ok`.")
    low: Shares | None = Field(description="Lower ends of the shares' 90 % intervals; null unless `ok`.")
    high: Shares | None = Field(description="Upper ends of the shares' 90 % intervals; null unless `ok`.")
    raw: Shares | None = Field(
        description="Share of readable people whose likeliest expression is this one; null unless `ok`."
    )
    dominant: Dominant | None = Field(
        description="The expression with the largest share, or `mixed` when its lead may be chance; null unless `ok`."
    )
    valence: float | None = Field(
        description="Share of happy less angry, disgust, fear and sad; cheering, surprise and neutral count 0. Null "
        "unless `ok`.",
        ge=-1,
        le=1,
    )
    valence_low: float | None = Field(description="Lower end of its 90 % interval; null unless `ok`.", ge=-1, le=1)
    valence_high: float | None = Field(description="Upper end of its 90 % interval; null unless `ok`.", ge=-1, le=1)
    energy: Share | None = Field(
        description="Share of cheering and surprise together: how excited a crowd is, for good or bad. Null "
        "unless `ok`, when the network does not know cheering, and in moods stored with schema 1."
    )
    energy_low: Share | None = Field(description="Lower end of its 90 % interval; null where `energy` is.")
    energy_high: Share | None = Field(description="Upper end of its 90 % interval; null where `energy` is.")
    method: str | None = Field(
        description="How shares were estimated: `gls`, `sld`, `pacc`, `pcc`, or `raw` where nothing is known of the "
        "network's confusions; several, joined by `+`, where the cameras' networks differ."
    )
    fit: Share | None = Field(
        description="How much of the correction for the network's confusions is applied. 1: a mixture of known faces "
        "explains the crowd; towards 0: none does, shares lean towards counting and intervals are wider. Null for "
        "methods without a correction, unless `ok`, and in moods stored with schema 1."
    )
    model: str | None = Field(description="The network and the engine that ran it; null when it saw no face.")
    detector: str | None = Field(description="The detector; null when no frame arrived.")
    cameras: dict[str, WindowCameraState] = Field(description="State of each camera in this window, by camera.")


class MoodChange(BaseModel):
    """A change of what a crowd shows: from one leading expression to another."""

    schema_version: int = Field(alias="schema", description="Version of this shape: 2.")
    as_of: Time = Field(description="End of the window that settled it (exclusive), event time.")
    valid_until: Time = Field(description="Event time after which the change must not be acted on.")
    sequence: int = Field(description="1, 2, 3, … within a run and zone, without gaps.", ge=1)
    zone: str = Field(description="The named set of cameras this is about; `stadium` holds every camera.")
    from_label: Label = Field(alias="from", description="What the crowd showed before.")
    to_label: Label = Field(alias="to", description="What it shows now.")
    people: int = Field(description="Number of people seen, readable or not, counted as in a mood.", ge=0)
    readable: int | None = Field(description="Number of people counted; null in changes stored with schema 1.", ge=0)
    shares: Shares = Field(description="Estimated share of readable people per expression, by what each showed last.")
    low: Shares = Field(description="Lower ends of the shares' 90 % intervals.")
    high: Shares = Field(description="Upper ends of the shares' 90 % intervals.")


Next = Annotated[
    str | None,
    Field(description="`cursor` of the next page, valid at every replica; null when there is no more."),
]


class Moods(BaseModel):
    """A page of past moods."""

    moods: list[Mood] = Field(description="Moods of the range, the newest publication first.")
    next: Next


class Changes(BaseModel):
    """A page of past changes."""

    changes: list[MoodChange] = Field(description="Changes of the range, the newest publication first.")
    next: Next


class Camera(BaseModel):
    """What is known of one camera."""

    id: str = Field(description="The camera's name.")
    state: CameraStateName = Field(description="`frozen`: the picture no longer changes; `ended`: footage is over.")
    since: Time | None = Field(description="When it came into this state.")
    source: str | None = Field(description="Where its pictures come from, without credentials.")
    recorded: bool | None = Field(description="Whether it is recorded footage rather than a live camera.")
    detail: str | None = Field(description="More about the state, for people.")
    run_id: str | None = Field(description="The uninterrupted numbering of frames that it is in.")
    detector: str | None = Field(description="Which detector found the faces of its newest frame.")
    model: str | None = Field(description="Which network judged them, and what ran it.")
    last_frame_at: Time | None = Field(description="Capture time of its newest frame, event time.")
    frames: int = Field(description="Frames counted.", ge=0)
    faces: int = Field(description="Faces seen.", ge=0)
    unfit: dict[str, int] = Field(
        description="Of those, faces that do not count: `small`, `poor` (too blurred), or `unreadable` (no expression "
        "can be seen)."
    )
    lost: dict[str, int] = Field(description="Frames that were never counted, by reason.")
    late: int = Field(description="Frames that came after their windows had closed.", ge=0)
    duplicates: int = Field(description="Frames that were delivered again, and not counted again.", ge=0)


class Probabilities(Shares):
    """Probability of each expression of a face; null for a label that the network does not know."""


class PhotoFace(BaseModel):
    """A face of a picture."""

    box: tuple[int, int, int, int] = Field(description="Left, top, right and bottom in pixels.")
    label: Label | Literal["unreadable"] = Field(
        description="Its likeliest expression; `unreadable` if `readable` is below 0.5."
    )
    probabilities: Probabilities
    readable: float = Field(description="Probability that an expression can be seen.", ge=0, le=1)
    quality: float = Field(description="How much detail the image holds, by size and sharpness.", ge=0, le=1)


class Prediction(BaseModel):
    """The expressions of the faces of one picture."""

    width: int = Field(description="Width of the upright picture in pixels.", ge=1)
    height: int = Field(description="Its height in pixels.", ge=1)
    faces: list[PhotoFace] = Field(description="Its faces; none when none was found.")
    model: str = Field(description="The network, and the engine that ran it.")
    detector: str = Field(description="The detector that found them.")


class PhotoTerms(BaseModel):
    """What `POST /predict` takes."""

    on: bool = Field(description="Whether photos are classified at all (`CROWDMOOD_API__PREDICT`).")
    megapixels: float = Field(description="Largest photo, in megapixels.", gt=0)
    per_minute: int = Field(description="Photos a minute of each key, and of each address without one.", ge=1)


class Display(BaseModel):
    """What whoever shows moods to people needs to know of this installation."""

    zones: dict[str, tuple[str, ...]] = Field(description="Each zone and its cameras; `stadium` holds every one.")
    creatives: dict[Dominant, str] = Field(description="What a board shows for each leading expression.")
    default_creative: str = Field(description="What it shows for any other, and while `status` is not `ok`.")
    colours: dict[str, str] = Field(description="Each label's colour, `#RRGGBB`, told apart by everybody.")
    stacked: tuple[Label, ...] = Field(description="Labels from the bottom of a stack to its top.")
    stale_after_s: float = Field(description="Age in seconds from which a mood is `stale`.")
    preview: Literal["off", "pixelated", "clear"] = Field(description="Whether cameras have previews, and of what.")
    photos: PhotoTerms = Field(description="What `POST /predict` takes.")


class CameraRegions(Regions):
    """Where a camera is looked at: what `floor` lets through, narrowed by what was saved."""

    saved: bool = Field(description="Whether `include` and `mask` were saved for this run; else they are empty.")
    floor: Regions = Field(description="Regions of the settings: no request can look beyond them.")


_SCOPES = (
    "What it allows: `read` moods, history and cameras; `manage`, which includes `read`, changes webhooks, keys and "
    "regions and sees previews; `predict` classifies single photos."
)


class Key(BaseModel):
    """An API key, without what opens."""

    id: str = Field(description="Names the key; no secret.")
    name: str = Field(description="Who has it.")
    scopes: list[KeyScope] = Field(description=_SCOPES)
    state: Literal["active", "revoked", "expired"]
    created_at: Time
    expires_at: Time | None = Field(description="From then on it opens nothing; null: never.")

    @classmethod
    def of(cls, key: ApiKey, now_ms: float) -> "Key":
        """What is told of a key."""
        expires = key.expires_at_ms
        return cls(
            id=key.key_id,
            name=key.name,
            scopes=list(key.scopes),
            state=key.state(now_ms),
            created_at=to_rfc3339(key.created_at_ms),
            expires_at=None if expires is None else to_rfc3339(expires),
        )


class KeyRequest(BaseModel):
    """The key to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, description="Who gets it, for people.")
    scopes: Annotated[list[KeyScope], Field(min_length=1, max_length=len(SCOPES))] = Field(
        default=["read"], description=_SCOPES
    )
    days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        default=None, description="Days until it expires; null: never."
    )


class NewKey(Key):
    """A key that was just made."""

    key: str = Field(description="`cm_…`: sent as `Authorization: Bearer …`. It is shown this once: keep it.")


class Live(BaseModel):
    """The process lives."""

    live: Literal[True] = True


class Ready(BaseModel):
    """Whether answers are kept fresh."""

    ready: bool
    reason: str | None = Field(default=None, description="Why not; null when ready.")


class Problem(BaseModel):
    """Why a request was not answered as asked: problem details (RFC 9457)."""

    type: str = Field(
        description="What kind of problem it is; stable. `about:blank`: what `status` means, no more.",
        json_schema_extra={"format": "uri-reference"},
        examples=["/problems/unknown-camera"],
    )
    title: str = Field(description="The kind of problem, for people.")
    status: int = Field(description="The HTTP status.", ge=400, le=599)
    detail: str | None = Field(default=None, description="What was wrong this time and what to do, for people.")
