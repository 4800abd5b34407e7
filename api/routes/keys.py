"""API keys over HTTP, for keys with `manage`. Plain functions, which FastAPI runs in threads: store calls block."""

from typing import Annotated

from fastapi import APIRouter, Path

from api import models
from api.dependencies import ContextDep
from api.problems import INVALID, STORE_AWAY, Kind, ProblemError, responses
from api.security import TOO_SLOW, ManagerRoute, WhoDep
from crowdmood.store.api_keys import ApiKey

router = APIRouter(prefix="/keys", tags=["keys"], route_class=ManagerRoute)

UNKNOWN_KEY = Kind("unknown-key", 404, "There is no such key.")

_DAY_MS = 86_400_000


@router.get("", summary="List the keys", responses=responses(STORE_AWAY))
def keys(context: ContextDep) -> list[models.Key]:
    """Return every key, oldest first, without its secret; includes expired and revoked keys."""
    now_ms = context.clock() * 1000
    return [models.Key.of(key, now_ms) for key in context.keys.table().values()]


@router.post("", status_code=201, summary="Create a key", responses=responses(INVALID, TOO_SLOW, STORE_AWAY))
def make_key(context: ContextDep, who: WhoDep, given: models.KeyRequest) -> models.NewKey:
    """Create a key and return it, only this once: the store keeps a salted hash. It works within 2 s.

    An API that only this machine can reach is open until the first key exists; from then on every request needs one.
    """
    now_ms = round(context.clock() * 1000)
    expires_at_ms = None if given.days is None else now_ms + round(given.days * _DAY_MS)
    text, key = ApiKey.make(given.name, given.scopes, now_ms, expires_at_ms)
    context.keys.add(key, who)
    return models.NewKey(**models.Key.of(key, now_ms).model_dump(), key=text)


@router.delete(
    "/{key_id}",
    status_code=204,
    summary="Revoke a key",
    responses=responses(UNKNOWN_KEY, INVALID, STORE_AWAY),
)
def revoke_key(
    context: ContextDep,
    who: WhoDep,
    key_id: Annotated[str, Path(max_length=64, description="Id of the key.", examples=["1a2b3c4d5e6f"])],
) -> None:
    """Revoke a key. It stops working within 2 s and stays in the list."""
    if context.keys.revoke(key_id, round(context.clock() * 1000), who) is None:
        raise ProblemError(UNKNOWN_KEY, f"there is no key {key_id!r}: GET /keys lists the keys")
