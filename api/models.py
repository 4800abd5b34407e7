"""The shapes of the responses, as the OpenAPI document describes them; moods and changes: `crowdmood.domain.mood`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.dataclasses import dataclass

from api.dependencies import TimeGiven
from crowdmood.core.settings import STADIUM
from crowdmood.domain import override
from crowdmood.domain.labels import Label
from crowdmood.domain.messages import CameraStateName
from crowdmood.domain.mood import TIME_SCHEMA, Dominant, Mood, MoodChange, Shares, to_rfc3339
from crowdmood.domain.mood import Time as MoodTime
from crowdmood.store.api_keys import SCOPES, ApiKey
from crowdmood.store.api_keys import Scope as KeyScope
from crowdmood.store.audit import ACTIONS
from crowdmood.store.regions import Regions

Time = Annotated[str, Field(pattern=TIME_SCHEMA["pattern"]), WithJsonSchema(TIME_SCHEMA)]
"""Text as `to_rfc3339` writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentMood(Mood):
    """The newest mood of a crowd. Act on it only while `status` is `ok`; before the first mood it has no times."""

    as_of_ms: MoodTime | None = Field(  # type: ignore[assignment]  # wider than in a mood
        serialization_alias="as_of",
        description="End of the window (exclusive), event time; null before the first mood.",
    )
    window_start_ms: MoodTime | None = Field(  # type: ignore[assignment]  # wider than in a mood
        serialization_alias="window_start", description="Start of the window (inclusive); null before the first mood."
    )
    valid_until_ms: MoodTime | None = Field(  # type: ignore[assignment]  # wider than in a mood
        serialization_alias="valid_until",
        description="Event time after which a client must not act on the mood; null before the first mood.",
    )
    method: str | None = Field(  # type: ignore[assignment]  # wider than in a mood
        description="Method that estimated the shares, as in past moods; null before the first mood."
    )


Next = Annotated[
    str | None,
    Field(description="`cursor` of the next page, valid at every replica; null on the last page."),
]


class Moods(BaseModel):
    """A page of past moods."""

    moods: list[Mood] = Field(description="Moods of the range, newest publication first.")
    next: Next


class Changes(BaseModel):
    """A page of past changes."""

    changes: list[MoodChange] = Field(description="Changes of the range, newest publication first.")
    next: Next


class Camera(BaseModel):
    """State and counters of one camera."""

    id: str = Field(description="The camera's name.")
    state: CameraStateName = Field(description="`frozen`: the image no longer changes; `ended`: the footage is over.")
    since: Time | None = Field(description="When the camera entered this state.")
    source: str | None = Field(
        description="Scheme, host and port of its address, or its file; null without the scope `manage`."
    )
    recorded: bool | None = Field(description="Whether it is recorded footage rather than a live camera.")
    detail: str | None = Field(description="More about the state, for people.")
    run_id: str | None = Field(description="Current run: frames are numbered without a break within a run.")
    detector: str | None = Field(description="Detector that found the faces of its newest frame.")
    model: str | None = Field(description="Network that classified these faces, and its inference engine.")
    last_frame_at: Time | None = Field(description="Capture time of its newest frame, event time.")
    frames: int = Field(description="Frames counted.", ge=0)
    faces: int = Field(description="Faces seen in frames with at least `min_faces` faces; others add none.", ge=0)
    unfit: dict[str, int] = Field(
        description="Of `faces`, those that do not count: `small`, `poor` (too blurred), or `unreadable` (no "
        "expression can be seen)."
    )
    lost: dict[str, int] = Field(description="Frames that were never counted, by reason.")
    late: int = Field(description="Frames that arrived after their windows had closed.", ge=0)
    duplicates: int = Field(description="Frames that were delivered again; each counts once.", ge=0)


class PhotoFace(BaseModel):
    """A face of a photo."""

    box: tuple[int, int, int, int] = Field(description="Left, top, right and bottom in pixels.")
    label: Label | Literal["unreadable"] = Field(
        description="Its most likely expression; `unreadable` if `readable` is below 0.5."
    )
    probabilities: Shares = Field(
        description="Probability of each expression; null for a label that the network does not know."
    )
    readable: float = Field(description="Probability that an expression can be seen.", ge=0, le=1)
    quality: float = Field(description="Amount of detail in the face's image, from its size and sharpness.", ge=0, le=1)


class Prediction(BaseModel):
    """The faces of one photo and their expressions."""

    width: int = Field(description="Width of the upright photo in pixels.", ge=1)
    height: int = Field(description="Height of the upright photo in pixels.", ge=1)
    faces: list[PhotoFace] = Field(description="Faces found; empty if there are none.")
    model: str = Field(description="The network and its inference engine.")
    detector: str = Field(description="The detector that found the faces.")


class PhotoTerms(BaseModel):
    """Limits of `POST /predict`."""

    on: bool = Field(description="Whether photos are classified at all (`CROWDMOOD_API__PREDICT`).")
    megapixels: float = Field(description="Largest photo, in megapixels.", gt=0)
    per_minute: int = Field(description="Photos per minute for each key, and for each address that sends no key.", ge=1)


class Display(BaseModel):
    """Settings of this installation for clients that display moods."""

    zones: dict[str, tuple[str, ...]] = Field(description="Each zone and its cameras; `stadium` contains every camera.")
    creatives: dict[Dominant, str] = Field(description="Creative that a board shows for each leading expression.")
    default_creative: str = Field(description="Creative for every other expression, and while `status` is not `ok`.")
    colours: dict[str, str] = Field(
        description="Each label's colour, `#RRGGBB`; people with colour blindness can distinguish them."
    )
    stacked: tuple[Label, ...] = Field(description="Labels in the order of a stacked chart, bottom first.")
    stale_after_s: float = Field(description="Age in seconds from which a mood is `stale`.")
    preview: Literal["off", "pixelated", "clear"] = Field(
        description="Previews of cameras: none, with pixelated frames, or with clear frames."
    )
    photos: PhotoTerms = Field(description="Limits of `POST /predict`.")


class CameraRegions(Regions):
    """Regions of a camera in which faces are searched: those of `floor`, narrowed by the saved ones."""

    saved: bool = Field(description="Whether `include` and `mask` were saved for this run; otherwise they are empty.")
    floor: Regions = Field(description="Regions of the settings: no request can widen them.")


_SCOPES = (
    "Permissions: `read` moods, history and cameras; `operate`, set overrides; `manage`, which includes `read` and "
    "`operate`, change webhooks, keys and regions and see previews; `predict`, classify single photos; `audit`, read "
    "the audit log."
)


class Key(BaseModel):
    """An API key, without its secret."""

    id: str = Field(description="Identifies the key; not secret.")
    name: str = Field(description="The key's owner, for people.")
    scopes: list[KeyScope] = Field(description=_SCOPES)
    state: Literal["active", "revoked", "expired"]
    created_at: Time
    expires_at: Time | None = Field(description="When the key stops being valid; null: never.")

    @classmethod
    def of(cls, key: ApiKey, now_ms: float) -> "Key":
        """Return the public fields of a key."""
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
    """The key to create."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, description="The key's owner, for people.")
    scopes: Annotated[list[KeyScope], Field(min_length=1, max_length=len(SCOPES))] = Field(
        default=["read"], description=_SCOPES
    )
    days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        default=None, description="Days until the key expires; null: never."
    )


class NewKey(Key):
    """A new key, with its secret."""

    key: str = Field(description="`cm_…`: send it as `Authorization: Bearer …`. It is shown only once: keep it.")


class OverrideRequest(BaseModel):
    """The override to set."""

    model_config = ConfigDict(extra="forbid")

    zone: str = Field(
        default=STADIUM,
        min_length=1,
        max_length=64,
        description="Zone whose boards it concerns, with its cameras; `stadium`: every zone and camera.",
        examples=["stadium"],
    )
    show: str = Field(
        default=override.DEFAULT,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,200}$",
        description="What boards show: `default`, their own default, or a creative.",
    )
    from_: TimeGiven | None = Field(default=None, alias="from", description="When it starts; default: now.")
    until: TimeGiven = Field(
        description="When it ends, at most `CROWDMOOD_API__OVERRIDE_MAX_S` after its start.",
    )
    why: str = Field(min_length=1, max_length=500, description="The reason, for operators and the audit log.")


class Override(BaseModel):
    """An override."""

    id: str = Field(description="Identifies it: the zone, with the start of one that was scheduled.")
    zone: str = Field(description="Zone whose boards it concerns; `stadium`: every zone and camera.")
    show: str = Field(description="What boards show: `default`, their own default, or a creative.")
    from_: Time = Field(alias="from", description="When it starts.")
    until: Time = Field(description="When it ends.")
    why: str = Field(description="The reason.")
    set_at: Time = Field(description="When it was set.")
    set_by: str | None = Field(description="Name of the API key or user that set it; null: a client without a key.")
    in_force: bool = Field(description="Whether it applies now; otherwise it is scheduled.")

    @classmethod
    def of(cls, one: override.Override, now_ms: float) -> "Override":
        """Return the public fields of an override."""
        return cls.model_validate(one.to_dict() | {"in_force": one.in_force(now_ms)})


class AuditEntry(BaseModel):
    """One action. It has no mood, no secret and no credential."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(description="Identifies the entry; entries are in the order of their ids.")
    at: Time = Field(description="When it happened, wall-clock time.")
    via: Literal["api", "command line", "system"] = Field(
        description="How it was done; `system`: by CrowdMood itself, at a set time."
    )
    key: str | None = Field(description="Id of the API key; null without a key.")
    name: str | None = Field(description="Name of the API key, or of the operating system's user.")
    address: str | None = Field(
        description="Address of the client (for IPv6 its /64 network), or name of the user's machine."
    )
    action: str = Field(description=f"What was done: {', '.join(f'`{action}`' for action in ACTIONS)}.")
    target: str | None = Field(description="What it was done to: a camera, key, webhook, override or run.")
    from_: Any = Field(alias="from", description="State before, as far as it concerns the action; null: none.")
    to: Any = Field(description="State after, as far as it concerns the action; null: none.")


class Audit(BaseModel):
    """A page of the audit log."""

    entries: list[AuditEntry] = Field(description="Entries of the range, newest first.")
    next: Next


class Live(BaseModel):
    """The process is alive."""

    live: Literal[True] = True


class Ready(BaseModel):
    """Whether the process keeps its responses up to date."""

    ready: bool
    reason: str | None = Field(default=None, description="Why the process is not ready; null if it is.")


class Problem(BaseModel):
    """Why a request failed: problem details (RFC 9457)."""

    type: str = Field(
        description="Stable identifier of the kind of problem. `about:blank`: the meaning of `status`, nothing more.",
        json_schema_extra={"format": "uri-reference"},
        examples=["/problems/unknown-camera"],
    )
    title: str = Field(description="The kind of problem, for people.")
    status: int = Field(description="The HTTP status.", ge=400, le=599)
    detail: str | None = Field(default=None, description="What was wrong with this request and what to do, for people.")
