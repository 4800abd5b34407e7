"""Webhook endpoints and their deliveries. Plain functions, which FastAPI runs in threads: store calls block."""

import ipaddress
import secrets
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api import webhook_resources
from api.dependencies import Context, ContextDep
from api.problems import INVALID, STORE_AWAY, Kind, ProblemError, responses
from api.security import TOO_SLOW, ManagerRoute, WhoDep
from api.webhook_samples import sample
from crowdmood.core.settings import STADIUM
from crowdmood.store.audit import Actor
from webhooks.addresses import RefusedAddressError, parse, resolve_now
from webhooks.deliveries import Delivery, Status
from webhooks.endpoints import Endpoint, Secret, new_secret
from webhooks.store import Registered

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=ManagerRoute)

UNKNOWN_WEBHOOK = Kind("unknown-webhook", 404, "There is no such webhook.")
UNKNOWN_DELIVERY = Kind("unknown-delivery", 404, "There is no such delivery.")
DISABLED = Kind("webhook-disabled", 409, "This webhook is disabled.")
TOO_MANY = Kind("too-many-webhooks", 409, "The limit of webhooks is reached.")

EndpointId = Annotated[str, Path(max_length=64, description="Id of the webhook.", examples=["ep_1a2b3c4d5e6f"])]


@router.post(
    "", status_code=201, summary="Register a webhook", responses=responses(INVALID, TOO_SLOW, STORE_AWAY, TOO_MANY)
)
def register(
    context: ContextDep, who: WhoDep, given: webhook_resources.EndpointSettings
) -> webhook_resources.EndpointWithSecret:
    """Start to send events to an address. Only this response contains the signing secret."""
    _check(context, given)
    id_, created_at_ms = f"ep_{secrets.token_hex(6)}", _now_ms(context)
    endpoint = given.endpoint(id_, created_at_ms, (Secret(new_secret()),))
    if not context.webhooks.add(endpoint, context.settings.webhooks.max_endpoints, who):
        raise ProblemError(TOO_MANY, "delete one, or raise CROWDMOOD_WEBHOOKS__MAX_ENDPOINTS")
    return webhook_resources.EndpointWithSecret.of(_found(context, id_))


@router.get("", summary="List the webhooks", responses=responses(STORE_AWAY))
def webhooks(context: ContextDep) -> list[webhook_resources.EndpointAnswer]:
    """Return every webhook and its state, oldest first."""
    return [webhook_resources.EndpointAnswer.of(found) for found in context.webhooks.all()]


@router.get("/{endpoint_id}", summary="Get a webhook", responses=responses(UNKNOWN_WEBHOOK, INVALID, STORE_AWAY))
def webhook(context: ContextDep, endpoint_id: EndpointId) -> webhook_resources.EndpointAnswer:
    """Return one webhook and its state. If it was disabled, `disabled_reason` says why."""
    return webhook_resources.EndpointAnswer.of(_found(context, endpoint_id))


@router.patch(
    "/{endpoint_id}",
    summary="Change a webhook",
    responses=responses(UNKNOWN_WEBHOOK, INVALID, TOO_SLOW, STORE_AWAY),
)
def change_webhook(
    context: ContextDep, who: WhoDep, endpoint_id: EndpointId, given: webhook_resources.EndpointPatch
) -> webhook_resources.EndpointAnswer:
    """Change the given fields only, also within `adapter`. `enabled: true` enables a disabled webhook again."""
    _merged(_found(context, endpoint_id).endpoint, given)
    _check(context, given)
    forgive = given.enabled and "enabled" in given.model_fields_set
    # Merge again with the stored endpoint when writing: another request may have changed it since.
    _change(context, who, endpoint_id, lambda now: _merged(now, given).applied(now), forgive=forgive)
    return webhook_resources.EndpointAnswer.of(_found(context, endpoint_id))


@router.delete(
    "/{endpoint_id}",
    status_code=204,
    summary="Delete a webhook",
    responses=responses(UNKNOWN_WEBHOOK, INVALID, STORE_AWAY),
)
def delete_webhook(context: ContextDep, who: WhoDep, endpoint_id: EndpointId) -> None:
    """Delete a webhook and its deliveries. Nothing more is sent to it."""
    if not context.webhooks.remove(endpoint_id, who):
        raise _unknown(endpoint_id)


@router.post(
    "/{endpoint_id}/rotate",
    summary="Replace a webhook's secret",
    responses=responses(UNKNOWN_WEBHOOK, INVALID, STORE_AWAY),
)
def rotate_secret(context: ContextDep, who: WhoDep, endpoint_id: EndpointId) -> webhook_resources.EndpointWithSecret:
    """Create a new secret and return it, only this once. Until `old_secret_until` the old secret signs as well."""
    now_ms, grace_s = _now_ms(context), context.settings.webhooks.rotation_grace_s
    _change(context, who, endpoint_id, lambda endpoint: endpoint.rotated(now_ms, grace_s))
    return webhook_resources.EndpointWithSecret.of(_found(context, endpoint_id))


@router.post(
    "/{endpoint_id}/test",
    status_code=202,
    summary="Send a test event",
    responses=responses(UNKNOWN_WEBHOOK, DISABLED, INVALID, TOO_SLOW, STORE_AWAY),
)
def test_webhook(
    context: ContextDep, endpoint_id: EndpointId, given: webhook_resources.TrialRequest | None = None
) -> webhook_resources.DeliveryAnswer:
    """Send a sample event, marked by `test: true`. Its delivery shows the result."""
    endpoint = _open(context, endpoint_id).endpoint
    type_ = (given.type if given else None) or endpoint.events[0]
    now_ms = _now_ms(context)
    event = sample(type_, secrets.token_hex(6), now_ms)
    (sequence,) = context.webhooks.next_sequences(1)
    delivery = Delivery.of(event, endpoint_id, sequence, now_ms)
    context.webhooks.send_again(endpoint_id, [delivery])
    return webhook_resources.DeliveryAnswer.of(delivery)


@router.get(
    "/{endpoint_id}/deliveries",
    summary="List a webhook's deliveries",
    responses=responses(UNKNOWN_WEBHOOK, INVALID, STORE_AWAY),
)
def deliveries(
    context: ContextDep,
    endpoint_id: EndpointId,
    status: Annotated[Status | None, Query(description="Only deliveries with this status.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="At most this many.")] = 50,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,15}$", description="`next` of the previous page.", examples=["41"])
    ] = None,
) -> webhook_resources.Deliveries:
    """Return the kept deliveries and their attempts, newest first. While `next` is not null, there are more."""
    _found(context, endpoint_id)
    before = None if cursor is None else int(cursor)
    found = context.webhooks.deliveries(endpoint_id, lambda one: status in (None, one.status), limit + 1, before)
    page, more = found[:limit], len(found) > limit
    return webhook_resources.Deliveries(
        deliveries=[webhook_resources.DeliveryAnswer.of(delivery) for delivery in page],
        next=str(page[-1].sequence) if more else None,
    )


@router.post(
    "/{endpoint_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    summary="Send a delivery again",
    responses=responses(UNKNOWN_WEBHOOK, UNKNOWN_DELIVERY, DISABLED, INVALID, STORE_AWAY),
)
def redeliver(
    context: ContextDep,
    endpoint_id: EndpointId,
    delivery_id: Annotated[str, Path(max_length=200, description="Id of the delivery.")],
) -> webhook_resources.DeliveryAnswer:
    """Send a delivery again with the same `webhook-id`, even if it has expired."""
    _open(context, endpoint_id)
    found = context.webhooks.delivery(endpoint_id, delivery_id)
    if found is None:
        raise ProblemError(UNKNOWN_DELIVERY, f"{endpoint_id} has no delivery {delivery_id!r}, or it is no longer kept")
    again = found.again(_now_ms(context))
    context.webhooks.send_again(endpoint_id, [again])
    return webhook_resources.DeliveryAnswer.of(again)


@router.post(
    "/{endpoint_id}/redeliver",
    status_code=202,
    summary="Send a range of deliveries again",
    responses=responses(UNKNOWN_WEBHOOK, DISABLED, INVALID, TOO_SLOW, STORE_AWAY),
)
def redeliver_range(
    context: ContextDep, endpoint_id: EndpointId, given: webhook_resources.RedeliverRequest
) -> webhook_resources.Redelivered:
    """Send the deliveries created in a range of time again, in their order; pending ones stay as they are."""
    _open(context, endpoint_id)
    from_ms, to_ms = given.bounds()

    def wanted(one: Delivery) -> bool:
        ended = one.status is not Status.PENDING and one.status in given.statuses
        return ended and from_ms <= one.created_at_ms < to_ms

    now_ms = _now_ms(context)
    found = context.webhooks.deliveries(endpoint_id, wanted, context.settings.webhooks.deliveries_kept)
    context.webhooks.send_again(endpoint_id, [delivery.again(now_ms) for delivery in found])
    return webhook_resources.Redelivered(deliveries=len(found))


def _merged(endpoint: Endpoint, given: webhook_resources.EndpointPatch) -> webhook_resources.EndpointSettings:
    """Return an endpoint's settings, with the given ones replaced."""
    kept, changed = webhook_resources.settings_of(endpoint), given.model_dump(mode="json", exclude_unset=True)
    fields = kept | changed | {"adapter": kept["adapter"] | changed.get("adapter", {})}
    try:
        return webhook_resources.EndpointSettings.model_validate(fields)
    except ValidationError as error:
        problems = [problem | {"loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from None


def _check(context: Context, given: webhook_resources.EndpointSettings | webhook_resources.EndpointPatch) -> None:
    """Refuse an unknown zone or a forbidden address now, because no delivery could succeed.

    Only the given fields are checked: an endpoint whose host or zone no longer exists can still be changed or disabled.
    """
    zones = {STADIUM, *context.settings.zones}
    unknown = sorted(set(given.zones) - zones)
    if unknown:
        raise ProblemError(INVALID, f"zones: there is no zone {unknown[0]!r}; use one of {', '.join(sorted(zones))}")
    if "url" not in given.model_fields_set:
        return
    allowed = [ipaddress.ip_network(network) for network in context.settings.webhooks.allow_networks]
    try:
        resolve_now(parse(given.url), allowed)
    except RefusedAddressError as error:
        raise ProblemError(INVALID, f"url: {error}") from None


def _found(context: Context, endpoint_id: str) -> Registered:
    found = context.webhooks.find(endpoint_id)
    if found is None:
        raise _unknown(endpoint_id)
    return found


def _open(context: Context, endpoint_id: str) -> Registered:
    found = _found(context, endpoint_id)
    if not found.open:
        reason = found.health.reason or "its owner disabled it"
        raise ProblemError(DISABLED, f"{reason}; PATCH it with enabled: true first")
    return found


def _change(
    context: Context, who: Actor, endpoint_id: str, change: Callable[[Endpoint], Endpoint], *, forgive: bool = False
) -> None:
    if not context.webhooks.change(endpoint_id, change, forgive=forgive, who=who):
        raise _unknown(endpoint_id)


def _unknown(endpoint_id: str) -> ProblemError:
    return ProblemError(UNKNOWN_WEBHOOK, f"there is no webhook {endpoint_id!r}: GET /webhooks lists the webhooks")


def _now_ms(context: Context) -> int:
    return round(context.clock() * 1000)
