"""What becomes of the jobs of one batch, as the bytes that the gateway passes on."""

import msgpack
import numpy as np
import pytest

from zeropool.shared.jobs import (
    Job,
    Kind,
    Outcome,
    Results,
    RowError,
    decode_from_worker,
    encode,
)
from zeropool.shared.wire.event import MessageIds
from zeropool.workers.batcher import Batch
from zeropool.workers.models import load_model
from zeropool.workers.row_answers import MAX_WAITING
from zeropool.workers.runner import COLUMN_ROWS, Runner

REJECTED = "MLModelSchemaValidationException"


def packed(value):
    return msgpack.packb(value)


def unpacked(payload):
    return msgpack.unpackb(payload, raw=False, strict_map_key=True)


def call(job_id, *args, model="echo", reply_to="id", version=3):
    return Job(
        job_id, 1, Kind.CALL, model, packed(args), 9.0, reply_to=packed(reply_to), version=version
    )


def rows(job_id, values, kind=Kind.ROWS, model="batch_size", first_index=0):
    return Job(
        job_id, 1, kind, model, packed(values), 9.0, first_index=first_index, rows=len(values)
    )


def loaded(module, class_name, max_batch_size=64):
    return load_model(
        f"fixture_models.{module}",
        class_name,
        max_batch_size=max_batch_size,
        timeout_s=300.0,
        max_queue=100,
    )


@pytest.fixture
def models():
    chosen = [
        loaded("plain", "EchoModel"),
        loaded("batching", "BatchModel", max_batch_size=2),
        loaded("batching", "ScriptedBatchModel"),
        loaded("columnar", "ColumnModel"),
        loaded("columnar", "ScriptedColumnModel"),
        loaded("faulty", "RaisingModel"),
        loaded("faulty", "StrangeModel"),
    ]
    return {model.info.qualified_name: model for model in chosen}


@pytest.fixture
def run(models):
    """Run jobs of one model as a batch; return the results by job id."""
    runner = Runner(list(models.values()), MessageIds(0))

    def run_batch(*jobs, expired=()):
        model = (*jobs, *expired)[0].model
        results = runner.run(Batch(model, "g", list(jobs), list(expired)))
        # Of the very types that the gateway hears: compiled code takes no others.
        heard = decode_from_worker(encode(Results("w", "g", results)))
        assert heard.results == results
        by_id = {result.job_id: result for result in results}
        assert len(by_id) == len(results) == len(jobs) + len(expired)
        return by_id

    return run_batch


def row_items(bodies):
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(bodies)
    return list(unpacker)


# Calls


def test_a_call_is_answered_with_the_finished_reply_event(run):
    result = run(call(7, {"x": 1.5}))[7]

    header, name, args = unpacked(result.body)
    assert (result.outcome, result.attempt) == (Outcome.OK, 1)
    assert (header["v"], header["response_to"]) == (3, "id")
    assert (name, args) == ("OK", [{"x": 1.5}])


@pytest.mark.parametrize("caller_id", [b"0123", "0123", 123, 2**63])
def test_the_callers_id_comes_back_with_its_type(run, caller_id):
    results = run(call(1, 5, reply_to=caller_id), call(2, reply_to=caller_id))

    for result in results.values():
        response_to = unpacked(result.body)[0]["response_to"]
        assert (type(response_to), response_to) == (type(caller_id), caller_id)


def test_each_event_has_an_id_of_its_own(run):
    results = run(call(1, 5), call(2, 6), call(3), expired=[call(4, 7)])

    message_ids = {unpacked(result.body)[0]["message_id"] for result in results.values()}
    assert len(message_ids) == 4


def test_calls_run_as_one_batch_and_each_gets_its_own_answer(run):
    jobs = [call(job_id, value, model="batch_size") for job_id, value in ((1, 4), (2, 9))]

    results = run(*jobs)

    assert unpacked(results[1].body)[2] == [{"root": 2.0, "batch_size": 2}]
    assert unpacked(results[2].body)[2] == [{"root": 3.0, "batch_size": 2}]


def test_one_bad_row_is_its_callers_error_only(run):
    jobs = [call(job_id, value, model="batch_size") for job_id, value in ((1, 4), (2, "x"), (3, 9))]

    results = run(*jobs)

    assert unpacked(results[1].body)[2] == [{"root": 2.0, "batch_size": 2}]
    assert unpacked(results[3].body)[2] == [{"root": 3.0, "batch_size": 2}]
    assert results[2].outcome is Outcome.ERROR
    _, event, (name, message, traceback) = unpacked(results[2].body)
    assert (event, name) == ("ERR", REJECTED)
    assert traceback == f"{name}: {message}"


def test_a_row_that_makes_predict_batch_raise_spoils_no_other_call(run):
    jobs = [call(job_id, value, model="batch_size") for job_id, value in ((1, 4), (2, -1))]

    results = run(*jobs)

    assert unpacked(results[1].body)[2] == [{"root": 2.0, "batch_size": 1}]
    _, event, (name, message, traceback) = unpacked(results[2].body)
    assert (event, name, message) == ("ERR", "ValueError", "no root of -1.0")
    assert "[called as batch_size_predict]" in traceback
    assert traceback.endswith("ValueError: no root of -1.0")


def test_a_models_exception_goes_under_its_own_class_name(run):
    _, event, args = unpacked(run(call(1, "fail", model="raising"))[1].body)

    assert (event, args[:2]) == ("ERR", ["PredictionFailed", "asked to fail"])


def test_a_model_that_wants_to_exit_fails_one_call(run):
    results = run(call(1, "exit", model="raising"), call(2, "fine", model="raising"))

    assert unpacked(results[1].body)[2][0] == "ModelFailed"
    assert unpacked(results[2].body)[2] == ["fine"]


def test_calls_are_answered_in_their_order_after_those_that_are_wrong(models):
    runner = Runner(list(models.values()), MessageIds(0))
    jobs = [call(job_id, *args) for job_id, args in enumerate([(1,), (), (2,), (1, 2), (3,)])]

    results = runner.run(Batch("echo", "g", jobs, [call(9, 1)]))

    assert [result.job_id for result in results] == [9, 1, 3, 0, 2, 4]
    assert [unpacked(result.body)[2] for result in results[3:]] == [[1], [2], [3]]


def test_calls_that_are_all_right_are_answered_in_their_order_each_under_its_own_id(models):
    runner = Runner(list(models.values()), MessageIds(0))
    jobs = [call(n, n / 2, reply_to=f"caller {n}") for n in range(70)]

    results = runner.run(Batch("echo", "g", jobs, []))

    assert [result.job_id for result in results] == list(range(70))
    for n, result in enumerate(results):
        header, name, args = unpacked(result.body)
        assert (result.attempt, result.outcome, name, args) == (1, Outcome.OK, "OK", [n / 2])
        assert header["response_to"] == f"caller {n}"
        assert (result.items, result.errors) == ((), ())


def test_a_v1_caller_gets_one_text_for_an_error(run):
    _, event, args = unpacked(run(call(1, "fail", model="raising", version=1))[1].body)

    assert (event, args) == ("ERR", ["PredictionFailed('asked to fail')"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "echo_predict() missing 1 required positional argument: 'data'"),
        ((1, 2), "echo_predict() takes 1 positional argument but 2 were given"),
    ],
)
def test_a_wrong_number_of_arguments_is_a_type_error(run, args, message):
    result = run(call(1, *args))[1]

    assert result.outcome is Outcome.ERROR
    assert unpacked(result.body)[2] == ["TypeError", message, f"TypeError: {message}"]


def test_arguments_that_are_no_array_are_the_callers_error(run):
    job = Job(1, 1, Kind.CALL, "echo", packed(5), 9.0, reply_to=packed("id"), version=3)

    assert unpacked(run(job)[1].body)[2][:2] == [
        "TypeError",
        "argument after * must be an iterable, not int",
    ]


def test_an_output_that_no_client_can_decode_is_one_callers_error(run):
    results = run(call(1, "set", model="strange"), call(2, "fine", model="strange"))

    assert results[1].outcome is Outcome.ERROR
    assert unpacked(results[1].body)[2][:2] == [
        "TypeError",
        "can not serialize 'set' object at $.species",
    ]
    assert unpacked(results[2].body)[2] == ["fine"]


def test_a_repeated_job_is_answered_with_its_attempt(run):
    job = Job(1, 3, Kind.CALL, "echo", packed([5]), 9.0, reply_to=packed("id"), version=3)

    assert run(job)[1].attempt == 3


# Rows


def test_the_predictions_of_rows_stand_behind_one_another(run):
    result = run(rows(1, [4, 9, 16]))[1]

    assert (result.outcome, result.errors, result.items) == (Outcome.OK, (), ())
    assert [item["root"] for item in row_items(result.body)] == [2.0, 3.0, 4.0]


def test_a_batch_of_rows_is_cut_to_what_the_model_takes(run):
    result = run(rows(1, [1, 1, 1, 1, 1]))[1]

    assert [item["batch_size"] for item in row_items(result.body)] == [2, 2, 2, 2, 1]


def test_a_rejected_row_is_nil_and_has_an_error(run):
    result = run(rows(1, ["x", 4, "y", 9]))[1]

    predictions = row_items(result.body)
    assert predictions[0] is predictions[2] is None
    assert [predictions[1]["root"], predictions[3]["root"]] == [2.0, 3.0]
    assert [(error.offset, error.name) for error in result.errors] == [
        (0, REJECTED),
        (2, REJECTED),
    ]


def test_rejected_rows_take_no_place_in_a_batch_of_the_model(run):
    result = run(rows(1, ["x", 4, "y", 9]))[1]

    assert row_items(result.body)[3]["batch_size"] == 2


def test_a_row_that_makes_predict_batch_raise_spoils_no_other_row(run):
    result = run(rows(1, [4, -1]))[1]

    assert row_items(result.body) == [{"root": 2.0, "batch_size": 1}, None]
    assert result.errors == (RowError(1, "ValueError", "no root of -1.0"),)


@pytest.mark.parametrize("kind", [Kind.CALL, Kind.ROWS])
def test_a_predict_batch_that_raises_is_told_though_its_rows_are_predicted(models, kind):
    told = []
    model = models["scripted_batch"]
    runner = Runner([model], MessageIds(0), on_failure=lambda *it: told.append(it))
    model.model.answer = error = KeyError("x")
    if kind is Kind.CALL:
        jobs = [call(job_id, job_id, model="scripted_batch") for job_id in (1, 2)]
    else:
        jobs = [rows(1, [1, 2], model="scripted_batch")]

    results = runner.run(Batch("scripted_batch", "g", jobs, []))

    assert {result.outcome for result in results} == {Outcome.OK}
    assert told == [(jobs[0], error, "predict_batch")]
    assert model.batch_error is None


def test_a_predict_batch_that_returns_too_few_fails_its_rows(run, models):
    models["scripted_batch"].model.answer = [1]

    result = run(rows(1, [5, 6], model="scripted_batch"))[1]

    assert row_items(result.body) == [None, None]
    assert {error.name for error in result.errors} == {"ModelFailed"}
    assert "1 predictions for 2 rows" in result.errors[0].message


def test_an_output_that_no_client_can_decode_is_one_rows_error(run):
    result = run(rows(1, ["fine", "huge_int"], model="strange"))[1]

    assert row_items(result.body) == ["fine", None]
    assert result.errors == (
        RowError(1, "TypeError", "can not serialize an integer of 65 bits at $[0]"),
    )


def test_rows_that_cannot_be_read_are_all_errors(run):
    job = Job(1, 1, Kind.ROWS, "batch_size", packed(5), 9.0, rows=3)

    result = run(job)[1]

    message = "batch_size_predict_batch() argument 'rows' must be a list"
    assert row_items(result.body) == [None, None, None]
    assert list(result.errors) == [RowError(offset, "TypeError", message) for offset in range(3)]


def test_no_rows_have_no_predictions(run):
    result = run(rows(1, []))[1]

    assert (result.body, result.errors) == (b"", ())


# Columns


def points(count, first=0):
    return [{"x": float(first + index), "n": 300} for index in range(count)]


def test_rows_that_are_alike_are_predicted_as_columns(run):
    result = run(rows(1, points(100), model="columnar"))[1]

    assert row_items(result.body) == [
        {"y": 2.0 * index, "rows": 100, "as": "columns"} for index in range(100)
    ]
    assert result.errors == ()


def test_no_more_rows_are_predicted_as_columns_at_once_than_are_due(run):
    result = run(rows(1, points(COLUMN_ROWS + 1), model="columnar"))[1]

    assert [each["rows"] for each in row_items(result.body)] == [COLUMN_ROWS] * COLUMN_ROWS + [1]


def test_each_prediction_of_columns_has_its_own_hard_limit(models):
    limits = []
    runner = Runner([models["columnar"]], MessageIds(0), arm=limits.append)
    values = points(2 * COLUMN_ROWS + 1)

    runner.run(Batch("columnar", "g", [rows(1, values, model="columnar")], []))

    assert limits == [300.0] * 3


def test_a_model_with_a_larger_batch_gets_as_many_rows_as_columns():
    model = loaded("columnar", "ColumnModel", max_batch_size=2 * COLUMN_ROWS)
    batch = Batch("columnar", "g", [rows(1, points(2 * COLUMN_ROWS), model="columnar")], [])

    (result,) = Runner([model], MessageIds(0)).run(batch)

    assert row_items(result.body)[0]["rows"] == 2 * COLUMN_ROWS


def test_few_rows_are_predicted_as_rows(run):
    result = run(rows(1, points(10), model="columnar"))[1]

    assert {each["as"] for each in row_items(result.body)} == {"rows"}


def test_a_row_that_is_refused_spoils_no_other_and_is_explained_as_ever(run):
    values = points(100)
    values[7] = {"x": None, "n": 300}

    result = run(rows(1, values, model="columnar"))[1]

    predictions = row_items(result.body)
    assert predictions[7] is None
    assert {each["as"] for each in predictions if each} == {"rows"}
    assert [(error.offset, error.name) for error in result.errors] == [(7, REJECTED)]


def test_a_row_that_makes_predict_columns_raise_spoils_no_other_row(run):
    values = points(COLUMN_ROWS) + points(100, first=-1)

    result = run(rows(1, values, model="columnar"))[1]

    predictions = row_items(result.body)
    assert [each and each["as"] for each in predictions[: COLUMN_ROWS + 2]] == [
        *["columns"] * COLUMN_ROWS,
        None,
        "rows",
    ]
    assert [each["y"] for each in predictions[COLUMN_ROWS + 1 :]] == [2.0 * x for x in range(99)]
    assert result.errors == (RowError(COLUMN_ROWS, "ValueError", "x is negative"),)


def test_a_predict_columns_that_raises_is_told_once_for_a_job_that_its_rows_answer(models):
    told = []
    runner = Runner(
        [models["scripted_columns"]], MessageIds(0), on_failure=lambda *it: told.append(it)
    )
    models["scripted_columns"].model.answer = error = KeyError("x")
    job = rows(1, points(2 * COLUMN_ROWS), model="scripted_columns")

    (result,) = runner.run(Batch("scripted_columns", "g", [job], []))

    assert {each["as"] for each in row_items(result.body)} == {"rows"}
    assert result.errors == ()
    assert told == [(job, error, "predict_columns")]


def test_a_row_that_fails_as_column_and_as_row_is_told_of_both(models):
    told = []
    runner = Runner([models["columnar"]], MessageIds(0), on_failure=lambda *it: told.append(it))

    runner.run(Batch("columnar", "g", [rows(1, points(100, first=-1), model="columnar")], []))

    assert [(str(error), method) for _, error, method in told] == [
        ("some x is negative", "predict_columns"),
        ("x is negative", "predict"),
    ]


def test_an_exception_that_predict_columns_returns_is_that_rows_error(run, models):
    models["scripted_columns"].model.answer = [KeyError("x"), *range(63)]

    result = run(rows(1, points(64), model="scripted_columns"))[1]

    assert row_items(result.body) == [None, *range(63)]
    assert [error.name for error in result.errors] == ["KeyError"]


def test_answers_may_be_columns(run, models):
    x = np.arange(float(COLUMN_ROWS))
    models["scripted_columns"].model.answer = {"y": 2 * x, "name": ["a", "b"] * (COLUMN_ROWS // 2)}

    result = run(rows(1, points(2 * COLUMN_ROWS), model="scripted_columns"))[1]

    answers = [{"y": 2.0 * at, "name": "ab"[at % 2]} for at in range(COLUMN_ROWS)]
    assert row_items(result.body) == answers * 2
    assert result.errors == ()


def test_answers_that_are_columns_are_items_of_a_stream_too(run, models):
    models["scripted_columns"].model.answer = {"y": np.arange(64.0)}

    result = run(rows(1, points(64), Kind.ITEMS, "scripted_columns", first_index=40))[1]

    assert [unpacked(item) for item in result.items] == [
        {"index": 40 + at, "prediction": {"y": float(at)}} for at in range(64)
    ]


def test_a_value_of_a_column_that_no_client_could_read_is_that_rows_error(run, models):
    models["scripted_columns"].model.answer = {"y": [{1}, *range(63)]}

    result = run(rows(1, points(64), model="scripted_columns"))[1]

    assert row_items(result.body) == [None, *({"y": y} for y in range(63))]
    message = "can not serialize 'set' object at $.y"
    assert result.errors == (RowError(0, "TypeError", message),)


def test_columns_of_a_wrong_length_are_an_error_of_each_row(run, models):
    models["scripted_columns"].model.answer = {"y": np.arange(63.0)}

    result = run(rows(1, points(64), model="scripted_columns"))[1]

    message = "predict_columns of scripted_columns returned 63 values as column 'y' for 64 rows"
    assert row_items(result.body) == [None] * 64
    assert [*result.errors] == [RowError(at, "ModelFailed", message) for at in range(64)]


def test_predictions_and_errors_of_a_large_job_are_in_the_rows_order(run):
    """Some rows are answered as columns, and of later ones one is an error, and others dicts."""
    values = points(COLUMN_ROWS) + points(2 * MAX_WAITING, first=-1)

    result = run(rows(1, values, model="columnar"))[1]

    xs = [row["x"] for row in values]
    assert [each and each["y"] for each in row_items(result.body)] == [
        None if x < 0 else 2.0 * x for x in xs
    ]
    assert [error.offset for error in result.errors] == [COLUMN_ROWS]


def test_the_rows_of_a_stream_are_predicted_as_columns_too(run):
    result = run(rows(1, points(64), Kind.ITEMS, "columnar", first_index=40))[1]

    assert unpacked(result.items[1]) == {
        "index": 41,
        "prediction": {"y": 2.0, "rows": 64, "as": "columns"},
    }


# Items of a stream


def test_each_row_of_a_stream_is_an_item_with_its_index_in_the_callers_array(run):
    result = run(rows(1, ["a", "b"], Kind.ITEMS, "echo", first_index=40))[1]

    assert (result.outcome, result.body, result.errors) == (Outcome.OK, b"", ())
    assert [unpacked(item) for item in result.items] == [
        {"index": 40, "prediction": "a"},
        {"index": 41, "prediction": "b"},
    ]


@pytest.mark.parametrize("first_index", [0, 127, 200, 70_000, 2**31])
def test_an_index_of_any_size_is_readable(run, first_index):
    items = run(rows(1, ["a"], Kind.ITEMS, "echo", first_index))[1].items

    assert unpacked(items[0])["index"] == first_index


def test_a_row_of_a_stream_that_fails_is_an_item_with_an_error(run):
    result = run(rows(1, [4, -1, "x"], Kind.ITEMS, first_index=10))[1]

    items = [unpacked(item) for item in result.items]
    assert items[0]["prediction"]["root"] == 2.0
    assert items[1] == {"index": 11, "error": {"name": "ValueError", "message": "no root of -1.0"}}
    assert (items[2]["index"], items[2]["error"]["name"]) == (12, REJECTED)
    assert "prediction" not in items[2]


# Jobs that are not run


def test_an_expired_call_is_told_so_and_never_run(run):
    result = run(expired=[call(1, "fail", model="raising")])[1]

    assert result.outcome is Outcome.ERROR
    message = "raising: not started before its deadline"
    assert unpacked(result.body)[2] == [
        "DeadlineExceeded",
        message,
        f"{unpacked(result.body)[2][0]}: {message}",
    ]


def test_the_rows_of_an_expired_job_are_all_errors(run):
    batch = run(expired=[rows(1, [4, 9])])[1]
    stream = run(expired=[rows(1, [4, 9], Kind.ITEMS, first_index=5)])[1]

    assert row_items(batch.body) == [None, None]
    assert [error.name for error in batch.errors] == ["DeadlineExceeded"] * 2
    items = [unpacked(item) for item in stream.items]
    assert [(item["index"], item["error"]["name"]) for item in items] == [
        (5, "DeadlineExceeded"),
        (6, "DeadlineExceeded"),
    ]


def test_its_repr_names_the_models(models):
    runner = Runner([models["echo"], models["strange"]])

    assert repr(runner) == "<Runner models=echo,strange>"
