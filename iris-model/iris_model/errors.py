"""What this model raises on purpose."""

from __future__ import annotations


class MLModelSchemaValidationException(ValueError):  # noqa: N818  clients match on this name
    """The input is not a record of four measurements; the message says what is wrong with it."""
