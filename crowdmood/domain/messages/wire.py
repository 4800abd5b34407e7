"""The encoding of values as fields of a stream entry, without pickle and base64; every value read is checked.

Numbers are decimal digits, text is UTF-8, arrays are little-endian bytes of a stated dtype and shape.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crowdmood.core.errors import UndecodableError

Fields: TypeAlias = dict[bytes, bytes]
SCHEMA_VERSION = 3


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
