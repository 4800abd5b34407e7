"""The encoding of values as fields of a stream entry, without pickle and base64; every value read is checked.

Numbers are decimal digits, text is UTF-8, arrays are little-endian bytes of a stated dtype and shape.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from crowdmood.core.errors import UndecodableError

Fields: TypeAlias = dict[bytes, bytes]
SCHEMA_VERSION = 3

_LATEST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: later times have no date."""

_REASON = re.compile(r"[a-z0-9_]{1,64}")


def header(kind: bytes) -> Fields:
    """Return the fields that every message begins with."""
    return {b"v": b"%d" % SCHEMA_VERSION, b"kind": kind}


def check_header(fields: Mapping[bytes, bytes], kind: bytes) -> None:
    """Check that a message has this kind and the current version.

    Raises:
        UndecodableError: It has another kind or version.
    """
    if fields.get(b"kind") != kind:
        raise UndecodableError(f"expected a {kind.decode()!r} message, got {fields.get(b'kind', b'')[:40]!r}")
    version = read_integer(fields, b"v")
    if version != SCHEMA_VERSION:
        raise UndecodableError(f"message schema {version} is not {SCHEMA_VERSION}: update all stages together")


def read_bytes(fields: Mapping[bytes, bytes], name: bytes) -> bytes:
    """Return a field unchanged.

    Raises:
        UndecodableError: The field is missing.
    """
    try:
        return fields[name]
    except KeyError:
        raise UndecodableError(f"field {name.decode()!r} is missing") from None


def read_text(fields: Mapping[bytes, bytes], name: bytes) -> str:
    """Return a field of text.

    Raises:
        UndecodableError: The field is missing, or not UTF-8.
    """
    try:
        return read_bytes(fields, name).decode()
    except UnicodeDecodeError:
        raise UndecodableError(f"field {name.decode()!r} is not UTF-8") from None


def read_integer(fields: Mapping[bytes, bytes], name: bytes) -> int:
    """Return a field with an integer of up to 18 digits.

    Raises:
        UndecodableError: The field is missing, or not such a number.
    """
    raw = read_bytes(fields, name)
    digits = raw[1:] if raw[:1] == b"-" else raw
    if not digits.isdigit() or len(digits) > 18:
        raise UndecodableError(f"field {name.decode()!r} is not an integer of up to 18 digits")
    return int(raw)


def read_count(fields: Mapping[bytes, bytes], name: bytes, most: int) -> int:
    """Return a field with an integer from 0 to `most`.

    Raises:
        UndecodableError: The field is missing, or not such a number.
    """
    number = read_integer(fields, name)
    if not 0 <= number <= most:
        raise UndecodableError(f"field {name.decode()!r} is {number}, outside 0 to {most}")
    return number


def read_time_ms(fields: Mapping[bytes, bytes], name: bytes) -> int:
    """Return a field with milliseconds since 1970-01-01 UTC, up to the year 9999.

    Raises:
        UndecodableError: The field is missing, or not such a time.
    """
    return read_count(fields, name, _LATEST_MS)


def read_name(fields: Mapping[bytes, bytes], name: bytes) -> str:
    """Return a field with the name of a camera or a run: 1 to 64 characters.

    Raises:
        UndecodableError: The field is missing, not UTF-8, empty or too long.
    """
    text = read_text(fields, name)
    if not 1 <= len(text) <= 64:
        raise UndecodableError(f"field {name.decode()!r} has {len(text)} characters, expected 1 to 64")
    return text


def read_reason(fields: Mapping[bytes, bytes], name: bytes) -> str:
    """Return a field with a reason: a short word of a bounded set.

    Raises:
        UndecodableError: The field is missing, or not such a word.
    """
    text = read_text(fields, name)
    if not _REASON.fullmatch(text):
        raise UndecodableError(f"field {name.decode()!r} is {text[:40]!r}, expected a short word")
    return text


def pack(array: npt.NDArray[Any], dtype: str) -> bytes:
    """Encode an array as little-endian bytes of this dtype, in C order."""
    return np.ascontiguousarray(array, dtype).tobytes()


def read_array(fields: Mapping[bytes, bytes], name: bytes, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return a field as a read-only array of this dtype and shape.

    Raises:
        UndecodableError: The field is missing, or has another number of bytes.
    """
    raw = read_bytes(fields, name)
    size = np.dtype(dtype).itemsize
    for side in shape:
        size *= side
    if min(shape) < 0 or len(raw) != size:
        raise UndecodableError(
            f"field {name.decode()!r} has {len(raw)} bytes where shape {shape} of {dtype} needs {size}"
        )
    return np.frombuffer(raw, dtype).reshape(shape)


def check_range(name: str, values: npt.NDArray[Any], low: float, high: float) -> None:
    """Check that every value is finite and from `low` to `high`.

    Raises:
        UndecodableError: A value is not.
    """
    if not ((values >= low) & (values <= high)).all():
        raise UndecodableError(f"field {name!r} has values that are not from {low:g} to {high:g}", "out_of_range")
