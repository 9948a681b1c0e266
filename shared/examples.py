"""An example row for a JSON Schema: what a user can paste to make a first call.

Follows types, alternatives and references inside the schema; refuses to know the finer rules
(ranges, patterns, formats).
"""

from __future__ import annotations

from typing import Any

_BY_TYPE: dict[str, Any] = {
    "number": 1.5,
    "integer": 1,
    "string": "text",
    "boolean": True,
    "null": None,
}
#: Deep enough for a row; a recursive schema has no end.
MAX_DEPTH = 4
#: References and alternatives that stand for one value; a circle of references has no end.
MAX_STEPS = 8
_LOCAL_REFERENCE = "#/"


def example_row(schema: dict[str, Any], depth: int = 0) -> Any:  # noqa: ANN401 - any JSON value
    """Make a value that fits the types of ``schema``; its finer rules are not followed.

    A part that says nothing usable becomes an empty object: an example is never worth an error.
    """
    return _example(schema, schema, depth)


def _example(schema: object, root: dict[str, Any], depth: int) -> Any:  # noqa: ANN401 - likewise
    for _ in range(MAX_STEPS):
        # `True` is a schema as well: anything goes.
        if not isinstance(schema, dict):
            return {}
        for key in ("examples", "enum"):
            given = schema.get(key)
            if isinstance(given, list) and given:
                return given[0]
        if "const" in schema:
            return schema["const"]
        if "type" in schema or "properties" in schema:
            return _by_type(schema, root, depth)
        schema = _stand_in(schema, root)
    return {}


def _stand_in(schema: dict[str, Any], root: dict[str, Any]) -> object:
    """Return the schema that ``schema`` points to or leaves to choose; None where it does not."""
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith(_LOCAL_REFERENCE):
        return _resolve(reference, root)
    for key in ("anyOf", "oneOf", "allOf"):
        parts = schema.get(key)
        if isinstance(parts, list) and parts:
            return parts[0]
    return None


def _resolve(reference: str, root: dict[str, Any]) -> object:
    part: object = root
    for step in reference.removeprefix(_LOCAL_REFERENCE).split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        part = part.get(name) if isinstance(part, dict) else None
    return part


def _by_type(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:  # noqa: ANN401 - likewise
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    properties = schema.get("properties")
    if isinstance(properties, dict) and kind in (None, "object"):
        if depth >= MAX_DEPTH:
            return {}
        return {name: _example(part, root, depth + 1) for name, part in properties.items()}
    if kind == "array":
        return []
    return _BY_TYPE.get(kind, {}) if isinstance(kind, str) else {}
