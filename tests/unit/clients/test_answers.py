"""The client's description of answers is the API's: both accept the same JSON, field by field."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from api import examples
from api.app import create_app
from crowdmood.core.settings import Settings
from crowdmood.store.moods import MoodReader
from crowdmood_client import Camera, Mood, MoodChange, Override, PhotoFace, Prediction
from crowdmood_client.decoding import JSON_NAME, decode

READ = (Mood, MoodChange, Camera, PhotoFace, Prediction)
NULL_BEFORE_THE_FIRST = {"as_of", "window_start", "valid_until", "method"}
"""Fields of a mood that are null before the first one, which the client returns as None."""
OTHERS = (None, True, 3, 2.5, "text", [], [1, 2], {}, {"a": 1}, {"a": None}, {"a": "b"})
"""One value of each type, tried in the place of every value."""


def api() -> FastAPI:
    return create_app(Settings(state_url="redis://127.0.0.1:1"), MoodReader("redis://127.0.0.1:1", "test"))


SCHEMAS: dict[str, Any] = api().openapi()["components"]["schemas"]


def typed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema as far as types go: names that may grow are strings, shares by label are objects."""
    if "$ref" in schema:
        return typed(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        kinds = [typed(kind) for kind in schema["anyOf"]]
        return {"anyOf": [kind for i, kind in enumerate(kinds) if kind not in kinds[:i]]}
    kind = schema["type"]
    if kind == "array":
        items = [typed(item) for item in schema.get("prefixItems", ())]
        return {"type": kind} | (
            {"prefixItems": items, "minItems": len(items), "maxItems": len(items)}
            if items
            else {"items": typed(schema["items"])}
        )
    if kind == "object" and "properties" in schema:
        inner = {name: typed(field) for name, field in schema["properties"].items()}
        if set(inner) >= {"angry", "cheering"}:
            (same,) = {str(field): field for field in inner.values()}.values()
            return {"type": kind, "additionalProperties": same}
        return {"type": kind, "properties": inner, "required": list(inner)}
    if kind == "object":
        return {"type": kind, "additionalProperties": typed(schema["additionalProperties"])}
    return {name: schema[name] for name in ("type", "format") if name in schema}


def typed_object(kind: type[Any]) -> dict[str, Any]:
    """Return the schema of an answer."""
    return typed(SCHEMAS[kind.__name__])


TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(
    lambda time: time.isoformat(timespec="milliseconds") + "Z"
)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return what makes values of a schema."""
    if "anyOf" in schema:
        return st.one_of(*map(values, schema["anyOf"]))
    match schema["type"]:
        case "null":
            return st.none()
        case "string":
            return TIMES if schema.get("format") == "date-time" else st.text(max_size=8)
        case "integer":
            return st.integers(-(2**53), 2**53)
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9)
        case "boolean":
            return st.booleans()
        case "array" if "prefixItems" in schema:
            return st.tuples(*map(values, schema["prefixItems"])).map(list)
        case "array":
            return st.lists(values(schema["items"]), max_size=3)
        case _ if "properties" in schema:
            return st.fixed_dictionaries({name: values(field) for name, field in schema["properties"].items()})
        case _:
            return st.dictionaries(st.text(max_size=8), values(schema["additionalProperties"]), max_size=3)


def accepts(kind: type[Any], value: Any) -> bool:
    try:
        decode(kind, value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("kind", READ)
def test_a_type_has_the_fields_of_the_apis_schema_and_no_other(kind: type[Any]) -> None:
    assert {field.metadata.get(JSON_NAME, field.name) for field in fields(kind)} == set(
        SCHEMAS[kind.__name__]["properties"]
    )


def test_every_schema_of_what_the_client_asks_for_has_its_type() -> None:
    document = api().openapi()
    answers = str(
        [
            document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
            for path, method in (("/mood", "get"), ("/moods", "get"), ("/changes", "get"), ("/cameras", "get"))
        ]
        + [document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]]
    )
    assert all(name in answers for name in ("Mood'", "Moods'", "Changes'", "Camera'", "Prediction'"))
    # A page holds what it is called, and the cursor of the next one.
    for page, item in (("Moods", Mood), ("Changes", MoodChange)):
        listed = SCHEMAS[page]["properties"]
        assert set(listed) == {page.lower(), "next"}
        assert listed[page.lower()]["items"]["$ref"].endswith(f"/{item.__name__}")


@pytest.mark.parametrize("kind", READ)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_client_accepts_what_the_schema_accepts_and_refuses_the_rest(kind: type[Any], data: st.DataObject) -> None:
    schema = typed_object(kind)
    validator = Draft202012Validator(schema)
    value = data.draw(values(schema))
    validator.validate(value)
    read = decode(kind, value)
    for field in fields(kind):
        given_ = value[field.metadata.get(JSON_NAME, field.name)]
        assert plain(getattr(read, field.name)) == given_
    assert decode(kind, value | {"weather": "rain"}) == read  # a newer API may add fields
    for name in value:
        without = {other: part for other, part in value.items() if other != name}
        assert accepts(kind, without) is (name == "override")  # an earlier API has none
        for other in OTHERS:
            changed = value | {name: other}
            is_time = schema["properties"][name].get("format") == "date-time" or "date-time" in str(
                schema["properties"][name]
            )
            if is_time and isinstance(other, str):
                assert not accepts(kind, changed)
            else:
                assert accepts(kind, changed) == validator.is_valid(changed), changed


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, datetime):
        assert value.utcoffset() == timedelta(0)
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, (PhotoFace, Override)):
        return {field.metadata.get(JSON_NAME, field.name): plain(getattr(value, field.name)) for field in fields(value)}
    return value


@pytest.mark.parametrize("other", [None, [], "text", 3])
@pytest.mark.parametrize("kind", READ)
def test_what_is_no_object_is_refused(kind: type[Any], other: Any) -> None:
    assert not accepts(kind, other)


@pytest.mark.parametrize("shown", [shown for paths in examples.BY_PATH.values() for shown in paths.values()])
def test_every_example_of_the_document_is_read(shown: dict[str, Any]) -> None:
    answer = shown["value"]
    if isinstance(answer, list):
        assert [decode(Camera, camera).id for camera in answer] == [camera["id"] for camera in answer]
    elif "moods" in answer:
        assert all(decode(Mood, mood).dominant == mood["dominant"] for mood in answer["moods"])
    elif "changes" in answer:
        assert all(decode(MoodChange, change).to_label == change["to"] for change in answer["changes"])
    elif answer.get("as_of") is not None:
        assert decode(Mood, answer).status == answer["status"]
    else:
        assert {name for name in answer if answer[name] is None} >= NULL_BEFORE_THE_FIRST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01T15:00:00.210Z", datetime(2026, 5, 1, 15, 0, 0, 210_000, UTC)),
        ("2026-05-01T15:00:00Z", datetime(2026, 5, 1, 15, tzinfo=UTC)),
        ("2026-05-01T17:00:00.5+02:00", datetime(2026, 5, 1, 15, 0, 0, 500_000, UTC)),
    ],
)
def test_times_are_read_as_utc(text: str, expected: datetime) -> None:
    assert decode(Mood, examples.OK.to_dict() | {"as_of": text}).as_of == expected


@pytest.mark.parametrize("text", ["", "2026-05-01", "2026-05-01T15:00:00", "2026-13-01T15:00:00Z", "now"])
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"Mood\.as_of is"):
        decode(Mood, examples.OK.to_dict() | {"as_of": text})


def test_a_stale_mood_keeps_everything_but_the_figures() -> None:
    mood = decode(Mood, examples.OK.to_dict())
    assert mood.as_stale() == decode(Mood, examples.OK.as_stale().to_dict())
    assert (mood.leading("neutral"), mood.as_stale().leading("neutral")) == ("happy", "neutral")
