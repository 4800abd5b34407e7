"""The OpenAPI document says what the answers really are."""

import asyncio
import json
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from api import examples, models, problems
from api.app import create_app
from api.routes.schemas import SchemaName, schema
from crowdmood import __version__
from crowdmood.core.settings import Settings
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Dominant, Mood, MoodChange, Status
from crowdmood.store.moods import MoodReader
from tests import timelines

STRICT: dict[str, Any] = {"strict": True, "extra": "forbid"}


@pytest.fixture
def app() -> FastAPI:
    # Nothing is read before the application's lifespan starts: no server is needed.
    return create_app(Settings(state_url="redis://127.0.0.1:1"), MoodReader("redis://127.0.0.1:1", "test"))


def returned(kind: Any, value: dict[str, Any]) -> dict[str, Any]:
    """Return what the type reads from a JSON object, as JSON again; unknown fields are an error."""
    adapter = TypeAdapter(kind)
    return adapter.dump_python(adapter.validate_json(json.dumps(value), **STRICT), by_alias=True)  # type: ignore[no-any-return]


def published(name: SchemaName) -> dict[str, Any]:
    return json.loads(json.dumps(asyncio.run(schema(name))))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", SchemaName)
def test_each_schema_is_one_that_validators_take_and_describes_every_field(name: SchemaName) -> None:
    schema = published(name)
    Draft202012Validator.check_schema(schema)
    assert set(schema["required"]) == set(schema["properties"]) - {"test"}  # only tests of a webhook say that they are
    assert all("description" in field for field in schema["properties"].values())


@pytest.mark.parametrize("example", examples.MOOD)
def test_every_example_of_a_mood_keeps_to_the_schema(example: str) -> None:
    validator = Draft202012Validator(published(SchemaName.MOOD), format_checker=Draft202012Validator.FORMAT_CHECKER)
    value = examples.MOOD[example]["value"]
    validator.validate(value)
    validator.validate(value | {"weather": "rain"})  # a newer version may say more
    assert not validator.is_valid({name: part for name, part in value.items() if name != "status"})


def test_the_shares_model_and_dominant_have_the_labels_in_their_order() -> None:
    assert list(published(SchemaName.MOOD)["$defs"]["Shares"]["properties"]) == list(LABELS)
    assert get_args(Dominant) == (*LABELS, "mixed")


@pytest.mark.parametrize("example", examples.MOOD)
def test_each_example_of_a_mood_is_valid_and_unchanged_by_the_model(example: str) -> None:
    value = examples.MOOD[example]["value"]
    if value["as_of"] is not None:
        assert returned(Mood, value) == value


def test_the_examples_show_every_status() -> None:
    assert {example["value"]["status"] for example in examples.MOOD.values()} == set(get_args(Status))


@pytest.mark.parametrize("example", [examples.OK, examples.SEVEN_LABELS])
def test_the_known_shares_of_the_examples_add_up_to_one_and_explain_valence_and_energy(example: Mood) -> None:
    assert example.shares and example.raw and example.people and example.readable
    for shares in (example.shares, example.raw):
        assert sum(share for share in shares.values() if share is not None) == pytest.approx(1)
    happy, *negative = (example.shares[label] or 0.0 for label in ("happy", "angry", "disgust", "fear", "sad"))
    assert example.valence == pytest.approx(happy - sum(negative))
    surprise, cheering = example.shares["surprise"], example.shares["cheering"]
    assert example.energy == (None if cheering is None else pytest.approx(cheering + (surprise or 0.0)))
    assert example.readable <= example.people


@pytest.mark.parametrize(
    "stored", [Mood.from_json(timelines.SCHEMA_1_MOOD), MoodChange.from_json(timelines.SCHEMA_1_CHANGE)]
)
def test_what_was_stored_with_schema_1_is_answered_in_schema_2_with_nulls(stored: Mood | MoodChange) -> None:
    answer = stored.to_dict()
    assert returned(type(stored), answer) == answer
    assert (answer["schema"], answer["people"], answer["readable"]) == (2, 412, None)
    assert (answer["shares"]["happy"], answer["shares"]["cheering"]) == (0.58, None)


def test_a_share_is_a_number_from_0_to_1_or_null_and_never_missing() -> None:
    validator = Draft202012Validator(published(SchemaName.MOOD))
    known = examples.OK.to_dict()
    for cheering, valid in ((0.2, True), (None, True), (1.1, False), (-0.1, False), ("0.2", False)):
        assert validator.is_valid(known | {"shares": known["shares"] | {"cheering": cheering}}) is valid
    seven = {label: share for label, share in known["shares"].items() if label != "cheering"}
    assert not validator.is_valid(known | {"shares": seven})


def test_the_examples_of_moods_and_cameras_are_valid_and_unchanged_by_the_models() -> None:
    changes = examples.CHANGES["page"]["value"]
    assert returned(models.Changes, changes) == changes
    moods = examples.MOODS["range"]["value"]
    assert returned(models.Moods, moods) == moods
    cameras = examples.CAMERAS["cameras"]["value"]
    checked = TypeAdapter(list[models.Camera]).validate_python(cameras, **STRICT)
    assert [camera.model_dump() for camera in checked] == cameras


def test_the_document_holds_every_resource_with_a_tag_and_a_description(app: FastAPI) -> None:
    document = app.openapi()
    assert document["info"]["version"] == __version__
    assert set(document["paths"]) == {
        "/mood",
        "/mood/stream",
        "/moods",
        "/changes",
        "/display",
        "/cameras",
        "/cameras/{camera_id}/preview",
        "/cameras/{camera_id}/regions",
        "/predict",
        "/keys",
        "/keys/{key_id}",
        "/audit",
        "/override",
        "/overrides",
        "/webhooks",
        "/webhooks/{endpoint_id}",
        "/webhooks/{endpoint_id}/test",
        "/webhooks/{endpoint_id}/rotate",
        "/webhooks/{endpoint_id}/redeliver",
        "/webhooks/{endpoint_id}/deliveries",
        "/webhooks/{endpoint_id}/deliveries/{delivery_id}/redeliver",
        "/schemas/{name}",
        "/livez",
        "/readyz",
        "/metrics",
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["tags"]
            assert operation["description"]


def test_the_document_describes_a_mood_by_its_schema_and_the_examples(app: FastAPI) -> None:
    content = app.openapi()["paths"]["/mood"]["get"]["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/CurrentMood"}
    assert content["examples"] == examples.MOOD


def test_every_error_in_the_document_is_problem_details(app: FastAPI) -> None:
    document = app.openapi()
    assert "HTTPValidationError" not in json.dumps(document)
    assert {"type", "title", "status", "detail"} == set(document["components"]["schemas"]["Problem"]["properties"])
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if status[0] in "45" and operation["operationId"] != "readyz":
                    assert response["content"] == {
                        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                    }


def test_kinds_of_problems_have_distinct_names() -> None:
    kinds = [kind for kind in vars(problems).values() if isinstance(kind, problems.Kind)]
    assert len({kind.type for kind in kinds}) == len(kinds)
    described = problems.responses(problems.UNKNOWN_CAMERA, problems.UNKNOWN_ZONE)[404]["description"]
    assert described == (
        "`/problems/unknown-camera`: There is no such camera. `/problems/unknown-zone`: There is no such zone."
    )
