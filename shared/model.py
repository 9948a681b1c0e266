"""What the pool knows of a model without loading it: its methods, published face and limits.

A worker makes a `ModelInfo` when it has loaded a model and sends it with its registration; the
gateway answers `get_models` and routes calls from it and never imports a model itself.
"""

from __future__ import annotations

from typing import Any

import msgspec

from zeropool.shared.config import Rows, Span, SpanOrZero


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One served model. Schemas are JSON Schema (draft 2020-12), limits are per call.

    The ranges of the limits are the configuration's: a registration with any other is malformed.
    """

    qualified_name: str
    display_name: str
    description: str
    major_version: int
    minor_version: int
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    #: False: a call whose worker died is answered with `WorkerLost` instead of being repeated.
    retry_safe: bool = True
    #: Most rows that one `predict_batch` call is given.
    max_batch_size: Rows = 64
    #: The model has `predict_batch`: rows that are given together cost less than one by one.
    batches: bool = True
    #: How long the first call of a batch waits for company, in seconds.
    max_wait_s: SpanOrZero = 0.0
    #: Time for queueing and execution of one call, in seconds.
    timeout_s: Span = 300.0
    #: Most calls that may wait in the gateway's queue for this model.
    max_queue: Rows = 10_000

    def summary(self) -> dict[str, Any]:
        """One entry of `get_models`, with the original service's keys in its order."""
        return {
            "display_name": self.display_name,
            "qualified_name": self.qualified_name,
            "description": self.description,
            "major_version": self.major_version,
            "minor_version": self.minor_version,
        }

    def metadata(self) -> dict[str, Any]:
        """The answer of `get_model_metadata`: the summary and both schemas."""
        return self.summary() | {
            "input_schema": self.input_schema,
            "output_schema": self.output_schema,
        }
