"""The `zeropool` command as its user meets it: what it prints, where, and with which exit code."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from harness import (
    ZEROPOOL,
    Command,
    Service,
    environment,
    free_endpoint,
    model_tables,
    run_zeropool,
    wait_until,
)
from interop.iris_facts import BAD_ROW, MODEL, REJECTED, REJECTION, SETOSA, is_a_prediction

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78
COMMANDS = ("serve", "gateway", "worker", "call", "models", "status", "bench")
ROW = json.dumps(SETOSA)

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ask(iris_gateway: Service) -> Ask:
    """Runs `zeropool COMMAND --connect ENDPOINT …` against the iris model."""

    def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_zeropool(command, "--connect", iris_gateway.endpoint, *arguments)

    return run


# Calling


def test_a_call_prints_its_answer_as_one_line_of_json(ask):
    done = ask("call", "iris_model_predict", ROW)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert is_a_prediction(json.loads(done.stdout))


def test_a_stream_prints_a_line_for_each_item(ask):
    done = ask("call", "iris_model_predict_stream", json.dumps([SETOSA] * 300))
    assert (done.returncode, done.stderr) == (0, "")
    items = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(item["index"] for item in items) == list(range(300))


def test_an_empty_stream_prints_nothing(ask):
    done = ask("call", "iris_model_predict_stream", "[]")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_error_of_the_call_is_name_and_message_on_stderr(ask):
    done = ask("call", "iris_model_predict", json.dumps(BAD_ROW))
    assert (done.returncode, done.stdout) == (EXIT_ERROR, "")
    assert done.stderr == f"{REJECTED}: {REJECTION}\n"


def test_an_unknown_method_is_a_name_error(ask):
    done = ask("call", "no_such_method")
    assert (done.returncode, done.stderr) == (EXIT_ERROR, "NameError: no_such_method\n")


def test_an_argument_that_is_not_json_is_a_mistake_of_usage(ask):
    done = ask("call", "get_model_metadata", "iris_model")
    assert (done.returncode, done.stdout) == (EXIT_USAGE, "")
    assert "argument 1 is not JSON: 'iris_model'" in done.stderr
    suggestion = done.stderr.rstrip().rpartition(": ")[2]
    assert suggestion == "'\"iris_model\"'"
    assert ask("call", "get_model_metadata", suggestion.strip("'")).returncode == 0


def test_a_call_to_nobody_says_so_and_how_to_start_one():
    endpoint = free_endpoint()
    started_at = time.monotonic()
    done = run_zeropool("call", "--connect", endpoint, "get_models")
    assert done.returncode == EXIT_ERROR
    assert endpoint in done.stderr
    assert "zeropool serve" in done.stderr
    assert done.stderr.count("\n") == 1
    assert time.monotonic() - started_at < 10


def test_a_call_to_no_endpoint_says_so():
    done = run_zeropool("call", "--connect", "localhost:4242", "get_models")
    assert done.returncode in {EXIT_ERROR, EXIT_USAGE, EXIT_CONFIG}
    assert "localhost:4242" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_timeout_is_told_by_its_name(serve):
    service = serve(model_tables("fixture_models.slow.SleepModel"), workers=1).ready()
    done = run_zeropool(
        *("call", "--connect", service.endpoint, "--timeout", "0.2"),
        *("sleeper_predict", '{"sleep_s": 1}'),
    )
    assert done.returncode == EXIT_ERROR
    assert done.stderr == (
        "TimeoutExpired: timeout after 0.2s, when calling remote method sleeper_predict\n"
    )


def test_the_reader_of_a_long_stream_may_leave_early(serve):
    service = serve(model_tables("fixture_models.plain.EchoModel"), workers=1).ready()
    # As many as fit into an argument; what they print is more than a pipe holds.
    rows = json.dumps(list(range(20_000)))
    with subprocess.Popen(
        [*ZEROPOOL, "call", "--connect", service.endpoint, "echo_predict_stream", rows],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "index" in json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(10) == EXIT_ERROR
    # A drain would wait until the gateway has noticed that the caller left.
    service.send(signal.SIGINT)
    assert service.wait() == 0


def test_ctrl_c_ends_a_call_that_waits_without_a_traceback(serve, stopped_at_the_end):
    service = serve(model_tables("fixture_models.slow.SleepModel"), workers=1).ready()
    caller = stopped_at_the_end(
        Command(["call", "--connect", service.endpoint, "sleeper_predict", '{"sleep_s": 2}'])
    )

    def is_waiting() -> bool:
        return service.call("get_status")["workers"][0]["in_flight"] == 1

    wait_until(is_waiting, "the call is with the worker")
    caller.send(signal.SIGINT)
    assert caller.wait() == 130
    assert caller.output == ""


# Models and status


def test_models_are_listed_for_people_and_for_programs(ask):
    done = ask("models")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[:2] == ["iris_model", "0.1"]
    assert MODEL["description"] in done.stdout
    assert json.loads(ask("models", "--json").stdout) == [MODEL]


def test_status_is_told_to_people_and_to_programs(ask, iris_gateway):
    told = json.loads(ask("status", "--json").stdout)
    assert told["state"] == "serving"
    assert [worker["state"] for worker in told["workers"]] == ["ready", "ready"]
    done = ask("status")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{told['name']} {told['version']} serving for ")
    assert sum(line.startswith("  worker ") for line in lines) == 2
    assert sum(line.startswith("  model iris_model: 2 workers") for line in lines) == 1
    for pid in iris_gateway.worker_pids():
        assert f"pid {pid} " in done.stdout


# Help and mistakes


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_an_example_that_it_would_take(command):
    done = run_zeropool(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    _, _, example = done.stdout.partition("example:\n")
    assert example.strip().startswith(f"zeropool {command}")


def test_the_help_lists_the_commands():
    done = run_zeropool("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^ +{command} ", done.stdout, re.MULTILINE)


def test_the_version_is_told():
    done = run_zeropool("--version")
    assert re.fullmatch(r"zeropool \d+\.\d+\.\d+\S* \((compiled|Python source)\)\n", done.stdout)


@pytest.mark.parametrize("arguments", [(), ("no_such_command",), ("serve", "--no-such-option")])
def test_wrong_usage_is_exit_code_2_without_a_traceback(arguments):
    done = run_zeropool(*arguments)
    assert done.returncode == EXIT_USAGE
    assert "usage: zeropool" in done.stderr
    assert "Traceback" not in done.stderr


# Configuration, from end to end

WRONG = {
    "a number out of range": ("gateway.max_queue = 0", ("gateway.max_queue", "0", "1")),
    "an unknown key": ("[gateway]\nport = 4242", ("gateway.port", "bind")),
    "an unknown section": ("[gatway]\nbind = ''", ("gatway", "gateway")),
    "a wrong type": ('[worker]\ncount = "two"', ("worker.count", "'two'", "int")),
    "no endpoint": ('gateway.bind = "4242"', ("gateway.bind", "4242", "tcp://HOST:PORT")),
    "a public address": (
        'gateway.bind = "tcp://0.0.0.0:4242"',
        ("gateway.bind", "tcp://0.0.0.0:4242", "insecure_public"),
    ),
    "a model without a class": ('[[models]]\nmodule_name = "a"', ("models", "class_name")),
    "a level": ('log.level = "LOUD"', ("log.level", "LOUD", "DEBUG")),
    "no toml": ("[gateway", ("not TOML",)),
}


@pytest.mark.parametrize(("toml", "parts"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_named_with_file_key_value_and_what_is_allowed(tmp_path, toml, parts):
    (tmp_path / "zeropool.toml").write_text(toml)
    done = run_zeropool("serve", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (EXIT_CONFIG, "")
    assert done.stderr.startswith("zeropool: zeropool.toml: ")
    assert done.stderr.count("\n") == 1
    for part in parts:
        assert part.replace("'", "") in done.stderr.replace('"', "").replace("'", "")


def test_a_wrong_variable_is_named(tmp_path):
    done = run_zeropool("serve", cwd=tmp_path, extra_env={"ZEROPOOL_WORKER_COUNT": "many"})
    assert done.returncode == EXIT_CONFIG
    assert "ZEROPOOL_WORKER_COUNT" in done.stderr
    assert "many" in done.stderr


def test_an_unknown_profile_is_named_with_those_there_are(tmp_path):
    done = run_zeropool("serve", cwd=tmp_path, extra_env={"APP_SETTINGS": "ProdConfg"})
    assert done.returncode == EXIT_CONFIG
    for part in ("APP_SETTINGS", "ProdConfg", "ProdConfig", "DevConfig"):
        assert part in done.stderr


def test_a_missing_file_is_named(tmp_path):
    done = run_zeropool("serve", "--config", "nowhere.toml", cwd=tmp_path)
    assert done.returncode == EXIT_CONFIG
    assert "nowhere.toml: no such file" in done.stderr


def name_of(endpoint: str) -> str:
    done = run_zeropool("call", "--connect", endpoint, "_zerorpc_name")
    name: str = json.loads(done.stdout)
    return name


def test_flags_beat_the_environment_which_beats_the_file(tmp_path, stopped_at_the_end):
    in_file, in_environment, by_flag = (free_endpoint() for _ in range(3))
    (tmp_path / "zeropool.toml").write_text(
        f'[gateway]\nbind = "{in_file}"\nname = "from the file"\n[worker]\ncount = 3\n'
    )
    variables = {"ZEROPOOL_GATEWAY_BIND": in_environment, "ZEROPOOL_WORKER_COUNT": "2"}
    command = Command(
        ["serve", "--bind", by_flag, "--workers", "1"], cwd=tmp_path, extra_env=variables
    )
    stopped_at_the_end(command).wait_for_output("stop it")
    assert name_of(by_flag) == "from the file"
    assert "workers  1" in command.output


def test_the_environment_beats_the_file_and_calls_find_the_same_gateway(
    tmp_path, stopped_at_the_end
):
    in_file, in_environment = free_endpoint(), free_endpoint()
    (tmp_path / "zeropool.toml").write_text(f'gateway.bind = "{in_file}"\nworker.count = 1\n')
    variables = {"ZEROPOOL_GATEWAY_BIND": in_environment}
    command = stopped_at_the_end(Command(["serve"], cwd=tmp_path, extra_env=variables))
    command.wait_for_output("stop it")
    assert f"serves {in_environment}" in command.output
    done = run_zeropool("models", cwd=tmp_path, extra_env=variables)
    assert "iris_model" in done.stdout


def test_a_profile_of_the_file_is_chosen_by_app_settings(tmp_path, stopped_at_the_end):
    endpoint = free_endpoint()
    (tmp_path / "zeropool.toml").write_text(
        f'[gateway]\nbind = "{endpoint}"\nname = "everywhere"\n'
        '[worker]\ncount = 3\n[profiles.TestConfig.gateway]\nname = "in tests"\n'
    )
    command = Command(["serve"], cwd=tmp_path, extra_env={"APP_SETTINGS": "TestConfig"})
    stopped_at_the_end(command).wait_for_output("stop it")
    assert name_of(endpoint) == "in tests"
    # The shipped TestConfig says 2; the file, which somebody wrote for this service, says 3.
    assert "workers  3" in command.output
    assert " DEBUG " in command.output


def test_a_shipped_profile_works_without_a_file(tmp_path, stopped_at_the_end):
    endpoint = free_endpoint()
    variables = {"APP_SETTINGS": "DevConfig", "ZEROPOOL_GATEWAY_BIND": endpoint}
    command = stopped_at_the_end(Command(["serve"], cwd=tmp_path, extra_env=variables))
    command.wait_for_output("stop it")
    assert "workers  2" in command.output


def test_a_file_can_be_named_by_flag_and_by_variable(tmp_path, stopped_at_the_end):
    endpoints = [free_endpoint(), free_endpoint()]
    for name, endpoint in zip(("flag", "variable"), endpoints, strict=True):
        (tmp_path / f"{name}.toml").write_text(
            f'gateway.bind = "{endpoint}"\ngateway.name = "{name}"\nworker.count = 1\n'
        )
    by_flag = Command(["serve", "--config", "flag.toml"], cwd=tmp_path)
    stopped_at_the_end(by_flag)
    by_variable = Command(
        ["serve"], cwd=tmp_path, extra_env={"ZEROPOOL_CONFIG": str(tmp_path / "variable.toml")}
    )
    stopped_at_the_end(by_variable)
    for command in (by_flag, by_variable):
        command.wait_for_output("stop it")
    assert [name_of(endpoint) for endpoint in endpoints] == ["flag", "variable"]
