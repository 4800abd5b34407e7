"""Endpoints: their address, filters, adapter, secrets and health. Pure, the time is given."""

import base64
import secrets
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlsplit

from webhooks.adapters import Adapter
from webhooks.deliveries import RETRY_AFTER_S, Attempt
from webhooks.events import Event, EventType

_SECRET_BYTES = 32
GONE = 410
_NOT_SHOWN = frozenset({"id", "created_at_ms", "secrets"})
_SILENT_MS = round(2 * RETRY_AFTER_S[-1] * 1000)
"""After so long without an attempt nothing was being retried, so the pause does not count as a failure."""


def new_secret() -> str:
    """Return a random signing secret in the specification's format: `whsec_` and base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret, stored in plain text because signing needs it; only signing reads it.

    Attributes:
        value: `whsec_…`.
        until_ms: When it stops signing, in milliseconds since 1970-01-01 UTC; None while it is the newest.
    """

    value: str = field(repr=False)
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registered receiver of events.

    Attributes:
        id: Its name in addresses and webhook ids.
        url: The address to which deliveries are posted.
        events: The types of events that are sent.
        zones: Zones whose moods are sent; empty for every zone. A camera's events have no zone and always pass.
        cameras: Whether moods of single cameras are sent as well as those of zones.
        min_confidence: Least `Event.confidence`, 0 to 1, of moods that are sent.
        min_interval_s: Least time between two mood.updated of one crowd, in seconds.
        adapter: Formats the bodies.
        description: A note for people.
        enabled: Whether deliveries are sent, set by the owner.
        created_at_ms: Time of registration, in milliseconds since 1970-01-01 UTC.
        secrets: The signing secrets, newest first.
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
        """Return whether an event passes the filters; `min_interval_s` is not checked here.

        Args:
            event: The event.
            has_none: Whether the last event sent of this crowd was mood.unavailable: then the next mood passes.
        """
        selected = event.type in self.events or (has_none and event.type is EventType.MOOD_UPDATED)
        if not selected and not (event.overridden and any(type_.of_mood for type_ in self.events)):
            return False
        if not event.type.of_mood:
            return True
        if event.camera is not None and not self.cameras:
            return False
        if self.zones and event.zone not in self.zones:
            return False
        return event.confidence is None or event.confidence >= self.min_confidence

    def signing(self, now_ms: int) -> tuple[str, ...]:
        """Return the secrets that sign now, newest first."""
        return tuple(secret.value for secret in self.secrets if secret.until_ms is None or now_ms < secret.until_ms)

    def rotated(self, now_ms: int, grace_s: float) -> Self:
        """Return the endpoint with a new secret; the current secrets sign for another `grace_s` seconds."""
        until_ms = now_ms + round(grace_s * 1000)
        old = [secret for secret in self.secrets if secret.until_ms is None or now_ms < secret.until_ms]
        kept = (replace(secret, until_ms=min(secret.until_ms or until_ms, until_ms)) for secret in old)
        return replace(self, secrets=(Secret(new_secret()), *kept))

    def shown(self) -> dict[str, Any]:
        """Return the owner's settings for the audit log, without what may hold a credential.

        Of the URL, the scheme and the host remain; of a template, its length.
        """
        fields = {name: value for name, value in asdict(self).items() if name not in _NOT_SHOWN}
        parts = urlsplit(self.url)
        url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" + ("/…" if parts.path or parts.query else "")
        template = f"{len(self.adapter.template)} characters"
        return fields | {"url": url, "adapter": fields["adapter"] | {"template": template}}

    def difference(self, new: Self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings that differ from those of another endpoint, as `shown` gives them: ours, and theirs."""
        changed = [name for name in self.shown() if getattr(self, name) != getattr(new, name)]
        ours, theirs = ({name: one.shown()[name] for name in changed} for one in (self, new))
        return ours, theirs

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as the state store keeps them, secrets included."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Health:
    """The outcome of an endpoint's attempts. All times in milliseconds since 1970-01-01 UTC.

    Attributes:
        disabled_at_ms: When its failures disabled it; None while deliveries are sent.
        reason: Why it was disabled; None while deliveries are sent.
        failing_since_ms: First failure since the last success, or since hours without an attempt; None when the last
            attempt succeeded.
        last_success_ms: The newest success.
        last_error: Why the newest attempt failed; None when it succeeded.
        hold_until_ms: Send nothing before this time, which the receiver requested.
    """

    disabled_at_ms: int | None = None
    reason: str | None = None
    failing_since_ms: int | None = None
    last_success_ms: int | None = None
    last_error: str | None = None
    hold_until_ms: int = 0

    def after(self, attempt: Attempt, disable_after_s: float) -> Self:
        """Return the health after one more attempt.

        Args:
            attempt: The attempt.
            disable_after_s: Seconds without a success after which the endpoint is disabled.
        """
        now_ms = attempt.at_ms + attempt.duration_ms
        if attempt.error is None:
            return replace(self, failing_since_ms=None, last_success_ms=attempt.at_ms, last_error=None, hold_until_ms=0)
        since_ms = self.failing_since_ms
        # The last failure's `hold_until_ms` is its end, or the time that the receiver requested.
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
        """Return the fields as the state store keeps them."""
        return asdict(self)
