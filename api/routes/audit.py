"""The audit log, for keys with `audit`. A plain function, which FastAPI runs in a thread: store calls block."""

from typing import Annotated

from fastapi import APIRouter, Query

from api import models
from api.dependencies import ContextDep, CursorQuery, TimeQuery
from api.problems import INVALID, STORE_AWAY, responses
from crowdmood.store.audit import Action, Entry

router = APIRouter(tags=["audit"])


@router.get("/audit", summary="List the entries of the audit log", responses=responses(INVALID, STORE_AWAY))
def audit(
    context: ContextDep,
    from_: Annotated[TimeQuery | None, Query(alias="from", description="Earliest `at`, inclusive.")] = None,
    to: Annotated[TimeQuery | None, Query(description="Latest `at`, exclusive.")] = None,
    action: Annotated[Action | None, Query(description="Only this action.")] = None,
    key: Annotated[str | None, Query(max_length=64, description="Only actions of the API key with this id.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most this many.")] = 100,
    cursor: CursorQuery = None,
) -> models.Audit:
    """Return who did what and when, with `from` <= `at` < `to`, newest first. No mood and no secret is in it.

    Times are wall-clock time. While `next` is not null, even on an empty page, there are more: send it as `cursor`.
    """

    def wanted(entry: Entry) -> bool:
        return action in (None, entry.action) and key in (None, entry.who.key)

    found, following = context.audit.page(from_, to, limit, cursor, wanted)
    return models.Audit.model_validate(
        {"entries": [entry.to_dict() for entry in found], "next": following and following.decode()}
    )
