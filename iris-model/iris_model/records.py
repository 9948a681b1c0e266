"""What goes into the model and what comes out: names, schemas, and the check of one input.

Refuses to know how a species is found. Measurements are centimetres, in the column order of
`sklearn.datasets.load_iris`.

`read` accepts a plain dict by cheap tests and asks `INPUT_SCHEMA`, which is some hundred times
slower, only about what those tests do not accept. Two rules go beyond the schema. An integer is
a number (JSON and MessagePack peers write 5 for 5.0), a bool is not. And a measurement lies
within ±`LARGEST_CM`, which NaN and the infinities do not: they belong to no species, yet a
classifier would name one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import countOf, itemgetter
from typing import Any

from schema import Or, Schema, SchemaError

from iris_model.errors import MLModelSchemaValidationException

MEASUREMENTS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
#: By class number, as the training data numbers them.
SPECIES = ("setosa", "versicolor", "virginica")

#: Centimetres. Far beyond any flower, far below where single precision (3.4e38) overflows.
LARGEST_CM = 1e9

INPUT_SCHEMA = Schema(dict.fromkeys(MEASUREMENTS, float))
OUTPUT_SCHEMA = Schema({"species": Or(*SPECIES)})

#: The four measurements of one flower, centimetres, in the order of `MEASUREMENTS`.
Row = tuple[float, float, float, float]

_NUMBERS = frozenset({float, int})
_row_of: Callable[[dict[Any, Any]], Row] = itemgetter(*MEASUREMENTS)


def read(data: object) -> Row | MLModelSchemaValidationException:
    """Take the measurements out of one input, or say why that cannot be done.

    The rejection is returned, not raised, so that a batch can put it in the row's place.
    """
    if type(data) is not dict or len(data) != len(MEASUREMENTS):
        return read_exactly(data)
    try:
        row = _row_of(data)
    except KeyError:
        return read_exactly(data)
    if not _NUMBERS.issuperset(map(type, row)):
        return read_exactly(data)
    for value in row:
        # Written so that NaN, which compares with nothing, fails it.
        if not -LARGEST_CM <= value <= LARGEST_CM:
            return read_exactly(data)
    return row


def read_together(data: list[Any]) -> list[float] | None:
    """Take the measurements out of many inputs, one flower behind the other.

    At half of what `read` costs for each. None where `read` has to look at each: where one is wrong
    or no plain dict, or all together are large.
    """
    measurements: list[float] = []
    try:
        for each in data:
            if type(each) is not dict or len(each) != len(MEASUREMENTS):
                return None
            measurements += _row_of(each)
        return measurements if _are_good(measurements) else None
    except (KeyError, OverflowError):
        return None


def _are_good(values: list[Any]) -> bool:
    """Tell whether these are numbers, which lie within the bounds by far.

    Raises:
        OverflowError: An integer is larger than any float.
    """
    # Floats, as a rule, which is told in half the time.
    if countOf(map(type, values), float) != len(values) and not _NUMBERS.issuperset(
        map(type, values)
    ):
        return False
    # As the coordinates of one point: it is as far away as the largest of them at least. NaN, which
    # compares with nothing, fails it.
    return math.hypot(*values) < LARGEST_CM


def read_exactly(data: object) -> Row | MLModelSchemaValidationException:
    """Do what `read` does by asking the schema, whatever it costs."""
    candidate = (
        {key: _as_float(value) for key, value in data.items()} if isinstance(data, dict) else data
    )
    try:
        record = INPUT_SCHEMA.validate(candidate)
    except SchemaError as error:
        return _rejection(error.code)
    except (RecursionError, ValueError):
        # The schema quotes what it rejects, and Python's `repr` has limits.
        return _rejection("the data is nested too deeply, or holds too long a number, to be quoted")
    row = _row_of(record)
    for name, value in zip(MEASUREMENTS, row, strict=True):
        if not -LARGEST_CM <= value <= LARGEST_CM:
            return _rejection(
                f"Key '{name}' error: {value!r} should be between {-LARGEST_CM} and {LARGEST_CM}"
            )
    return row


def _as_float(value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _rejection(reason: str) -> MLModelSchemaValidationException:
    return MLModelSchemaValidationException(
        f"Failed to validate input data: {' '.join(reason.splitlines())}"
    )
