"""From the command line to a configuration and an exit code, without any process."""

import argparse
import shlex
import sys
from importlib import metadata

import pytest

from zeropool.cli import call, main, options
from zeropool.cli.options import OPTION_NAMES
from zeropool.shared import config as configuration
from zeropool.shared import native
from zeropool.shared.config import Config
from zeropool.shared.errors import ConfigError

COMMANDS = ("serve", "gateway", "worker", "call", "models", "status", "bench")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """An empty folder and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for variable in (configuration.CONFIG_VARIABLE, configuration.PROFILE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


def options_of(*argv):
    return options.parse(argv)


def load(*argv):
    return main._load(options_of(*argv))


def refusal(capsys, *argv):
    """The message with which argparse ends the process."""
    with pytest.raises(SystemExit) as ended:
        main.main(argv)
    assert ended.value.code == main.EXIT_USAGE
    return capsys.readouterr().err


def setting(config, key):
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


@pytest.mark.parametrize(
    ("argv", "key", "value"),
    [
        (["serve", "--bind", "tcp://127.0.0.1:5001"], "gateway.bind", "tcp://127.0.0.1:5001"),
        (["gateway", "--bind", "ipc:///run/z"], "gateway.bind", "ipc:///run/z"),
        (
            ["gateway", "--workers-bind", "tcp://127.0.0.1:5002"],
            "gateway.workers_bind",
            "tcp://127.0.0.1:5002",
        ),
        (["serve", "--workers", "3"], "worker.count", 3),
        (["serve", "--gateways", "4"], "serve.gateways", 4),
        (["worker", "--bind", "tcp://127.0.0.1:*"], None, None),
        (["worker", "--worker-bind", "tcp://127.0.0.1:*"], "worker.bind", "tcp://127.0.0.1:*"),
        (
            ["worker", "--gateway", "tcp://h:1", "--gateway", "tcp://h:2"],
            "worker.gateways",
            ("tcp://h:1", "tcp://h:2"),
        ),
        (["serve", "--log-level", "DEBUG"], "log.level", "DEBUG"),
        (["gateway", "--log-level", "ERROR"], "log.level", "ERROR"),
        (["worker", "--log-level", "WARNING"], "log.level", "WARNING"),
        (["serve", "--insecure-public"], "gateway.insecure_public", True),
        (["gateway", "--insecure-public"], "gateway.insecure_public", True),
        (["worker", "--insecure-public"], "gateway.insecure_public", True),
    ],
)
def test_an_option_sets_its_key(capsys, argv, key, value):
    if key is None:
        assert "unrecognized arguments: --bind" in refusal(capsys, *argv)
        return
    assert setting(load(*argv), key) == value


def test_every_option_of_the_table_is_an_option_of_a_command_and_a_setting():
    helps = "".join(_subparsers()[name].format_help() for name in COMMANDS)

    for key, option in OPTION_NAMES.items():
        assert option in helps
        setting(Config(), key)


def _subparsers():
    (action,) = (
        action
        for action in options.parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return action.choices


def test_the_commands_are_those_that_are_tested_here():
    assert tuple(_subparsers()) == tuple(main.COMMANDS) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_an_example_that_works(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main.main([command, "--help"])

    assert ended.value.code == 0
    text = capsys.readouterr().out
    example = text.partition("example:\n  ")[2].splitlines()[0]
    program, *argv = shlex.split(example)
    assert (program, argv[0]) == ("zeropool", command)
    assert options_of(*argv)


def test_the_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit):
        main.main(["--help"])

    text = capsys.readouterr().out
    assert all(f"    {command} " in text for command in COMMANDS)
    assert "example:" in text


def test_the_version_is_that_of_the_distribution(capsys):
    with pytest.raises(SystemExit):
        main.main(["--version"])

    form = "compiled" if native.is_used() else "Python source"
    assert capsys.readouterr().out == f"zeropool {metadata.version('zeropool')} ({form})\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["call"], "the following arguments are required: METHOD"),
        (["serve", "extra"], "unrecognized arguments: extra"),
        (["serve", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["call", "m", "--nonsense", "1"], "unrecognized arguments: --nonsense"),
        (["models", "--timeout", "nan"], "expected a number > 0"),
        (["models", "--timeout", "0"], "expected a number > 0"),
        (["models", "--timeout", "soon"], "soon: expected a number > 0"),
        (["worker", "--index", "-1"], "expected an integer ≥ 0"),
        (["worker", "--index", "x"], "x: expected an integer ≥ 0"),
    ],
)
def test_a_wrong_command_line_is_told_with_exit_code_2(capsys, argv, message):
    assert message in refusal(capsys, *argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["call", "add", "1", "-2", "--connect", "tcp://h:1"],
        ["call", "--connect", "tcp://h:1", "add", "1", "-2"],
        ["call", "add", "--connect", "tcp://h:1", "1", "-2"],
        ["call", "add", "1", "--connect", "tcp://h:1", "-2"],
    ],
)
def test_options_may_stand_anywhere_among_the_arguments_of_a_call(argv):
    options = options_of(*argv)

    assert (options.method, options.arguments) == ("add", ["1", "-2"])
    assert options.connect == "tcp://h:1"


def test_an_option_beats_the_environment_which_beats_the_file(tmp_path, monkeypatch):
    (tmp_path / "zeropool.toml").write_text(
        '[gateway]\nbind = "tcp://127.0.0.1:1"\n[worker]\ncount = 1\nthreads = 9\n'
    )
    monkeypatch.setenv("ZEROPOOL_GATEWAY_BIND", "tcp://127.0.0.1:2")
    monkeypatch.setenv("ZEROPOOL_WORKER_COUNT", "2")

    config = load("serve", "--bind", "tcp://127.0.0.1:3")

    assert config.gateway.bind == "tcp://127.0.0.1:3"
    assert config.worker.count == 2
    assert config.worker.threads == 9


def test_an_option_that_is_not_given_changes_nothing():
    assert load("serve") == Config()


def test_the_file_may_be_named(tmp_path):
    (tmp_path / "other.toml").write_text("[worker]\ncount = 5\n")

    assert load("serve", "--config", "other.toml").worker.count == 5


def test_an_error_names_the_option(capsys):
    with pytest.raises(ConfigError, match=r"--workers: worker.count = \"many\""):
        load("serve", "--workers", "many")


def test_an_unusable_configuration_ends_with_exit_code_78(capsys):
    assert main.main(["serve", "--log-level", "LOUD"]) == main.EXIT_CONFIG

    error = capsys.readouterr().err
    assert error.startswith("zeropool: --log-level: log.level = ")
    assert "Traceback" not in error


def test_a_public_address_needs_consent(capsys):
    assert main.main(["gateway", "--bind", "tcp://0.0.0.0:4242"]) == main.EXIT_CONFIG
    assert "--insecure-public" in capsys.readouterr().err

    assert load("gateway", "--bind", "tcp://0.0.0.0:4242", "--insecure-public")


def test_a_call_goes_where_the_configuration_says(monkeypatch):
    monkeypatch.setenv("ZEROPOOL_GATEWAY_BIND", "tcp://127.0.0.1:7")

    assert main._endpoint(options_of("models")) == "tcp://127.0.0.1:7"
    assert main._endpoint(options_of("models", "--connect", "tcp://h:1")) == "tcp://h:1"


@pytest.fixture
def answers(monkeypatch):
    """What the gateway answers; an exception is raised."""
    given = []
    asked = []

    def ask(endpoint, method, arguments, timeout_s, retry=None):
        asked.append((endpoint, method, arguments, timeout_s, retry))
        for answer in given:
            if isinstance(answer, BaseException):
                raise answer
            yield answer

    monkeypatch.setattr(call, "ask", ask)
    return given, asked


def test_a_call_prints_each_answer_as_a_line(answers, capsys):
    given, asked = answers
    given += [{"index": 0}, {"index": 1}]

    assert main.main(["call", "iris_predict_stream", "[1, 2]", "--timeout", "5"]) == 0

    assert capsys.readouterr().out == '{"index": 0}\n{"index": 1}\n'
    assert asked == [(configuration.DEFAULT_BIND, "iris_predict_stream", [[1, 2]], 5.0, None)]


def test_a_prediction_that_may_be_repeated_is_called_so(answers):
    assert main.main(["call", "iris_predict", "5", "--retry"]) == 0

    assert answers[1][0][-1] == call.repeating("iris_predict")


def test_a_call_with_an_argument_that_is_not_json_is_a_wrong_command_line(answers, capsys):
    assert main.main(["call", "m", "word"]) == main.EXIT_USAGE

    assert "argument 1 is not JSON" in capsys.readouterr().err
    assert answers[1] == []


@pytest.mark.parametrize("command", [["call", "m"], ["models"], ["status"]])
def test_a_call_that_fails_ends_with_exit_code_1(answers, capsys, command):
    answers[0].append(call.CallFailed("NameError: m"))

    assert main.main(command) == main.EXIT_ERROR

    assert capsys.readouterr().err == "NameError: m\n"


def test_models_are_printed_for_people_or_as_json(answers, capsys):
    answers[0].append([])

    assert main.main(["models"]) == 0
    assert capsys.readouterr().out.startswith("no models")
    assert main.main(["models", "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_an_interrupted_call_ends_as_shells_expect(answers):
    answers[0].append(KeyboardInterrupt())

    assert main.main(["call", "m"]) == main.EXIT_INTERRUPTED


def test_a_reader_that_has_seen_enough_is_no_error(answers, monkeypatch, tmp_path):
    answers[0].append(BrokenPipeError())
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)

        assert main.main(["call", "m"]) == main.EXIT_ERROR


def test_a_gateway_that_cannot_be_connected_to_is_a_mistake_in_the_options(capsys):
    assert "foo: expected tcp://HOST:PORT or ipc://PATH" in refusal(
        capsys, "models", "--connect", "foo"
    )
