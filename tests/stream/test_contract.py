import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from stream.contract import SEGMENT_NAMES, Event, Product, Properties

OURS = {
    "event_id": "e1",
    "customer_id": "c1",
    "type": "product_viewed",
    "timestamp": "2024-05-01T12:00:00Z",
}
SEGMENTS = {
    "messageId": "e1",
    "userId": 17,
    "type": "track",
    "event": "Product Viewed",
    "timestamp": 1_714_564_800,
    "sentAt": "2024-05-01T12:00:01Z",
    "context": {"library": {"name": "analytics.js"}},
    "properties": {"price": 9.5, "products": [{"product_id": "p1", "sku": "x"}]},
    "traits": {"plan": ["gold"]},
}
SCHEMA = Draft202012Validator(Event.model_json_schema())


def test_the_published_schema_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(Event.model_json_schema())


@pytest.mark.parametrize("event", [OURS, SEGMENTS])
def test_the_published_schema_takes_our_names_and_segments(event: dict[str, Any]) -> None:
    SCHEMA.validate(event)
    Event.model_validate_json(json.dumps(event))


@pytest.mark.parametrize("event", [OURS, SEGMENTS])
@pytest.mark.parametrize("ours", ["event_id", "customer_id", "timestamp"])
def test_the_published_schema_misses_what_is_required(event: dict[str, Any], ours: str) -> None:
    gone = {ours, SEGMENT_NAMES.get(ours)}
    assert not SCHEMA.is_valid({name: v for name, v in event.items() if name not in gone})


@pytest.mark.parametrize(
    "change",
    [
        {"customer_id": "a{b"},
        {"customer_id": "a\x07"},
        {"customer_id": True},
        {"event_id": ""},
        {"event_id": "e" * 257},
        {"timestamp": None},
        {"properties": {"value": []}},
        {"properties": {"products": [3]}},
    ],
)
def test_the_published_schema_refuses_what_the_parser_refuses(change: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid(OURS | change)
    with pytest.raises(ValueError, match="validation error"):
        Event.model_validate_json(json.dumps(OURS | change))


def test_every_field_of_an_event_and_every_number_says_what_it_is() -> None:
    assert all(field.description for field in Event.model_fields.values())
    for model in (Properties, Product):
        fields = TypeAdapter(model).json_schema()["properties"]
        numbers = {n: f for n, f in fields.items() if {"type": "number"} in f["anyOf"]}
        assert len(numbers) == sum("float" in str(of) for of in model.__annotations__.values()) > 0
        assert [name for name, field in numbers.items() if not field.get("description")] == []


def test_of_many_broken_products_only_the_first_is_reported() -> None:
    broken = OURS | {"properties": {"products": [{"price": "x"}] * 100}}
    with pytest.raises(ValidationError) as caught:
        Event.model_validate_json(json.dumps(broken))
    assert caught.value.error_count() == 1
