"""JSON Schema dictionaries: validated by jsonschema-rs, accepted by msgspec where that is exact.

A number is an int or a finite float: JSON has no NaN and no infinity, and jsonschema-rs takes
them for null. Nor has it bytes: they pass only where the schema asks nothing of them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import jsonschema_rs
import msgspec

from zeropool.workers.number_places import NumberPlaces
from zeropool.workers.reading import invalid, read_plain
from zeropool.workers.schema_kind import Inexact, SchemaKind, portable, record_type, union_type

#: Keywords that constrain nothing.
ANNOTATIONS = frozenset(
    {"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"}
    | {"readOnly", "writeOnly"}
)
#: Keywords that `_wire_type` understands beside the annotations, by type.
KEYWORDS: Mapping[str, frozenset[str]] = {
    "number": frozenset(),
    "integer": frozenset({"enum"}),
    "string": frozenset({"enum"}),
    "boolean": frozenset(),
    "null": frozenset(),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "object": frozenset({"properties", "required", "additionalProperties"}),
}
_FINITE = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]


def json_schema_kind(schema: dict[str, Any]) -> SchemaKind:
    """Compile a JSON Schema; raise ValueError or TypeError, which say what is wrong with it."""
    copy = portable(schema)
    validator = jsonschema_rs.validator_for(copy, retriever=_refuse_retrieval)
    return SchemaKind(
        json_schema=copy,
        validate=_accept_anything if copy.keys() <= ANNOTATIONS else _checker(copy, validator),
        read=read_plain,
        wire_type=_wire_type_or_none(copy),
        finish=msgspec.to_builtins,
        accepts=_acceptance(validator),
    )


def _refuse_retrieval(uri: str) -> Any:  # noqa: ANN401  # the library's signature
    raise ValueError(f"references to other documents are not followed: {uri}")


def _accept_anything(data: object) -> object:
    return data


def _checker(schema: dict[str, Any], validator: Any) -> Callable[[Any], object]:  # noqa: ANN401
    places = _Places(schema).of(schema)

    def check(data: Any) -> object:  # noqa: ANN401  # any decoded value
        try:
            validator.validate(data)
        except jsonschema_rs.ValidationError as error:
            raise invalid(_told(error, data)) from error
        except ValueError as error:
            raise invalid(f"not a JSON value: {error}") from error
        settled: object = places.settle(data)
        return settled

    return check


def _acceptance(validator: Any) -> Callable[[Any], bool]:  # noqa: ANN401  # the library's
    def accepts(data: Any) -> bool:  # noqa: ANN401  # any decoded value
        try:
            is_valid: bool = validator.is_valid(data)
        except ValueError:
            # No JSON value: `validate` says so.
            return True
        return is_valid

    return accepts


def _told(error: jsonschema_rs.ValidationError, data: Any) -> str:  # noqa: ANN401  # as decoded
    """What is wrong, and where. A number that the library takes for null is called by its name."""
    found = data
    for step in error.instance_path:
        found = found[step]
    message = error.message
    if isinstance(found, float) and not math.isfinite(found):
        message = message.replace("null", str(found), 1)
    return f"{message} at {_place(error.instance_path)}"


def _place(path: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _wire_type_or_none(schema: dict[str, Any]) -> Any:  # noqa: ANN401  # a type
    try:
        return _wire_type(schema)
    except (Inexact, TypeError, ValueError):
        return None


def _wire_type(schema: Any) -> Any:  # noqa: ANN401  # a part of a schema to a type
    if not isinstance(schema, dict):
        raise Inexact
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return _union_type(schema, kinds)
    if kinds is None:
        _only_keywords(schema, frozenset({"enum"}))
        return _enum_type(schema, (str, int, type(None)))
    if kinds not in KEYWORDS:
        raise Inexact
    _only_keywords(schema, KEYWORDS[kinds] | {"type"})
    return _TYPES[kinds](schema)


def _union_type(schema: dict[str, Any], kinds: list[str]) -> Any:  # noqa: ANN401  # a type
    _only_keywords(schema, frozenset({"type"}))
    if not set(kinds) <= {"number", "string", "boolean", "null"}:
        raise Inexact
    return union_type([_TYPES[kind](schema) for kind in kinds])


def _only_keywords(schema: dict[str, Any], keywords: frozenset[str]) -> None:
    if not schema.keys() - ANNOTATIONS <= keywords:
        raise Inexact


def _enum_type(schema: dict[str, Any], allowed: tuple[type, ...]) -> Any:  # noqa: ANN401
    values = schema.get("enum")
    if not values or any(type(value) not in allowed for value in values):
        raise Inexact
    return Literal[tuple(values)]


def _integer_type(schema: dict[str, Any]) -> Any:  # noqa: ANN401  # a type
    return _enum_type(schema, (int,)) if "enum" in schema else int


def _string_type(schema: dict[str, Any]) -> Any:  # noqa: ANN401  # a type
    return _enum_type(schema, (str,)) if "enum" in schema else str


def _array_type(schema: dict[str, Any]) -> Any:  # noqa: ANN401  # a type
    bounds = {"min_length": schema.get("minItems"), "max_length": schema.get("maxItems")}
    if any(type(bound) not in (int, type(None)) for bound in bounds.values()):
        raise Inexact
    return Annotated[list[_wire_type(schema.get("items"))], msgspec.Meta(**bounds)]  # type: ignore[misc]


def _object_type(schema: dict[str, Any]) -> Any:  # noqa: ANN401  # a type
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    if schema.get("additionalProperties") is not False or not required <= properties.keys():
        raise Inexact
    return record_type(
        {name: (_wire_type(part), name in required) for name, part in properties.items()}
    )


_TYPES: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "number": lambda _: _FINITE,
    "integer": _integer_type,
    "string": _string_type,
    "boolean": lambda _: bool,
    "null": lambda _: type(None),
    "array": _array_type,
    "object": _object_type,
}


class _Places:
    """Finds the number places of one schema document, following its local references."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._by_reference: dict[str, NumberPlaces] = {}
        self._filling: set[tuple[int, str]] = set()

    def of(self, schema: Any) -> NumberPlaces:  # noqa: ANN401  # a part of a schema
        """Return the places of a part; parts that are the same reference share one object."""
        reference = schema.get("$ref") if isinstance(schema, dict) and len(schema) == 1 else None
        if reference in self._by_reference:
            return self._by_reference[reference]
        places = NumberPlaces()
        if isinstance(reference, str):
            self._by_reference[reference] = places
        self._fill(places, schema)
        return places

    def _fill(self, places: NumberPlaces, schema: Any) -> None:  # noqa: ANN401
        if not isinstance(schema, dict):
            return
        self._fill_reference(places, schema.get("$ref"))
        kinds = schema.get("type", ())
        kinds = [kinds] if isinstance(kinds, str) else kinds
        places.floats |= "number" in kinds
        places.ints |= "integer" in kinds
        places.wholes |= "integer" in kinds
        for keyword in ("allOf", "anyOf", "oneOf"):
            for branch in schema.get(keyword, ()):
                self._fill(places, branch)
        for name, part in schema.get("properties", {}).items():
            places.properties[name] = self._joined(places.properties.get(name), part)
        if isinstance(schema.get("additionalProperties"), dict):
            places.rest = self._joined(places.rest, schema["additionalProperties"])
        self._fill_items(places, schema)

    def _fill_items(self, places: NumberPlaces, schema: dict[str, Any]) -> None:
        items = schema.get("items")
        prefix = schema.get("prefixItems", ())
        if isinstance(items, list):  # up to draft 2019-09
            prefix, items = items, schema.get("additionalItems")
        if prefix and not places.prefix:
            places.prefix = [self.of(part) for part in prefix]
        if isinstance(items, dict):
            places.items = self._joined(places.items, items)

    def _joined(self, existing: NumberPlaces | None, schema: Any) -> NumberPlaces:  # noqa: ANN401
        if existing is None:
            return self.of(schema)
        self._fill(existing, schema)
        return existing

    def _fill_reference(self, places: NumberPlaces, reference: Any) -> None:  # noqa: ANN401
        if not isinstance(reference, str) or (id(places), reference) in self._filling:
            return
        self._filling.add((id(places), reference))
        self._fill(places, self._resolved(reference))

    def _resolved(self, reference: str) -> Any:  # noqa: ANN401  # a part of the document
        """Return what a local JSON pointer names; None for any other reference."""
        if not reference.startswith("#"):
            return None
        part: Any = self._document
        for step in reference[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            part = part.get(key) if isinstance(part, dict) else None
        return part
