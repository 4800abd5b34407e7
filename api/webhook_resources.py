"""The shapes of requests about webhooks and of their answers, as the OpenAPI document tells them."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from api.dependencies import TimeQuery
from api.models import Time
from crowdmood.domain.mood import to_rfc3339
from webhooks.adapters import Adapter, AdapterName, template
from webhooks.deliveries import Delivery, Status
from webhooks.endpoints import Endpoint, Secret
from webhooks.events import EventType
from webhooks.store import Registered

_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise ValueError("Input should be a valid string")
    return given


_TimeGiven = Annotated[TimeQuery, BeforeValidator(_text)]
"""RFC 3339 text in a body, as milliseconds since 1970-01-01 UTC."""


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AdapterChoice(_Given):
    """What bodies look like. All but `standard` and `template` know one enum and a time to live: moods only."""

    name: AdapterName = Field(default=AdapterName.STANDARD, description="Which adapter.")
    metric: _Word = Field(
        default="crowd_mood",
        description="`xibo`: the criterion's name; `broadsign`: what conditions' names begin with.",
    )
    fallback: _Word = Field(default="unavailable", description="What stands for no mood where there is one enum.")
    template: str = Field(
        default="",
        max_length=template.LONGEST,
        description="`template`: the body, with `{{ value }}`, `{{ ttl }}`, `{{ type }}`, `{{ timestamp }}` and "
        "`{{ data.… }}` put in.",
    )
    content_type: str = Field(
        default="text/plain; charset=utf-8",
        pattern=r"^[a-z]+/[a-z0-9.+-]{1,64}(; charset=utf-8)?$",
        description="`template`: media type of what it makes.",
    )

    @model_validator(mode="after")
    def _template_works(self) -> Self:
        if self.name is AdapterName.TEMPLATE:
            template.check(self.template)
        return self


class EndpointSettings(_Given):
    """What an endpoint's owner sets."""

    url: str = Field(
        max_length=2048, description="Where deliveries are posted: https, or http where the network is allowed."
    )
    events: tuple[EventType, ...] = Field(
        default=(EventType.MOOD_CHANGED, EventType.MOOD_UNAVAILABLE),
        min_length=1,
        max_length=len(EventType),
        description="Which events are sent.",
    )
    zones: tuple[str, ...] = Field(
        default=(), max_length=100, description="Only moods of these zones; empty: of every zone."
    )
    cameras: bool = Field(default=False, description="Whether moods of single cameras are sent as well.")
    min_confidence: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Moods are sent only where the lower end of the leading expression's 90 % interval is at least "
        "this; a `mixed` mood counts as 0. `mood.unavailable` and cameras' events are always sent.",
    )
    min_interval_s: float = Field(
        default=1.0,
        ge=0,
        le=86_400,
        description="Least seconds between two `mood.updated` of one crowd; the first after a `mood.unavailable` is "
        "sent at once, also to those who do not take `mood.updated`.",
    )
    adapter: AdapterChoice = AdapterChoice()
    description: str = Field(default="", max_length=200, description="For people.")
    enabled: bool = Field(default=True, description="Whether anything is sent.")

    @model_validator(mode="after")
    def _adapter_can_tell(self) -> Self:
        tells_all = self.adapter.name in (AdapterName.STANDARD, AdapterName.TEMPLATE)
        mute = [event.value for event in self.events if not event.of_mood]
        if mute and not tells_all:
            raise ValueError(f"adapter {self.adapter.name.value!r} tells of moods only: leave out {', '.join(mute)}")
        return self

    def endpoint(self, id_: str, created_at_ms: int, secrets: tuple[Secret, ...]) -> Endpoint:
        """An endpoint with these settings."""
        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "adapter"}
        chosen = {name: getattr(self.adapter, name) for name in AdapterChoice.model_fields}
        return Endpoint(**fields, adapter=Adapter(**chosen), id=id_, created_at_ms=created_at_ms, secrets=secrets)

    def applied(self, endpoint: Endpoint) -> Endpoint:
        """The same endpoint with these settings."""
        return self.endpoint(endpoint.id, endpoint.created_at_ms, endpoint.secrets)


class EndpointPatch(_Given):
    """What to change of an endpoint's settings."""

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
    """An endpoint's settings, as its owner gives them."""
    kept = endpoint.to_dict()
    return {name: kept[name] for name in EndpointSettings.model_fields}


class EndpointAnswer(EndpointSettings):
    """An endpoint and what became of it. Its secret is shown when it is made, and never again."""

    id: str
    created_at: Time
    status: Literal["active", "failing", "disabled"] = Field(description="`disabled`: nothing is sent.")
    disabled_at: Time | None = Field(description="When it was disabled for what it answered.")
    disabled_reason: str | None = Field(description="Why; send `enabled: true` when it is mended.")
    failing_since: Time | None = Field(description="First failure since the last success.")
    last_success_at: Time | None
    last_error: str | None = Field(description="What the newest attempt failed of; null when it succeeded.")
    old_secret_until: Time | None = Field(description="Until when a replaced secret signs beside the new one.")

    @classmethod
    def of(cls, found: Registered) -> Self:
        """What is told of an endpoint."""
        return cls.model_validate(_told(found))


class EndpointWithSecret(EndpointAnswer):
    """An endpoint that was just made, or whose secret was just replaced."""

    secret: str = Field(description="`whsec_…`: verifies deliveries. It is shown this once: keep it.")

    @classmethod
    def of(cls, found: Registered) -> Self:
        """What is told of it, with its newest secret."""
        return cls.model_validate(_told(found) | {"secret": found.endpoint.secrets[0].value})


def _told(found: Registered) -> dict[str, Any]:
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
    """One try to deliver. What the receiver said beyond its status code is not kept."""

    at: Time
    duration_ms: int = Field(ge=0)
    status_code: int | None = Field(description="What the receiver answered; null when it did not.")
    error: str | None = Field(description="Why it failed; null when it did not.")


class DeliveryAnswer(BaseModel):
    """One event on its way to one endpoint."""

    id: str = Field(description="The `webhook-id` header, the same on every attempt.")
    type: EventType
    status: Status = Field(
        description="`expired`: perished before it arrived; `superseded`: a newer one went instead; `failed`: given up."
    )
    created_at: Time
    expires_at: Time | None = Field(description="When it is no longer worth sending; null: tried for a day.")
    next_attempt_at: Time | None = Field(description="When it is tried next; null unless `pending`.")
    attempts: list[AttemptAnswer] = Field(description="The newest attempts, oldest first.")
    payload: dict[str, Any] = Field(description="The event, as the standard adapter sends it.")

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """What is told of a delivery."""
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
    next: str | None = Field(description="Give it as `cursor` for older ones; null when there are none.")


class TrialRequest(_Given):
    """What to try out."""

    type: EventType | None = Field(default=None, description="Which event; default the first that the endpoint takes.")


class RedeliverRequest(_Given):
    """Which deliveries to send again."""

    from_: _TimeGiven | None = Field(default=None, alias="from", description="Earliest `created_at`, inclusive.")
    to: _TimeGiven | None = Field(default=None, description="Latest `created_at`, exclusive.")
    statuses: tuple[Status, ...] = Field(
        default=(Status.EXPIRED, Status.SUPERSEDED, Status.FAILED),
        min_length=1,
        max_length=len(Status),
        description="Only those that ended like this.",
    )

    def bounds(self) -> tuple[float, float]:
        """The range in milliseconds since 1970-01-01 UTC."""
        return -math.inf if self.from_ is None else self.from_, math.inf if self.to is None else self.to


class Redelivered(BaseModel):
    """How many deliveries are pending again."""

    deliveries: int = Field(ge=0)


def _time(ms: int | None) -> str | None:
    return None if ms is None else to_rfc3339(ms)
