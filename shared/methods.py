"""How the methods of models are named: `Q_predict` and so on, for a model's qualified name `Q`."""

from __future__ import annotations

#: Endings of a model's methods; what stands before is its qualified name.
CALL_SUFFIX = "_predict"
BATCH_SUFFIX = "_predict_batch"
STREAM_SUFFIX = "_predict_stream"


def model_of(method: str) -> str | None:
    """The qualified name of the model whose method this is; None if it is no model's method."""
    for suffix in (BATCH_SUFFIX, STREAM_SUFFIX, CALL_SUFFIX):
        if method.endswith(suffix):
            return method.removesuffix(suffix)
    return None
