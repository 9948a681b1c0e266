"""The `zerorpc` command of zerorpc-python 0.6.3 against the gateway.

Against a zerorpc.Server on Python 3.11 `-?` crashes: it falls back to a function which
`inspect` no longer has. Correct answers to `_zerorpc_inspect` spare it the fallback.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from iris_facts import SETOSA, is_a_prediction

pytestmark = pytest.mark.interop

COMMAND = Path(sys.executable).parent / "zerorpc"
WITH_ITERATOR = Path(__file__).parent / "python" / "zerorpc_command.py"
COMMAND_TIMEOUT_S = 40.0

METHODS = {
    "get_models",
    "get_model_metadata",
    "get_status",
    "iris_model_predict",
    "iris_model_predict_batch",
    "iris_model_predict_stream",
}
UNDOCUMENTED = "<undocumented>"  # what the command prints for a method without docs


def output_of(*command):
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        check=False,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_lists_methods_with_their_first_doc_lines(iris_gateway):
    title, *lines = output_of(COMMAND, iris_gateway.endpoint).splitlines()
    assert title.startswith("[")
    docs = dict(line.split(maxsplit=1) for line in lines)
    assert set(docs) >= METHODS
    assert UNDOCUMENTED not in docs.values()


def test_it_lists_signatures(iris_gateway):
    # `-?` without a method prints no docs: zerorpc 0.6.3, cli.py, run_client.
    _, *lines = output_of(COMMAND, "-?", iris_gateway.endpoint).splitlines()
    signatures = dict(line.rstrip(")").split("(", 1) for line in lines)
    assert set(signatures) >= METHODS
    assert "data" in signatures["iris_model_predict"]
    assert "rows" in signatures["iris_model_predict_batch"]
    assert "qualified_name" in signatures["get_model_metadata"]


def test_it_explains_one_method(iris_gateway):
    output = output_of(COMMAND, "-?", iris_gateway.endpoint, "iris_model_predict")
    title, signature, blank, *docs = output.splitlines()
    assert title.startswith("[")
    assert signature.startswith("iris_model_predict(")
    assert blank == ""
    assert docs[0] not in {"", UNDOCUMENTED}


def test_it_says_so_when_a_method_is_unknown(iris_gateway):
    output = output_of(COMMAND, "-?", iris_gateway.endpoint, "no_such_method")
    assert 'No documentation for "no_such_method".' in output


def test_it_prints_a_prediction_as_json(iris_gateway):
    output = output_of(
        sys.executable,
        WITH_ITERATOR,
        *("-j", "-pj", iris_gateway.endpoint, "iris_model_predict", json.dumps(SETOSA)),
    )
    assert is_a_prediction(json.loads(output))


def test_it_prints_a_stream_as_a_json_array(iris_gateway):
    output = output_of(
        sys.executable,
        WITH_ITERATOR,
        *("-j", "-pj", iris_gateway.endpoint, "iris_model_predict_stream"),
        json.dumps([SETOSA, SETOSA]),
    )
    assert sorted(item["index"] for item in json.loads(output)) == [0, 1]
