"""An example row for a JSON Schema: what a user can paste to make a first call."""

from __future__ import annotations

from typing import Any

_BY_TYPE: dict[str, Any] = {
    "number": 1.5,
    "integer": 1,
    "string": "text",
    "boolean": True,
    "null": None,
    "array": [],
}
#: Deep enough for a row; a recursive schema has no end.
MAX_DEPTH = 4


def example_row(schema: dict[str, Any], depth: int = 0) -> Any:  # noqa: ANN401 - any JSON value
    """Make a value that fits the types of ``schema``; its finer rules are not followed."""
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "properties" in schema:
        if depth >= MAX_DEPTH:
            return {}
        properties = schema.get("properties", {})
        return {name: example_row(part, depth + 1) for name, part in properties.items()}
    return _BY_TYPE.get(kind, {})
