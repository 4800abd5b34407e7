"""Endpoints: where events go, which ones, in which shape, and what became of the endpoint. Pure, the time is given."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from webhooks.adapters import Adapter, AdapterName
from webhooks.deliveries import RETRY_AFTER_S, Attempt
from webhooks.events import Event, EventType

_SECRET_BYTES = 32
GONE = 410
_SILENT_MS = round(2 * RETRY_AFTER_S[-1] * 1000)
"""Time without an attempt after which nothing was being retried: that nothing arrived meanwhile is no failure."""


def new_secret() -> str:
    """A random signing secret as the specification writes it: `whsec_` and base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret. It is kept as it is, since signing needs it; nothing but signing reads it.

    Attributes:
        value: `whsec_…`.
        until_ms: When it no longer signs, in milliseconds since 1970-01-01 UTC; None while it is the newest.
    """

    value: str = field(repr=False)
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events go, as its owner set it.

    Attributes:
        id: Its name in addresses and webhook ids.
        url: Where deliveries are posted.
        events: Which kinds are sent.
        zones: Only moods of these zones; empty for every zone. A camera's events are of no zone: they always pass.
        cameras: Whether moods of single cameras are sent as well as those of zones.
        min_confidence: Least `Event.confidence`, 0 to 1, of moods that are sent.
        min_interval_s: Least time between two mood.updated of one crowd, in seconds.
        adapter: What bodies look like.
        description: For people.
        enabled: Whether its owner wants anything sent.
        created_at_ms: When it was registered, in milliseconds since 1970-01-01 UTC.
        secrets: What signs, newest first.
    """

    id: str
    url: str
    events: tuple[EventType, ...]
    zones: tuple[str, ...]
    cameras: bool
    min_confidence: float
    min_interval_s: float
    adapter: Adapter
    description: str
    enabled: bool
    created_at_ms: int
    secrets: tuple[Secret, ...]

    def wants(self, event: Event, *, has_none: bool = False) -> bool:
        """Whether this event passes its filters; how often is not asked.

        Args:
            event: What happened.
            has_none: Whether the last that it was told of this crowd is that there is no mood: then it wants the next.
        """
        if event.type not in self.events and not (has_none and event.type is EventType.MOOD_UPDATED):
            return False
        if not event.type.of_mood:
            return True
        if event.camera is not None and not self.cameras:
            return False
        if self.zones and event.zone not in self.zones:
            return False
        return event.confidence is None or event.confidence >= self.min_confidence

    def signing(self, now_ms: int) -> tuple[str, ...]:
        """The secrets that sign now, newest first."""
        return tuple(secret.value for secret in self.secrets if secret.until_ms is None or now_ms < secret.until_ms)

    def rotated(self, now_ms: int, grace_s: float) -> Self:
        """The endpoint with a new secret; those that sign now go on signing for so many seconds."""
        until_ms = now_ms + round(grace_s * 1000)
        old = [secret for secret in self.secrets if secret.until_ms is None or now_ms < secret.until_ms]
        kept = (replace(secret, until_ms=min(secret.until_ms or until_ms, until_ms)) for secret in old)
        return replace(self, secrets=(Secret(new_secret()), *kept))

    def to_dict(self) -> dict[str, Any]:
        """As the state store keeps it, secrets included."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(
            **{
                **fields,
                "events": tuple(EventType(event) for event in fields["events"]),
                "zones": tuple(fields["zones"]),
                "adapter": Adapter(**{**fields["adapter"], "name": AdapterName(fields["adapter"]["name"])}),
                "secrets": tuple(Secret(**secret) for secret in fields["secrets"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Health:
    """What became of an endpoint. All times in milliseconds since 1970-01-01 UTC.

    Attributes:
        disabled_at_ms: When it was disabled by what it answered; None while it is sent to.
        reason: Why; None while it is sent to.
        failing_since_ms: First failure since the last success, or since nothing was tried for hours; None when the
            last attempt succeeded.
        last_success_ms: The newest success.
        last_error: What the newest attempt failed of; None when it succeeded.
        hold_until_ms: Nothing is sent before, because the receiver said so.
    """

    disabled_at_ms: int | None = None
    reason: str | None = None
    failing_since_ms: int | None = None
    last_success_ms: int | None = None
    last_error: str | None = None
    hold_until_ms: int = 0

    def after(self, attempt: Attempt, disable_after_s: float) -> Self:
        """Its health after one more attempt.

        Args:
            attempt: The attempt.
            disable_after_s: Seconds without a success after which it is disabled.
        """
        now_ms = attempt.at_ms + attempt.duration_ms
        if attempt.error is None:
            return replace(self, failing_since_ms=None, last_success_ms=attempt.at_ms, last_error=None, hold_until_ms=0)
        since_ms = self.failing_since_ms
        # The last failure's `hold_until_ms` is its end, or when the receiver let us try again.
        if since_ms is None or attempt.at_ms - self.hold_until_ms > _SILENT_MS:
            since_ms = attempt.at_ms
        hold_until_ms = now_ms + round((attempt.retry_after_s or 0) * 1000)
        failing = replace(self, failing_since_ms=since_ms, last_error=attempt.error, hold_until_ms=hold_until_ms)
        if attempt.status_code == GONE:
            return replace(failing, disabled_at_ms=now_ms, reason="it answered 410 Gone: it wants no more deliveries")
        if now_ms - since_ms >= disable_after_s * 1000:
            hours = (now_ms - since_ms) / 3_600_000
            reason = f"every attempt of the last {hours:.1f} h failed, the last one with: {attempt.error}"
            return replace(failing, disabled_at_ms=now_ms, reason=reason)
        return failing

    def to_dict(self) -> dict[str, Any]:
        """As the state store keeps it."""
        return asdict(self)
