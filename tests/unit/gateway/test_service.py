"""What the service says of itself, in the forms that ZeroRPC peers expect."""

from __future__ import annotations

import pytest
from gateway_world import model_info, pack

from zeropool.gateway.methods import Shape
from zeropool.gateway.service import Service
from zeropool.shared.errors import (
    PayloadTooLarge,
    UnknownMethod,
    UnknownModel,
    UnknownName,
    WrongArguments,
)


@pytest.fixture
def service():
    service = Service("zeropool", lambda: {"state": "serving"})
    service.add_model(model_info())
    return service


@pytest.fixture
def ask(service):
    def ask(name, *args):
        return service.answer(service.find(name), pack(list(args)))

    return ask


def test_ping_is_answered_with_pong_and_the_name(ask):
    assert ask("_zerorpc_ping") == ["pong", "zeropool"]
    assert ask("_zerorpc_name") == "zeropool"


def test_the_list_has_no_hidden_methods(ask):
    assert ask("_zerorpc_list") == [
        "get_models",
        "get_model_metadata",
        "get_status",
        "double_predict",
        "double_predict_batch",
        "double_predict_stream",
    ]


def test_inspection_names_every_method_with_arguments_and_documentation(ask):
    answer = ask("_zerorpc_inspect")
    assert list(answer) == ["name", "methods"]
    assert answer["name"] == "zeropool"
    assert list(answer["methods"]) == ask("_zerorpc_list")
    assert answer["methods"]["get_models"]["args"] == []
    assert answer["methods"]["get_model_metadata"]["args"] == [{"name": "qualified_name"}]
    assert answer["methods"]["double_predict"] == {
        "args": [{"name": "data"}],
        "doc": "Predict one row with Doubles 1.2.\n\nDoubles a number.\n\nFields of one row: x.",
    }
    assert answer["methods"]["double_predict_batch"]["args"] == [{"name": "rows"}]
    assert all(set(method) == {"args", "doc"} for method in answer["methods"].values())


def test_help_is_the_documentation(ask):
    assert ask("_zerorpc_help", "get_models").startswith("List the models that are served.\n\n")


def test_args_are_what_getargspec_gave(ask):
    assert ask("_zerorpc_args", "double_predict") == [["data"], None, None, None]
    assert ask("_zerorpc_args", "get_status") == [[], None, None, None]


@pytest.mark.parametrize("method", ["_zerorpc_help", "_zerorpc_args"])
@pytest.mark.parametrize(
    ("name", "message"),
    [("nope", "'nope'"), ("_zerorpc_ping", "'_zerorpc_ping'"), (5, "5"), ([1], "[1]")],
)
def test_introspection_of_an_unknown_name_is_a_key_error(ask, method, name, message):
    with pytest.raises(UnknownName) as caught:
        ask(method, name)
    assert (caught.value.wire_name, str(caught.value)) == ("KeyError", message)


def test_introspection_of_something_nested_deeply_is_a_key_error_too(service):
    deep = b"\x91" + b"\x91" * 1000 + b"\x90"
    with pytest.raises(UnknownName):
        service.answer(service.find("_zerorpc_help"), deep)


def test_an_unknown_method_is_told_by_its_bare_name(service):
    with pytest.raises(UnknownMethod) as caught:
        service.find("nope")
    assert (caught.value.wire_name, str(caught.value)) == ("NameError", "nope")


def test_get_models_has_the_original_keys_in_their_order(ask):
    (model,) = ask("get_models")
    assert list(model.items()) == [
        ("display_name", "Doubles"),
        ("qualified_name", "double"),
        ("description", "Doubles a number."),
        ("major_version", 1),
        ("minor_version", 2),
    ]


def test_metadata_adds_the_schemas(ask):
    metadata = ask("get_model_metadata", "double")
    assert list(metadata.items()) == [
        *ask("get_models")[0].items(),
        ("input_schema", {"type": "object", "properties": {"x": {"type": "number"}}}),
        ("output_schema", {"type": "number"}),
    ]


@pytest.mark.parametrize("name", ["nope", 5, None, ["double"]])
def test_metadata_of_an_unknown_model_is_a_value_error(ask, name):
    with pytest.raises(UnknownModel, match=r"^Metadata not found for this model\.$") as caught:
        ask("get_model_metadata", name)
    assert caught.value.wire_name == "ValueError"


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("get_models", [1], "get_models() takes 0 positional arguments but 1 was given"),
        ("get_status", [1, 2], "get_status() takes 0 positional arguments but 2 were given"),
        (
            "get_model_metadata",
            [],
            "get_model_metadata() missing 1 required positional argument: 'qualified_name'",
        ),
        (
            "get_model_metadata",
            ["a", "b"],
            "get_model_metadata() takes 1 positional argument but 2 were given",
        ),
    ],
)
def test_wrong_argument_counts_are_told_in_pythons_words(ask, name, args, message):
    with pytest.raises(WrongArguments) as caught:
        ask(name, *args)
    assert str(caught.value) == message


def test_a_model_has_three_methods(service):
    shapes = {name: service.find(f"double{name}").shape for name in ("_predict", "_predict_batch")}
    assert shapes == {"_predict": Shape.CALL, "_predict_batch": Shape.BATCH}
    assert service.find("double_predict_stream").shape is Shape.STREAM


def test_a_newer_worker_has_the_last_word_on_a_model(service, ask):
    service.add_model(model_info(description="Doubles it well."))
    assert [model["description"] for model in ask("get_models")] == ["Doubles it well."]
    assert "Doubles it well." in ask("_zerorpc_help", "double_predict")
    assert repr(service) == "<Service zeropool models=1 methods=6>"


@pytest.mark.parametrize("schema", [{}, {"properties": 5}, {"properties": None}])
def test_a_schema_without_usable_properties_is_served_too(service, ask, schema):
    service.add_model(model_info(input_schema=schema))
    assert "Fields of one row: see get_model_metadata." in ask("_zerorpc_help", "double_predict")


@pytest.mark.parametrize("name", ["a_predict", "a_predict_batch", "a_predict_stream"])
def test_only_methods_of_models_may_become_known(service, name):
    assert service.may_become_known(name)
    assert not service.may_become_known("a")


def test_more_arguments_than_anybody_needs_are_refused_unread(ask):
    with pytest.raises(PayloadTooLarge, match="takes 65536 bytes of arguments"):
        ask("_zerorpc_help", "x" * 65_536)
