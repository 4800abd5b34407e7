"""Overrides, for keys with `operate`. Plain functions, which FastAPI runs in threads: store calls block."""

from typing import Annotated

from fastapi import APIRouter, Query

from api import models
from api.dependencies import ContextDep, ZoneQuery
from api.problems import INVALID, STORE_AWAY, UNKNOWN_ZONE, Kind, ProblemError, responses
from api.security import TOO_SLOW, OperatorRoute, WhoDep
from crowdmood.core.settings import STADIUM
from crowdmood.domain.override import Override

router = APIRouter(tags=["overrides"], route_class=OperatorRoute)

NO_OVERRIDE = Kind("no-override", 404, "There is no such override.")
TOO_MANY = Kind("too-many-overrides", 409, "The limit of overrides is reached.")


@router.get("/overrides", summary="List the overrides", responses=responses(STORE_AWAY))
def overrides(context: ContextDep) -> list[models.Override]:
    """Return the overrides that are in force or scheduled, the earliest start first."""
    now_ms = context.clock() * 1000
    return [models.Override.of(one, now_ms) for one in context.overrides.all() if one.until_ms > now_ms]


@router.put(
    "/override", summary="Set an override", responses=responses(UNKNOWN_ZONE, TOO_MANY, INVALID, TOO_SLOW, STORE_AWAY)
)
def set_override(context: ContextDep, who: WhoDep, given: models.OverrideRequest) -> models.Override:
    """Make the boards of a zone show their default, or a creative, whatever the crowd shows, until a time.

    Every API process and the dispatcher of webhooks follow within 2 s: moods then have the status `overridden` and no
    figures, and webhooks receive `mood.unavailable`. It ends by itself. Without `from`, it starts now and replaces
    the zone's override that was set in this way; with `from`, it replaces one with the same zone and start. If several
    apply, one of the stadium comes before one of a zone, and then the one that was set last.
    """
    zones = {STADIUM, *context.settings.zones}
    if given.zone not in zones:
        raise ProblemError(UNKNOWN_ZONE, f"there is no zone {given.zone!r}: use one of {', '.join(sorted(zones))}")
    now_ms = round(context.clock() * 1000)
    try:
        override = Override.make(
            zone=given.zone,
            show=given.show,
            from_ms=given.from_,
            until_ms=given.until,
            why=given.why,
            now_ms=now_ms,
            set_by=who.name,
            longest_s=context.settings.api.override_max_s,
        )
    except ValueError as error:
        raise ProblemError(INVALID, str(error)) from None
    if not context.overrides.set(override, who):
        raise ProblemError(TOO_MANY, "clear one first: GET /overrides lists them")
    return models.Override.of(override, now_ms)


@router.delete(
    "/override", status_code=204, summary="Clear an override", responses=responses(NO_OVERRIDE, INVALID, STORE_AWAY)
)
def clear_override(
    context: ContextDep,
    who: WhoDep,
    zone: ZoneQuery = STADIUM,
    id_: Annotated[
        str | None,
        Query(alias="id", max_length=128, description="Only the override with this id; `zone` is not used then."),
    ] = None,
) -> None:
    """Clear every override of the zone that is in force, or the one with an id, which may be scheduled."""
    if not context.overrides.clear(zone, context.clock() * 1000, id_, who):
        named = f"with the id {id_!r}" if id_ is not None else f"of zone {zone!r} in force"
        raise ProblemError(NO_OVERRIDE, f"there is no override {named}: GET /overrides lists them")
