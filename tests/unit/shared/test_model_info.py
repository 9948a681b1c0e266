"""What the pool says of a model, in the original service's words."""

from __future__ import annotations

import msgspec
import pytest

from zeropool.shared.model import ModelInfo

IRIS = ModelInfo(
    qualified_name="iris_model",
    display_name="Iris Model",
    description="Predicts a species.",
    major_version=1,
    minor_version=2,
    input_schema={"type": "object"},
    output_schema={"type": "string"},
)


def test_the_summary_has_the_original_services_keys_in_its_order():
    assert list(IRIS.summary().items()) == [
        ("display_name", "Iris Model"),
        ("qualified_name", "iris_model"),
        ("description", "Predicts a species."),
        ("major_version", 1),
        ("minor_version", 2),
    ]


def test_the_metadata_adds_both_schemas():
    metadata = IRIS.metadata()
    assert metadata == IRIS.summary() | {
        "input_schema": {"type": "object"},
        "output_schema": {"type": "string"},
    }
    assert list(metadata)[-2:] == ["input_schema", "output_schema"]


def test_a_model_may_be_repeated_unless_it_says_otherwise():
    assert IRIS.retry_safe


def test_limits_are_not_published():
    assert not {"timeout_s", "max_queue", "max_batch_size", "retry_safe"} & set(IRIS.metadata())


def test_model_info_comes_back_from_msgpack():
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(IRIS), type=ModelInfo) == IRIS


def test_model_info_is_frozen():
    with pytest.raises(AttributeError):
        IRIS.timeout_s = 1.0


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        *(("timeout_s", value) for value in (0.0, -1.0, float("inf"), float("nan"))),
        *(("max_wait_s", value) for value in (-1.0, float("inf"), float("nan"))),
        *(("max_batch_size", value) for value in (0, -1, 2**40)),
        *(("max_queue", value) for value in (0, -1, 2**40)),
    ],
)
def test_a_limit_that_no_configuration_allows_is_malformed(limit, value):
    facts = msgspec.to_builtins(IRIS) | {limit: value}
    with pytest.raises(msgspec.ValidationError, match=limit):
        msgspec.msgpack.decode(msgspec.msgpack.encode(facts), type=ModelInfo)
