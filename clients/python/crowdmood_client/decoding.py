"""Build dataclasses from parsed JSON by their type hints: every field without a default must be present.

Fields that no dataclass names are ignored, so a newer API may add some. No I/O.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

JSON_NAME = "json_name"
"""Key of a dataclass field's metadata: the field's name in JSON, where it is a keyword of Python."""

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)")


def decode(kind: type[T], value: object) -> T:
    """Return an instance of a dataclass, made from a JSON object.

    Args:
        kind: The dataclass. Hints may be str, int, float, bool, datetime, dataclasses, `X | None`, `dict[str, X]` and
            tuples.
        value: The parsed JSON.

    Raises:
        ValueError: A field is missing or has another type; the text names it.
    """
    hint: Any = kind
    read: Callable[[object, str], T] = _reader(hint)
    return read(value, kind.__name__)


@cache
def _reader(hint: Any) -> Callable[[object, str], Any]:
    """Return what reads a value of a type: a function of the value and of its place, for error texts."""
    if dataclasses.is_dataclass(hint):
        return _object_reader(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        read_inner = _reader(inner)
        return lambda value, place: None if value is None else read_inner(value, place)
    if origin is dict:
        return _mapping_reader(_reader(arguments[1]))
    if origin is tuple:
        return _tuple_reader(arguments)
    return _SCALARS[hint]


def _object_reader(kind: Any) -> Callable[[object, str], Any]:
    hints = get_type_hints(kind)
    fields = [
        (field.name, field.metadata.get(JSON_NAME, field.name), _reader(hints[field.name]))
        for field in dataclasses.fields(kind)
    ]

    optional = {field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}

    def read(value: object, place: str) -> Any:
        given = _expect(value, dict, place)
        missing = [json_name for name, json_name, _ in fields if json_name not in given and name not in optional]
        if missing:
            raise ValueError(f"{place} lacks {', '.join(missing)}")
        return kind(
            **{
                name: read(given[json_name], f"{place}.{json_name}")
                for name, json_name, read in fields
                if json_name in given
            }
        )

    return read


def _mapping_reader(read_item: Callable[[object, str], Any]) -> Callable[[object, str], Any]:
    def read(value: object, place: str) -> Mapping[str, Any]:
        given = _expect(value, dict, place)
        return {name: read_item(item, f"{place}.{name}") for name, item in given.items()}

    return read


def _tuple_reader(items: tuple[Any, ...]) -> Callable[[object, str], Any]:
    any_length = len(items) == 2 and items[1] is ...

    def read(value: object, place: str) -> tuple[Any, ...]:
        given = _expect(value, list, place)
        kinds = items[:1] * len(given) if any_length else items
        if len(given) != len(kinds):
            raise ValueError(f"{place} has {len(given)} items, not {len(kinds)}")
        return tuple(
            _reader(kind)(item, f"{place}[{i}]") for i, (kind, item) in enumerate(zip(kinds, given, strict=True))
        )

    return read


def _expect(value: object, kind: Any, place: str) -> Any:
    # A bool is an int in Python, not in JSON.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{place} is {value!r}")
    return value


def _read_float(value: object, place: str) -> float:
    return float(_expect(value, (int, float), place))


def _read_time(value: object, place: str) -> datetime:
    found = _TIME.fullmatch(_expect(value, str, place))
    try:
        # In a form that Python 3.10 reads as well.
        seconds, fraction, zone = found.groups() if found else ("", "", "")
        micros, offset = (fraction or "0").ljust(6, "0"), "+00:00" if zone == "Z" else zone
        return datetime.fromisoformat(f"{seconds}.{micros}{offset}").astimezone(timezone.utc)
    except ValueError:
        raise ValueError(f"{place} is {value!r}, not a time of RFC 3339") from None


_SCALARS: dict[Any, Callable[[object, str], Any]] = {
    bool: lambda value, place: _expect(value, bool, place),
    int: lambda value, place: _expect(value, int, place),
    float: _read_float,
    str: lambda value, place: _expect(value, str, place),
    datetime: _read_time,
}
