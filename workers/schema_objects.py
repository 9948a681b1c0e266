"""Schemas of the `schema` library, which models written for the original service carry.

The library is never imported here: a model that uses it has imported it. Types, literals, lists
and dicts with named keys become a msgspec type; everything else (`And`, `Use`, `Regex`,
callables, defaults, extra keys) is left to the library, whose result the model receives.

Source: schema 0.7.8, `Schema.validate` and `_priority`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from zeropool.workers.number_places import NumberPlaces
from zeropool.workers.reading import invalid, read_plain
from zeropool.workers.schema_kind import Inexact, SchemaKind, published, record_type, union_type

_EXACT_TYPES = (float, int, str, bool)


def is_schema_object(candidate: object) -> bool:
    """Tell whether this is a `schema.Schema`, or an instance of a subclass."""
    library = sys.modules.get("schema")
    kind = getattr(library, "Schema", None)
    return isinstance(kind, type) and isinstance(candidate, kind)


def schema_object_kind(schema: Any) -> SchemaKind:  # noqa: ANN401  # a schema.Schema
    """Compile a `schema.Schema`."""
    return SchemaKind(
        json_schema=published(lambda: _json_schema(schema)),
        validate=_checker(schema),
        read=read_plain,
        wire_type=_wire_type_or_none(schema),
        finish=msgspec.to_builtins,
    )


def _json_schema(schema: Any) -> dict[str, Any]:  # noqa: ANN401  # a schema.Schema
    """Return the library's JSON Schema; what it writes (draft 7) means the same in ours.

    It asks for an id; nothing can be fetched under one, so none is published.
    """
    written: dict[str, Any] = schema.json_schema("")
    return {key: part for key, part in written.items() if key not in ("$id", "$schema")}


def _checker(schema: Any) -> Callable[[Any], object]:  # noqa: ANN401  # a schema.Schema
    library: Any = sys.modules["schema"]
    places = NumberPlaces()
    _fill(places, schema, library)

    def check(data: Any) -> object:  # noqa: ANN401  # any decoded value
        try:
            checked: object = schema.validate(places.settle(data))
        except library.SchemaError as error:
            raise invalid(" ".join(str(error.code).splitlines())) from error
        return checked

    return check


def _fill(places: NumberPlaces, node: Any, library: Any) -> None:  # noqa: ANN401
    """Add to the places what this part of a schema says of numbers."""
    if node is float:
        places.floats = True
    elif node is int or node is object:
        places.ints = True
    elif isinstance(node, library.Schema):
        _fill(places, node.schema, library)
    elif isinstance(node, library.Or):
        for branch in node.args:
            _fill(places, branch, library)
    elif isinstance(node, library.And):
        _fill_conjunction(places, node.args, library)
    elif isinstance(node, dict):
        _fill_mapping(places, node, library)
    elif isinstance(node, list):
        places.items = places.items or NumberPlaces()
        for item in node:
            _fill(places.items, item, library)


def _fill_conjunction(places: NumberPlaces, parts: Sequence[Any], library: Any) -> None:  # noqa: ANN401
    """Parts see the data in turn; what stands behind a conversion says nothing of the input."""
    for part in parts:
        if isinstance(part, library.Use):
            return
        _fill(places, part, library)


def _fill_mapping(places: NumberPlaces, node: dict[Any, Any], library: Any) -> None:  # noqa: ANN401
    for key, part in node.items():
        name = _key_name(key, library)
        if name is None:
            places.rest = places.rest or NumberPlaces()
            _fill(places.rest, part, library)
        else:
            _fill(places.properties.setdefault(name, NumberPlaces()), part, library)


def _key_name(key: Any, library: Any) -> str | None:  # noqa: ANN401  # a key of a schema's dict
    """Return the key that this is in the data; None if it stands for more than one."""
    if isinstance(key, (library.Optional, library.Literal)):
        return _key_name(key.schema, library)
    return key if isinstance(key, str) else None


def _wire_type_or_none(schema: Any) -> Any:  # noqa: ANN401  # a type
    try:
        return _wire_type(schema, sys.modules["schema"])
    except (Inexact, TypeError, ValueError, AttributeError):
        return None


def _wire_type(node: Any, library: Any) -> Any:  # noqa: ANN401  # a part of a schema to a type
    if node is None or any(node is kind for kind in _EXACT_TYPES):
        return node
    if type(node) is str or type(node) is int:
        return Literal[node]
    if _is_plain_schema(node, library):
        return _wire_type(node.schema, library)
    if _is_plain_or(node, library):
        return _union_type(node.args, library)
    if type(node) is list and node:
        return list[_union_type(node, library)]  # type: ignore[misc]
    if type(node) is dict:
        return _mapping_type(node, library)
    raise Inexact


def _is_plain_schema(node: Any, library: Any) -> bool:  # noqa: ANN401  # a part of a schema
    return type(node) is library.Schema and not node.ignore_extra_keys


def _is_plain_or(node: Any, library: Any) -> bool:  # noqa: ANN401  # a part of a schema
    return type(node) is library.Or and not node.only_one and not node._ignore_extra_keys  # noqa: SLF001


def _flat(branches: Sequence[Any], library: Any) -> list[Any]:  # noqa: ANN401  # parts of a schema
    """All branches, those of branches among them: what hides in one meets the others, too."""
    flat = []
    for branch in branches:
        if _is_plain_schema(branch, library):
            flat += _flat([branch.schema], library)
        elif _is_plain_or(branch, library):
            flat += _flat(branch.args, library)
        else:
            flat.append(branch)
    return flat


def _union_type(branches: Sequence[Any], library: Any) -> Any:  # noqa: ANN401  # a type
    branches = _flat(branches, library)
    literals = tuple(branch for branch in branches if type(branch) in (str, int))
    others = [branch for branch in branches if type(branch) not in (str, int)]
    if any(branch is float for branch in others) and any(type(one) is int for one in literals):
        raise Inexact
    kinds = [_wire_type(branch, library) for branch in others]
    if literals:
        kinds.append(Literal[literals])
    return union_type(kinds)


def _mapping_type(node: dict[Any, Any], library: Any) -> Any:  # noqa: ANN401  # a type
    fields: dict[str, tuple[Any, bool]] = {}
    for key, part in node.items():
        name, required = _exact_key(key, library)
        if name in fields:
            raise Inexact
        fields[name] = (_wire_type(part, library), required)
    return record_type(fields)


def _exact_key(key: Any, library: Any) -> tuple[str, bool]:  # noqa: ANN401  # a key of a dict
    if type(key) is library.Optional and not hasattr(key, "default"):
        return _exact_key(key.schema, library)[0], False
    if type(key) is library.Literal:
        return _exact_key(key.schema, library)
    if type(key) is str:
        return key, True
    raise Inexact
