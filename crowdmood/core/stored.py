"""Objects in the state store: JSON objects with a version, which releases before and after this one can read.

The version is raised when an object changes so that the release before could not use it. A writer keeps what that
release needs, so that one release back always works. A reader ignores unknown fields, and refuses what is damaged or
more than one version newer; objects without a version are older than this rule.
"""

import json
import logging
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from crowdmood.core import metrics
from crowdmood.core.errors import UndecodableError

log = logging.getLogger(__name__)
T = TypeVar("T")

VERSION: Final = 1


def to_json(fields: Mapping[str, Any]) -> str:
    """Return an object as it is stored, with the version."""
    return json.dumps({"version": VERSION, **fields})


def parse(text: str | bytes) -> dict[str, Any]:
    """Return the fields of a stored object, without its version.

    Raises:
        UndecodableError: The text is not a JSON object, has values that are not finite, or is too new.
    """
    try:
        given = json.loads(text, parse_constant=_not_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UndecodableError(f"not JSON: {error}") from None
    if not isinstance(given, dict):
        raise UndecodableError(f"a JSON {type(given).__name__}, expected an object")
    version = given.pop("version", VERSION)
    if not isinstance(version, int) or version > VERSION + 1:
        raise UndecodableError(f"version {version!r} is more than one ahead of {VERSION}: install the newer release")
    return given


def build(kind: type[T], fields: Mapping[str, Any]) -> T:
    """Return a dataclass or model with these fields; unknown ones are ignored.

    Raises:
        UndecodableError: A field is missing or has the wrong type.
    """
    try:
        built: T = _adapter(cast("Any", kind)).validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UndecodableError(f"{where}: {first['msg']}") from None
    return built


def from_json(kind: type[T], text: str | bytes) -> T:
    """Return the dataclass or model that a text of `to_json` holds.

    Raises:
        UndecodableError: The text is damaged or too new.
    """
    return build(kind, parse(text))


def skipped(what: str, name: str | bytes, error: UndecodableError) -> None:
    """Count and log a stored object that a reader goes on without.

    Args:
        what: The kind of object, from a bounded set.
        name: Which object.
        error: Why it cannot be read.
    """
    metrics.STORED_SKIPPED.labels(what).inc()
    shown = name.decode(errors="replace") if isinstance(name, bytes) else name
    log.warning("skipped the stored %s %s: %s", what.replace("_", " "), shown[:80], error)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _not_finite(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large")
    return number
