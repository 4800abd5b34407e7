"""API keys over HTTP, for whoever may manage. Plain functions: FastAPI runs them in threads, and the store may wait."""

from typing import Annotated

from fastapi import APIRouter, Path

from api import models
from api.dependencies import ContextDep
from api.problems import INVALID, STORE_AWAY, Kind, ProblemError, responses
from crowdmood.store.api_keys import ApiKey

router = APIRouter(prefix="/keys", tags=["keys"])

UNKNOWN_KEY = Kind("unknown-key", 404, "There is no such key.")

_DAY_MS = 86_400_000


@router.get("", summary="Every key", responses=responses(STORE_AWAY))
def keys(context: ContextDep) -> list[models.Key]:
    """Every key there is or was, oldest first, without what opens."""
    now_ms = context.clock() * 1000
    return [models.Key.of(key, now_ms) for key in context.keys.table().values()]


@router.post("", status_code=201, summary="Make a key", responses=responses(INVALID, STORE_AWAY))
def make_key(context: ContextDep, given: models.KeyRequest) -> models.NewKey:
    """Make a key and show it, this once: only a salted hash of it is kept. It opens within a second or two.

    The first key shuts an API that was open to this machine: from then on everybody needs one.
    """
    now_ms = round(context.clock() * 1000)
    expires_at_ms = None if given.days is None else now_ms + round(given.days * _DAY_MS)
    text, key = ApiKey.make(given.name, given.scopes, now_ms, expires_at_ms)
    context.keys.add(key)
    return models.NewKey(**models.Key.of(key, now_ms).model_dump(), key=text)


@router.delete(
    "/{key_id}",
    status_code=204,
    summary="Revoke a key",
    responses=responses(UNKNOWN_KEY, INVALID, STORE_AWAY),
)
def revoke_key(
    context: ContextDep, key_id: Annotated[str, Path(max_length=64, description="Its id.", examples=["1a2b3c4d5e6f"])]
) -> None:
    """Make a key open nothing any more, within a second or two. It stays in the list."""
    if context.keys.revoke(key_id, round(context.clock() * 1000)) is None:
        raise ProblemError(UNKNOWN_KEY, f"there is no key {key_id!r}: GET /keys lists those there are")
