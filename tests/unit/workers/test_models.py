"""Models of every make are loaded or refused by name; one bad row never spoils the others."""

import os
import re
import sys

import msgpack
import numpy as np
import pytest

from zeropool.shared.errors import InvalidInput, ModelRefused, UnusableOutput
from zeropool.workers.failures import MESSAGE_LIMIT, TRACEBACK_LIMIT, ModelFailed, describe
from zeropool.workers.models import check_unique, load_model
from zeropool.workers.output import encode_prediction

FLOWER = {"sepal_length": 5, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def load(name):
    module, _, class_name = name.rpartition(".")
    return load_model(
        f"fixture_models.{module}", class_name, max_batch_size=8, timeout_s=2.5, max_queue=100
    )


def call(model, data):
    """Decode, predict and encode one call, as a worker does."""
    decoded = model.input.decode_call(msgpack.packb([data]), "m_predict")
    (prediction,) = model.predict_rows([decoded])
    return msgpack.unpackb(encode_prediction(prediction))


def failures(rows):
    return [f"{type(row).__name__}: {row}" for row in rows]


def refusal(name):
    with pytest.raises(ModelRefused) as caught:
        load(name)
    return str(caught.value)


# Loading


def test_a_model_of_the_original_kind_is_served_unmodified():
    model = load("flowers.FlowerModel")
    assert call(model, FLOWER) == {"species": "setosa"}
    assert model.info.summary() == {
        "display_name": "Flower Model",
        "qualified_name": "flower_model",
        "description": "Tells species of iris apart.",
        "major_version": 0,
        "minor_version": 1,
    }
    assert model.info.output_schema["properties"]["species"]["enum"][0] == "setosa"


def test_a_model_that_validates_by_itself_says_the_same_as_we_do():
    model = load("flowers.FlowerModel")
    bad = FLOWER | {"sepal_length": 5.0, "petal_width": "abc"}
    with pytest.raises(InvalidInput) as ours:
        call(model, bad)
    (theirs,) = model.predict_rows([bad])
    name, message, _ = describe(theirs, "flower_model_predict")
    assert name == InvalidInput.wire_name
    assert " ".join(message.split()) == str(ours.value)


@pytest.mark.parametrize(
    ("name", "data", "prediction"),
    [
        ("plain.EchoModel", {"any": [1, b"x", None]}, {"any": [1, b"x", None]}),
        ("typed.PydanticModel", {"price": 2, "count": 3}, {"total": 6.0}),
        ("typed.StructModel", {"x": 3, "y": 4}, {"distance": 5.0}),
        ("batching.BatchModel", 9, {"root": 3.0, "batch_size": 1}),
        ("slow.SleepModel", {"sleep_s": 0}, {"slept_s": 0.0}),
    ],
)
def test_models_with_every_kind_of_schema_predict(name, data, prediction):
    assert call(load(name), data) == prediction


def test_the_limits_of_the_configuration_are_published():
    info = load("plain.EchoModel").info
    assert (info.max_batch_size, info.timeout_s, info.max_queue) == (8, 2.5, 100)
    assert info.retry_safe


def test_a_loaded_model_shows_its_name_and_source():
    assert repr(load("batching.BatchModel")) == (
        "<LoadedModel batch_size from fixture_models.batching.BatchModel, predicts in batches>"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere.Model", "can not import fixture_models.nowhere: ModuleNotFoundError: No module"),
        ("unimportable.Model", "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("refused.Missing", "module fixture_models.refused has no class Missing"),
        ("refused.NOT_A_CLASS", "has no class NOT_A_CLASS"),
        ("refused.BrokenConstructor", "its constructor raised FileNotFoundError: no weights"),
        ("refused.NoDescription", "attribute 'description' is missing"),
        ("refused.BrokenProperty", "attribute 'display_name' raised RuntimeError: not yet"),
        ("refused.TextVersion", "attribute 'major_version' must be of type 'int', not 'str'"),
        ("refused.BooleanVersion", "attribute 'minor_version' must be of type 'int', not 'bool'"),
        ("refused.DashedName", "qualified_name 'iris-model' is no name"),
        ("refused.PrivateName", "qualified_name '_iris' is no name"),
        ("refused.NoMethod", "attribute 'predict' must be a method, not 'int'"),
        ("refused.BatchIsNoMethod", "attribute 'predict_batch' must be a method, not 'int'"),
        ("columnar.ColumnsAreNoMethod", "'predict_columns' must be a method, not 'int'"),
        ("refused.RetrySafeIsText", "attribute 'retry_safe' must be of type 'bool', not 'str'"),
        ("refused.UnknownSchema", "input_schema: instance of int is no known kind of schema"),
        ("refused.WrongSchema", 'output_schema: "nonsense" is not valid'),
    ],
)
def test_a_model_that_can_not_be_served_is_refused_with_the_reason(name, reason):
    told = refusal(name)
    assert told.startswith(f"model fixture_models.{name}: ")
    assert reason in told


def test_an_abstract_class_is_refused_as_python_words_it():
    with pytest.raises(ModelRefused, match=r"constructor raised TypeError: .* abstract"):
        load_model("ml_model_abc", "MLModel", max_batch_size=1, timeout_s=1.0, max_queue=1)


def test_two_models_with_one_name_are_refused():
    models = [load("plain.EchoModel"), load("slow.BusyModel"), load("plain.EchoModel")]
    check_unique(models[:2])
    with pytest.raises(ModelRefused, match=r"'echo' is taken by fixture_models\.plain\.EchoModel"):
        check_unique(models)


def test_warmup_and_close_reach_the_model():
    model = load("batching.BatchModel")
    model.warmup()
    model.close()
    assert model.model.is_warm
    assert model.model.is_closed


def test_a_model_needs_neither_warmup_nor_close():
    model = load("plain.EchoModel")
    model.warmup()
    model.close()


def test_a_model_that_can_not_warm_up_is_refused():
    model = load("refused.BrokenWarmup")
    with pytest.raises(ModelRefused, match="warmup raised OSError: no device"):
        model.warmup()


def test_predict_columns_without_numpy_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert "predict_columns gets arrays of numpy: ModuleNotFoundError" in refusal(
        "columnar.ColumnModel"
    )


def test_predict_columns_is_not_used_where_rows_are_no_columns():
    model = load("columnar.UnusedColumnModel")
    assert model.predict_columns is None
    assert model.ignores_columns
    assert not load("columnar.ColumnModel").ignores_columns
    assert not load("batching.BatchModel").ignores_columns
    assert repr(load("columnar.ColumnModel")).endswith("predicts in batches or columns>")


# Predicting


def test_rows_are_predicted_one_by_one_without_predict_batch():
    assert load("plain.EchoModel").predict_rows([1, 2]) == [1, 2]


def test_several_rows_are_one_batch():
    predictions = load("batching.BatchModel").predict_rows([1.0, 4.0])
    assert predictions == [{"root": 1.0, "batch_size": 2}, {"root": 2.0, "batch_size": 2}]


def test_no_rows_are_no_predictions():
    assert load("batching.BatchModel").predict_rows([]) == []


def test_a_row_that_fails_stands_in_its_place():
    rows = load("faulty.RaisingModel").predict_rows([1, "fail", 2])
    assert [rows[0], rows[2]] == [1, 2]
    assert failures(rows[1:2]) == ["PredictionFailed: asked to fail"]


def test_a_batch_that_fails_is_repeated_alone_so_that_only_the_bad_row_fails():
    first, second, third = load("batching.BatchModel").predict_rows([1.0, -1.0, 9.0])
    assert [first, third] == [{"root": 1.0, "batch_size": 1}, {"root": 3.0, "batch_size": 1}]
    assert failures([second]) == ["ValueError: no root of -1.0"]
    assert second.__context__ is None


def test_a_batch_that_calls_exit_is_repeated_alone():
    model = load("batching.ScriptedBatchModel")
    model.model.answer = SystemExit(3)
    assert model.predict_rows([1, 2]) == [{"alone": 1}, {"alone": 2}]


def test_a_row_that_calls_exit_is_an_error_of_that_row():
    rows = load("faulty.RaisingModel").predict_rows(["exit", 1])
    assert failures(rows[:1]) == ["ModelFailed: predict of raising raised SystemExit: 3"]
    assert rows[1] == 1


def test_an_interrupt_goes_through():
    with pytest.raises(KeyboardInterrupt):
        load("faulty.RaisingModel").predict_rows(["interrupt"])
    model = load("batching.ScriptedBatchModel")
    model.model.answer = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        model.predict_rows([1, 2])


def test_an_exception_that_is_returned_is_that_rows_error():
    model = load("batching.ScriptedBatchModel")
    model.model.answer = [1, ValueError("bad"), SystemExit(2)]
    rows = model.predict_rows([1, 2, 3])
    assert rows[0] == 1
    assert failures(rows[1:]) == [
        "ValueError: bad",
        "ModelFailed: predict_batch of scripted_batch raised SystemExit: 2",
    ]
    assert failures(load("faulty.RaisingModel").predict_rows(["return"])) == [
        "PredictionFailed: returned, not raised"
    ]


@pytest.mark.parametrize("answer", [(1, 2), np.array([1, 2]), range(1, 3)])
def test_other_sequences_than_lists_are_taken_as_predictions(answer):
    model = load("batching.ScriptedBatchModel")
    model.model.answer = answer
    assert model.predict_rows(["a", "b"]) == [1, 2]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ([1], "1 predictions"),
        ([1, 2, 3], "3 predictions"),
        (None, "'NoneType', not a list"),
        ("ab", "'str', not a list"),
        ({0: 1, 1: 2}, "'dict', not a list"),
        ({1, 2}, "'set', not a list"),
        ((n for n in (1, 2)), "'generator', not a list"),
    ],
)
def test_an_unusable_answer_to_a_batch_is_an_error_of_each_row(answer, found):
    model = load("batching.ScriptedBatchModel")
    model.model.answer = answer
    text = f"ModelFailed: predict_batch of scripted_batch returned {found} for 2 rows"
    assert failures(model.predict_rows([1, 2])) == [text, text]


COLUMNS = {"x": np.array([1.0, 2.0]), "n": np.array([1, 1])}


def test_columns_are_predicted_together():
    predictions = load("columnar.ColumnModel").predict_arrays(COLUMNS, 2)
    assert predictions == [{"y": y, "rows": 2, "as": "columns"} for y in (2.0, 4.0)]


def test_columns_of_which_one_row_fails_are_no_predictions_but_what_was_raised():
    found = load("columnar.ColumnModel").predict_arrays({"x": np.array([-1.0, 2.0])}, 2)
    assert failures([found]) == ["ValueError: some x is negative"]
    found = load("batching.BatchModel").predict_arrays(COLUMNS, 2)
    assert failures([found]) == ["ModelFailed: batch_size has no predict_columns"]


def test_columns_that_want_to_exit_end_no_worker():
    model = load("columnar.ScriptedColumnModel")
    model.model.answer = SystemExit(1)
    text = "ModelFailed: predict_columns of scripted_columns raised SystemExit: 1"
    assert failures([model.predict_arrays(COLUMNS, 2)]) == [text]


def test_an_unusable_answer_to_columns_is_an_error_of_each_row():
    model = load("columnar.ScriptedColumnModel")
    returned = "ModelFailed: predict_columns of scripted_columns returned"
    for answer, found in (
        ("ab", "'str', not a list"),
        ([1], "1 predictions"),
        ({"y": [1]}, "1 values as column 'y'"),
        ({"y": 1}, "'int' as column 'y', not a list or an array"),
        ({}, "a dict without columns"),
    ):
        model.model.answer = answer
        text = f"{returned} {found} for 2 rows"
        assert failures(model.predict_arrays(COLUMNS, 2)) == [text, text]
    model.model.answer = [1, ValueError("bad")]
    assert failures(model.predict_arrays(COLUMNS, 2)[1:]) == ["ValueError: bad"]


def test_columns_may_be_answered_by_columns():
    model = load("columnar.ScriptedColumnModel")
    model.model.answer = {"y": 2 * COLUMNS["x"]}
    assert len(model.predict_arrays(COLUMNS, 2)) == 2
    model.model.answer = {"y": [None, {1}]}
    assert model.predict_arrays(COLUMNS, 2) == [{"y": None}, {"y": {1}}]


def test_columns_that_cannot_be_looked_at_are_what_was_raised():
    class Odd(list):
        def __len__(self):
            raise ValueError("odd")

    model = load("columnar.ScriptedColumnModel")
    model.model.answer = {"y": Odd()}
    assert failures([model.predict_arrays(COLUMNS, 2)]) == ["ValueError: odd"]


def test_an_interrupt_of_columns_goes_through():
    model = load("columnar.ScriptedColumnModel")
    model.model.answer = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        model.predict_arrays(COLUMNS, 2)


# Describing


def raised(data):
    (error,) = load("faulty.RaisingModel").predict_rows([data])
    return error


def test_a_models_error_is_told_with_the_models_own_frames():
    name, message, text = describe(raised("fail"), "raising_predict")
    assert (name, message) == ("PredictionFailed", "asked to fail")
    assert text.startswith("Traceback (most recent call last):\n  [called as raising_predict]\n")
    assert text.endswith("\nPredictionFailed: asked to fail")
    assert re.findall(r'File ".*?([^/]+)", line', text) == ["faulty.py"]


def test_the_cause_of_an_error_is_told_before_it():
    text = describe(raised("chain"), "raising_predict")[2]
    assert text.index("KeyError: 'weights'\n") < text.index("direct cause")
    assert f"{os.sep}workers{os.sep}models.py" not in text
    assert text.endswith("\nPredictionFailed: no weights")


def test_an_error_of_the_caller_is_told_in_one_line():
    model = load("flowers.FlowerModel")
    with pytest.raises(InvalidInput) as caught:
        call(model, {})
    name, message, text = describe(caught.value, "flower_model_predict")
    assert name == "MLModelSchemaValidationException"
    assert text == f"{name}: {message}"


def test_our_own_errors_have_no_frames_of_ours():
    with pytest.raises(UnusableOutput) as caught:
        encode_prediction({1})
    error = caught.value.with_traceback(caught.tb.tb_next)
    text = describe(error, "m_predict")[2]
    assert text == "TypeError: can not serialize 'set' object at $"


def test_an_error_that_can_not_be_printed_is_told_all_the_same():
    assert describe(raised("unprintable"), "m")[:2] == (
        "Unprintable",
        "<__str__ raised RuntimeError>",
    )


def test_long_messages_and_stacks_are_bounded_and_the_last_line_stays():
    def fail(levels):
        if levels:
            fail_again(levels)
        raise ModelFailed("x" * 10_000)

    def fail_again(levels):
        fail(levels - 1)

    with pytest.raises(ModelFailed) as caught:
        fail(300)
    name, message, text = describe(caught.value, "m")
    assert len(message) == MESSAGE_LIMIT
    assert len(text) <= TRACEBACK_LIMIT
    assert text.endswith(f"\n{name}: {message}")


def test_a_message_that_utf8_can_not_carry_is_escaped():
    assert describe(ValueError("\ud800"), "m")[1] == "\\ud800"


def test_a_chain_of_errors_that_bites_its_tail_is_told_once():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert describe(first, "m")[2].count("ValueError: second") == 1


@pytest.mark.parametrize("kind", ["set", "int_keys", "huge_int", "object", "cycle", "surrogate"])
def test_strange_outputs_are_refused(kind):
    with pytest.raises(UnusableOutput):
        call(load("faulty.StrangeModel"), kind)
