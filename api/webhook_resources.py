"""The shapes of requests to `/webhooks` and of their responses, as the OpenAPI document describes them."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.dependencies import TimeGiven
from api.models import Time
from crowdmood.domain.mood import to_rfc3339
from webhooks.adapters import Adapter, AdapterName, template
from webhooks.deliveries import Delivery, Status
from webhooks.endpoints import Endpoint, Secret
from webhooks.events import EventType
from webhooks.store import Registered

_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AdapterChoice(_Given):
    """Format of delivery bodies. Adapters other than `standard` and `template` send moods only: one enum and a TTL."""

    name: AdapterName = Field(default=AdapterName.STANDARD, description="Name of the adapter.")
    metric: _Word = Field(
        default="crowd_mood",
        description="`xibo`: name of the criterion; `broadsign`: prefix of the conditions' names.",
    )
    fallback: _Word = Field(
        default="unavailable", description="Value sent when there is no mood, by adapters that send one enum."
    )
    template: str = Field(
        default="",
        max_length=template.LONGEST,
        description="`template`: the body; `{{ value }}`, `{{ ttl }}`, `{{ type }}`, `{{ timestamp }}` and "
        "`{{ data.… }}` are replaced.",
    )
    content_type: str = Field(
        default="text/plain; charset=utf-8",
        pattern=r"^[a-z]+/[a-z0-9.+-]{1,64}(; charset=utf-8)?$",
        description="`template`: media type of the body.",
    )

    @model_validator(mode="after")
    def _template_works(self) -> Self:
        if self.name is AdapterName.TEMPLATE:
            template.check(self.template)
        return self


class EndpointSettings(_Given):
    """Settings of an endpoint."""

    url: str = Field(
        max_length=2048,
        description="Address that receives deliveries by POST: https, or http if the settings allow its network.",
    )
    events: tuple[EventType, ...] = Field(
        default=(EventType.MOOD_CHANGED, EventType.MOOD_UNAVAILABLE),
        min_length=1,
        max_length=len(EventType),
        description="Events to send.",
    )
    zones: tuple[str, ...] = Field(
        default=(), max_length=100, description="Send only moods of these zones; empty: of every zone."
    )
    cameras: bool = Field(default=False, description="Whether to send moods of single cameras as well.")
    min_confidence: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Send a mood only if the lower end of the leading expression's 90 % interval is at least this; a "
        "`mixed` mood counts as 0. `mood.unavailable` and camera events are always sent.",
    )
    min_interval_s: float = Field(
        default=1.0,
        ge=0,
        le=86_400,
        description="Least seconds between two `mood.updated` events of one scope. The first `mood.updated` after a "
        "`mood.unavailable` is sent at once, even to endpoints that do not subscribe to `mood.updated`.",
    )
    adapter: AdapterChoice = AdapterChoice()
    description: str = Field(default="", max_length=200, description="A note for people.")
    enabled: bool = Field(default=True, description="Whether events are sent.")

    @model_validator(mode="after")
    def _adapter_supports_events(self) -> Self:
        supports_all = self.adapter.name in (AdapterName.STANDARD, AdapterName.TEMPLATE)
        unsupported = [event.value for event in self.events if not event.of_mood]
        if unsupported and not supports_all:
            raise ValueError(
                f"adapter {self.adapter.name.value!r} sends moods only: leave out {', '.join(unsupported)}"
            )
        return self

    def endpoint(self, id_: str, created_at_ms: int, secrets: tuple[Secret, ...]) -> Endpoint:
        """Return an endpoint with these settings."""
        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "adapter"}
        chosen = {name: getattr(self.adapter, name) for name in AdapterChoice.model_fields}
        return Endpoint(**fields, adapter=Adapter(**chosen), id=id_, created_at_ms=created_at_ms, secrets=secrets)

    def applied(self, endpoint: Endpoint) -> Endpoint:
        """Return the same endpoint with these settings."""
        return self.endpoint(endpoint.id, endpoint.created_at_ms, endpoint.secrets)


class EndpointPatch(_Given):
    """Settings of an endpoint to change."""

    url: str = Field(default="", max_length=2048)
    events: tuple[EventType, ...] = Field(default=(), max_length=len(EventType))
    zones: tuple[str, ...] = Field(default=(), max_length=100)
    cameras: bool = False
    min_confidence: float = Field(default=0.0, ge=0, le=1)
    min_interval_s: float = Field(default=0.0, ge=0, le=86_400)
    adapter: AdapterChoice = AdapterChoice()
    description: str = Field(default="", max_length=200)
    enabled: bool = False


def settings_of(endpoint: Endpoint) -> dict[str, Any]:
    """Return an endpoint's settings in the shape of `EndpointSettings`."""
    kept = endpoint.to_dict()
    return {name: kept[name] for name in EndpointSettings.model_fields}


class EndpointAnswer(EndpointSettings):
    """An endpoint and its state. The secret is shown only when the endpoint is created."""

    id: str
    created_at: Time
    status: Literal["active", "failing", "disabled"] = Field(description="`disabled`: nothing is sent.")
    disabled_at: Time | None = Field(description="When it was disabled because of its responses.")
    disabled_reason: str | None = Field(description="Why it was disabled; send `enabled: true` once it is fixed.")
    failing_since: Time | None = Field(description="First failure since the last success.")
    last_success_at: Time | None
    last_error: str | None = Field(description="Why the newest attempt failed; null if it succeeded.")
    old_secret_until: Time | None = Field(
        description="Until this time deliveries are signed with the replaced secret as well as the new one."
    )

    @classmethod
    def of(cls, found: Registered) -> Self:
        """Return the public fields of an endpoint."""
        return cls.model_validate(_fields(found))


class EndpointWithSecret(EndpointAnswer):
    """An endpoint with a new secret: just created, or just rotated."""

    secret: str = Field(description="`whsec_…`: verifies deliveries. It is shown only once: keep it.")

    @classmethod
    def of(cls, found: Registered) -> Self:
        """Return the public fields of an endpoint and its newest secret."""
        return cls.model_validate(_fields(found) | {"secret": found.endpoint.secrets[0].value})


def _fields(found: Registered) -> dict[str, Any]:
    endpoint, health = found.endpoint, found.health
    status = "active" if found.open else "disabled"
    ends = [secret.until_ms for secret in endpoint.secrets if secret.until_ms is not None]
    return settings_of(endpoint) | {
        "id": endpoint.id,
        "created_at": to_rfc3339(endpoint.created_at_ms),
        "status": "failing" if found.open and health.failing_since_ms is not None else status,
        "disabled_at": _time(health.disabled_at_ms),
        "disabled_reason": health.reason,
        "failing_since": _time(health.failing_since_ms),
        "last_success_at": _time(health.last_success_ms),
        "last_error": health.last_error,
        "old_secret_until": _time(max(ends, default=None)),
    }


class AttemptAnswer(BaseModel):
    """One attempt to deliver. Of the receiver's response, only the status code is kept."""

    at: Time
    duration_ms: int = Field(ge=0)
    status_code: int | None = Field(description="Status code of the response; null if there was none.")
    error: str | None = Field(description="Why the attempt failed; null if it succeeded.")


class DeliveryAnswer(BaseModel):
    """The delivery of one event to one endpoint."""

    id: str = Field(description="The `webhook-id` header, the same on every attempt.")
    type: EventType
    status: Status = Field(
        description="`expired`: it expired before it arrived; `superseded`: a newer one was sent instead; `failed`: no "
        "attempt succeeded and no more follow."
    )
    created_at: Time
    expires_at: Time | None = Field(description="When it stops being sent; null: it is retried for a day.")
    next_attempt_at: Time | None = Field(description="Time of the next attempt; null unless `pending`.")
    attempts: list[AttemptAnswer] = Field(description="The newest attempts, oldest first.")
    payload: dict[str, Any] = Field(description="The event in the format of the standard adapter.")

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """Return the public fields of a delivery."""
        return cls(
            id=delivery.id,
            type=delivery.event.type,
            status=delivery.status,
            created_at=to_rfc3339(delivery.created_at_ms),
            expires_at=_time(delivery.expires_at_ms),
            next_attempt_at=_time(delivery.due_at_ms if delivery.status is Status.PENDING else None),
            attempts=[
                AttemptAnswer(
                    at=to_rfc3339(attempt.at_ms),
                    duration_ms=attempt.duration_ms,
                    status_code=attempt.status_code,
                    error=attempt.error,
                )
                for attempt in delivery.attempts
            ],
            payload=delivery.event.payload(),
        )


class Deliveries(BaseModel):
    """Deliveries of one endpoint."""

    deliveries: list[DeliveryAnswer] = Field(description="Newest first.")
    next: str | None = Field(description="`cursor` of the next page, with older ones; null on the last page.")


class TrialRequest(_Given):
    """The test event to send."""

    type: EventType | None = Field(default=None, description="Event to send; default: the endpoint's first event.")


class RedeliverRequest(_Given):
    """The deliveries to send again."""

    from_: TimeGiven | None = Field(default=None, alias="from", description="Earliest `created_at`, inclusive.")
    to: TimeGiven | None = Field(default=None, description="Latest `created_at`, exclusive.")
    statuses: tuple[Status, ...] = Field(
        default=(Status.EXPIRED, Status.SUPERSEDED, Status.FAILED),
        min_length=1,
        max_length=len(Status),
        description="Only deliveries with one of these statuses.",
    )

    def bounds(self) -> tuple[float, float]:
        """Return the range in milliseconds since 1970-01-01 UTC."""
        return -math.inf if self.from_ is None else self.from_, math.inf if self.to is None else self.to


class Redelivered(BaseModel):
    """Number of deliveries that are pending again."""

    deliveries: int = Field(ge=0)


def _time(ms: int | None) -> str | None:
    return None if ms is None else to_rfc3339(ms)
