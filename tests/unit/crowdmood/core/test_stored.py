"""Stored objects carry a version, have unknown fields ignored, and are refused when damaged."""

from dataclasses import dataclass
from typing import Literal

import pytest

from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError


@dataclass(frozen=True, slots=True)
class Inner:
    size: int


@dataclass(frozen=True, slots=True)
class Thing:
    name: str
    kind: Literal["one", "two"]
    parts: tuple[Inner, ...]
    share: float = 0.5


TEXT = '{"version": 1, "name": "a", "kind": "one", "parts": [{"size": 3}], "share": 0.25}'


def test_an_object_carries_the_version_and_is_read_as_it_was() -> None:
    text = stored.to_json({"name": "a", "kind": "one", "parts": [{"size": 3}], "share": 0.25})
    assert text == TEXT
    assert stored.from_json(Thing, text) == Thing("a", "one", (Inner(3),), 0.25)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "a", "kind": "one", "parts": []}',  # written before objects had a version
        '{"version": 1, "name": "a", "kind": "one", "parts": [], "later": {"x": [1]}}',
        '{"version": 2, "name": "a", "kind": "one", "parts": []}',
    ],
)
def test_objects_of_the_releases_around_this_one_are_read(text: str) -> None:
    assert stored.from_json(Thing, text) == Thing("a", "one", ())


def test_unknown_fields_of_an_inner_object_are_ignored() -> None:
    assert stored.from_json(Thing, TEXT.replace('"size": 3', '"size": 3, "colour": "red"')).parts == (Inner(3),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (TEXT[:-1], "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "a JSON list, expected an object"),
        ("7", "a JSON int, expected an object"),
        (TEXT.replace("0.25", "NaN"), "NaN is not a number"),
        (TEXT.replace("0.25", "-Infinity"), "-Infinity is not a number"),
        (TEXT.replace("0.25", "1e999"), "1e999 is too large"),
        (TEXT.replace('"version": 1', '"version": 3'), "version 3 is more than one ahead of 1: install the newer"),
        (TEXT.replace('"version": 1', '"version": "1"'), "version '1' is more than"),
        (TEXT.replace('"one"', '"three"'), "kind: Input should be 'one' or 'two'"),
        (TEXT.replace('"size": 3', ""), r"parts\.0\.size: Field required"),
        ("{}", "name: Field required"),
    ],
)
def test_a_damaged_object_is_refused_with_its_reason(text: str | bytes, why: str) -> None:
    with pytest.raises(UndecodableError, match=why):
        stored.from_json(Thing, text)
