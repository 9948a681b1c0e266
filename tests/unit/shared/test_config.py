"""Defaults, layers and errors of the configuration."""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeropool.shared.config import (
    Config,
    GatewaySettings,
    ModelSettings,
    WorkerSettings,
    load,
    runtime_dir,
    workers_endpoint,
)
from zeropool.shared.errors import ConfigError

IRIS = ModelSettings(module_name="iris_model.iris_predict", class_name="IrisModel")
OPTIONS = {"gateway.bind": "--bind", "worker.count": "--workers"}


@pytest.fixture
def configure(tmp_path):
    """Loads from the text of a `zeropool.toml`, variables and options."""

    def configure(toml=None, flags=None, **environ):
        if toml is not None:
            (tmp_path / "zeropool.toml").write_text(toml)
        return load(None, environ, flags or {}, OPTIONS, cwd=tmp_path)

    return configure


@pytest.fixture
def refused(configure):
    """The message with which such a configuration is refused."""

    def refused(toml=None, flags=None, **environ):
        with pytest.raises(ConfigError) as caught:
            configure(toml, flags, **environ)
        return str(caught.value)

    return refused


# Defaults


def test_nothing_at_all_gives_the_defaults(configure):
    assert configure() == Config()


def test_without_models_the_iris_model_is_hosted(configure):
    assert configure().models == (IRIS,)


def test_a_file_without_models_hosts_the_iris_model(configure):
    assert configure("[worker]\ncount = 2").models == (IRIS,)


def test_a_configuration_cannot_be_changed(configure):
    with pytest.raises(AttributeError):
        configure().gateway.bind = "tcp://127.0.0.1:1"


def test_a_configuration_survives_the_way_to_another_process(configure):
    config = configure('[worker]\ngateways = ["tcp://10.0.0.1:4243"]')
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(config), type=Config) == config


def test_the_default_configuration_passes_its_own_rules(configure):
    tables = msgspec.to_builtins(Config())
    flags = {f"{s}.{k}": v for s, t in tables.items() if s != "models" for k, v in t.items()}
    assert configure(flags=flags) == Config()


def test_no_count_means_one_worker_per_core():
    assert WorkerSettings().effective_count(cores=8) == 8


def test_a_count_is_taken_at_its_word():
    assert WorkerSettings(count=3).effective_count(cores=8) == 3


# Layers


def test_the_file_is_read(configure):
    config = configure(
        """
        [gateway]
        bind = "ipc:///run/zeropool/front.ipc"
        drain_s = 5
        [worker]
        gateways = ["tcp://10.0.0.1:4243", "ipc:///run/g.ipc"]
        [[models]]
        module_name = "a.b"
        class_name = "C"
        max_wait_ms = 2.5
        [log]
        level = "ERROR"
        """,
    )
    assert config.gateway == GatewaySettings(bind="ipc:///run/zeropool/front.ipc", drain_s=5.0)
    assert config.worker.gateways == ("tcp://10.0.0.1:4243", "ipc:///run/g.ipc")
    assert config.models == (ModelSettings(module_name="a.b", class_name="C", max_wait_ms=2.5),)
    assert config.log.level == "ERROR"


def test_the_environment_beats_the_file(configure):
    assert configure("worker.count = 2", ZEROPOOL_WORKER_COUNT="3").worker.count == 3


def test_an_option_beats_the_environment(configure):
    config = configure(flags={"worker.count": 4}, ZEROPOOL_WORKER_COUNT="3")
    assert config.worker.count == 4


def test_an_option_that_was_not_given_beats_nothing(configure):
    config = configure(flags={"worker.count": None}, ZEROPOOL_WORKER_COUNT="3")
    assert config.worker.count == 3


def test_each_type_is_parsed_from_the_environment(configure):
    config = configure(
        ZEROPOOL_GATEWAY_BIND="tcp://*:4242",
        ZEROPOOL_GATEWAY_INSECURE_PUBLIC="true",
        ZEROPOOL_GATEWAY_DRAIN_S="0.5",
        ZEROPOOL_WORKER_GATEWAYS="tcp://a:1, tcp://b:2",
        ZEROPOOL_LOG_LEVEL="DEBUG",
    )
    assert config.gateway.bind == "tcp://*:4242"
    assert config.gateway.drain_s == 0.5
    assert config.worker.gateways == ("tcp://a:1", "tcp://b:2")
    assert config.log.level == "DEBUG"


def test_variables_of_the_test_suite_are_left_alone(configure):
    assert configure(ZEROPOOL_TEST_X="1", ZEROPOOL_REQUIRE_NODE="1") == Config()


def test_variables_that_kubernetes_sets_for_a_service_are_left_alone(configure):
    links = {
        "ZEROPOOL_SERVICE_HOST": "10.0.0.1",
        "ZEROPOOL_SERVICE_PORT_ZERORPC": "4242",
        "ZEROPOOL_PORT": "tcp://10.0.0.1:4242",
        "ZEROPOOL_GATEWAY_PORT_4242_TCP_ADDR": "10.0.0.1",
    }
    assert configure(**links) == Config()


# Which file


def test_the_variable_names_the_file(configure, tmp_path):
    (tmp_path / "other.toml").write_text("worker.count = 7")
    assert configure("worker.count = 1", ZEROPOOL_CONFIG="other.toml").worker.count == 7


def test_an_argument_names_the_file_before_the_variable(tmp_path):
    (tmp_path / "mine.toml").write_text("worker.count = 5")
    config = load(Path("mine.toml"), {"ZEROPOOL_CONFIG": "other.toml"}, {}, cwd=tmp_path)
    assert config.worker.count == 5


def test_a_file_that_was_named_must_exist(refused):
    message = refused(ZEROPOOL_CONFIG="other.toml")
    assert message == "other.toml: no such file (named by ZEROPOOL_CONFIG)"


def test_a_file_that_cannot_be_read_is_named(refused, tmp_path):
    (tmp_path / "zeropool.toml").mkdir()
    assert refused() == "zeropool.toml: cannot be read: Is a directory"


def test_a_file_that_is_not_text_is_named(refused, tmp_path):
    (tmp_path / "zeropool.toml").write_bytes(b"\xff\xfe")
    assert refused().startswith("zeropool.toml: not a text file in UTF-8: ")


def test_a_syntax_error_names_its_line(refused):
    assert "(at line 2, column " in refused("[worker]\ncount 2")


def test_deep_nesting_is_a_configuration_error(refused):
    assert refused("a = " + "[" * 100_000) == "zeropool.toml: not usable TOML: nested too deeply"


# Profiles


@pytest.mark.parametrize(
    ("profile", "level"),
    [
        ("ProdConfig", "INFO"),
        ("BetaConfig", "DEBUG"),
        ("TestConfig", "DEBUG"),
        ("DevConfig", "DEBUG"),
    ],
)
def test_profiles_ship(configure, profile, level):
    config = configure(APP_SETTINGS=profile)
    assert config.log.level == level
    assert config.gateway.bind == Config().gateway.bind


def test_a_profile_of_the_file_is_merged_over_the_shipped_one(configure):
    config = configure("[profiles.DevConfig.worker]\nthreads = 4", APP_SETTINGS="DevConfig")
    assert (config.worker.threads, config.worker.count) == (4, 2)


def test_a_profile_of_the_file_beats_its_tables(configure):
    toml = "[worker]\ncount = 3\nthreads = 2\n[profiles.Mine.worker]\ncount = 9"
    config = configure(toml, APP_SETTINGS="Mine")
    assert (config.worker.count, config.worker.threads) == (9, 2)


def test_the_tables_of_the_file_beat_a_shipped_profile(configure):
    config = configure("[worker]\ncount = 3", APP_SETTINGS="DevConfig")
    assert (config.worker.count, config.log.level) == (3, "DEBUG")


def test_a_profile_replaces_the_models(configure):
    toml = """
    [[models]]
    module_name = "a"
    class_name = "A"
    [[profiles.Mine.models]]
    module_name = "b"
    class_name = "B"
    """
    models = configure(toml, APP_SETTINGS="Mine").models
    assert [model.class_name for model in models] == ["B"]


def test_a_profile_that_was_not_chosen_changes_nothing(configure):
    assert configure("[profiles.Mine.worker]\ncount = 9") == Config()


def test_an_unknown_profile_is_refused_with_those_there_are(refused):
    assert refused("[profiles.Mine]", APP_SETTINGS="DevConfg") == (
        'environment variable APP_SETTINGS = "DevConfg": unknown profile; '
        'did you mean "DevConfig"? allowed: BetaConfig, DevConfig, Mine, ProdConfig, TestConfig'
    )


def test_a_mistake_in_a_profile_that_was_not_chosen_is_found(refused):
    assert refused("[profiles.Mine.worker]\ncount = -1") == (
        "zeropool.toml: profiles.Mine.worker.count = -1: expected an integer ≥ 0 and ≤ 1024"
    )


# Errors name source, key, value and what is allowed


def test_a_wrong_value_names_the_file(refused):
    assert refused('worker.count = "two"') == (
        'zeropool.toml: worker.count = "two": expected an integer ≥ 0 and ≤ 1024'
    )


def test_a_wrong_value_names_the_variable(refused):
    assert refused(ZEROPOOL_WORKER_COUNT="two") == (
        'environment variable ZEROPOOL_WORKER_COUNT: worker.count = "two": '
        "expected an integer ≥ 0 and ≤ 1024"
    )


def test_a_wrong_value_names_the_option(refused):
    assert refused(flags={"worker.count": "two"}) == (
        '--workers: worker.count = "two": expected an integer ≥ 0 and ≤ 1024'
    )


def test_a_wrong_value_is_refused_even_where_another_layer_beats_it(refused):
    assert refused("worker.count = -1", ZEROPOOL_WORKER_COUNT="1").startswith("zeropool.toml: ")


def test_an_unknown_key_is_refused_with_near_matches(refused):
    message = refused('gateway.bnid = "tcp://127.0.0.1:1"')
    assert message.startswith(
        'zeropool.toml: gateway.bnid: unknown key; did you mean "bind"? allowed: bind, drain_s, '
    )


def test_an_unknown_table_is_refused_with_those_there_are(refused):
    assert refused("[workers]") == (
        'zeropool.toml: workers: unknown key; did you mean "worker"? '
        "allowed: gateway, http, log, models, profiles, serve, worker"
    )


def test_an_unknown_variable_is_refused_with_near_matches(refused):
    message = refused(ZEROPOOL_GATEWAY_BNID="x")
    assert message.startswith(
        "environment variable ZEROPOOL_GATEWAY_BNID: unknown variable; "
        'did you mean "ZEROPOOL_GATEWAY_BIND"'
    )


def test_a_port_of_ones_own_is_not_taken_for_one_of_kubernetes(refused):
    assert "ZEROPOOL_PORT: unknown variable" in refused(ZEROPOOL_PORT="4242")


def test_an_unknown_option_is_refused(refused):
    assert 'option: gateway.bnid: unknown key; did you mean "gateway.bind"' in refused(
        flags={"gateway.bnid": 1},
    )


def test_options_cannot_set_models(refused):
    assert "option: models: unknown key" in refused(flags={"models": "iris"})


def test_a_table_must_be_a_table(refused):
    assert refused("worker = 3") == "zeropool.toml: worker = 3: expected a table, [worker]"


def test_models_must_be_tables(refused):
    message = "zeropool.toml: models = 3: expected an array of tables, [[models]]"
    assert refused("models = 3") == message


def test_an_empty_list_of_models_is_refused(refused):
    assert refused("models = []") == (
        "zeropool.toml: models = []: expected at least one [[models]] table, or none and no key"
    )


def test_a_model_needs_its_class(refused):
    assert refused('[[models]]\nmodule_name = "a"') == (
        "zeropool.toml: models[0].class_name: missing; expected the name of a class in the module"
    )


def test_a_module_needs_a_name_that_can_be_imported(refused):
    message = refused('[[models]]\nmodule_name = "iris-model"\nclass_name = "A"')
    assert message.startswith('zeropool.toml: models[0].module_name = "iris-model": expected a mod')


def test_profiles_must_be_tables(refused):
    assert refused("profiles = 1").startswith("zeropool.toml: profiles = 1: expected tables")
    assert refused("profiles.X = 1").startswith("zeropool.toml: profiles.X = 1: expected tables")


def test_an_item_of_a_list_is_named_by_its_place(refused):
    assert refused('worker.gateways = ["tcp://a:1", "tcp://b"]') == (
        'zeropool.toml: worker.gateways[1] = "tcp://b": '
        "expected tcp://HOST:PORT, an IPv6 host in brackets"
    )


def test_a_list_must_be_a_list(refused):
    message = refused('worker.gateways = "tcp://a:1"')
    assert message.endswith('worker.gateways = "tcp://a:1": expected a list of strings')


def test_a_level_is_one_of_four(refused):
    assert refused('log.level = "LOUD"') == (
        'zeropool.toml: log.level = "LOUD": expected one of "DEBUG", "ERROR", "INFO", "WARNING"'
    )


def test_a_value_cannot_break_the_line_of_its_error(refused):
    assert '"a\\nb\\u2028c"' in refused(flags={"log.level": "a\nb\u2028c"})


def test_a_number_too_long_to_print_is_refused(refused):
    assert refused("worker.count = 0x" + "f" * 5000).startswith(
        "zeropool.toml: worker.count = <int>: expected an integer"
    )


@pytest.mark.parametrize(
    "toml",
    [
        "gateway.max_attempts = 0",
        "gateway.max_reply_bytes = 4095",
        "gateway.max_request_bytes = 4294967296",
        "gateway.max_unread_bytes = 1.5",
        "gateway.max_queue = 0",
        "gateway.drain_s = inf",
        "gateway.stream_idle_s = 0",
        "gateway.startup_grace_s = nan",
        "gateway.insecure_public = 1",
        'gateway.name = ""',
        "worker.threads = true",
        "worker.count = 99999999999999999999999",
    ],
)
def test_bounds_are_kept(refused, toml):
    key = toml.partition(" = ")[0]
    assert refused(toml).startswith(f"zeropool.toml: {key} = ")


# Endpoints


@pytest.mark.parametrize("key", ["gateway.bind", "gateway.workers_bind", "worker.bind"])
def test_a_public_endpoint_is_refused(refused, key):
    assert refused(f'{key} = "tcp://192.0.2.1:4242"') == (
        f'zeropool.toml: {key} = "tcp://192.0.2.1:4242": binds to a public address; set '
        "gateway.insecure_public = true or --insecure-public to do so without encryption"
    )


def test_a_public_http_address_is_refused(refused, configure):
    assert refused('http.bind = "0.0.0.0:9100"') == (
        'zeropool.toml: http.bind = "0.0.0.0:9100": binds to a public address; set '
        "gateway.insecure_public = true or --insecure-public to do so without encryption"
    )
    flags = {"gateway.insecure_public": True, "http.bind": "0.0.0.0:9100"}
    assert configure(flags=flags).http.bind == "0.0.0.0:9100"


@pytest.mark.parametrize(
    "text", ["9100", "http://127.0.0.1:9100", ":9100", "127.0.0.1", "::1:9100"]
)
def test_an_http_address_is_a_host_and_a_port(refused, text):
    assert refused(f'http.bind = "{text}"') == (
        f'zeropool.toml: http.bind = "{text}": expected HOST:PORT, an IPv6 host in brackets'
    )


def test_the_port_for_http_is_fixed(refused):
    assert "expected a fixed port" in refused('http.bind = "127.0.0.1:0"')


def test_there_is_no_http_unless_it_is_asked_for(configure):
    assert not configure().http.bind
    assert configure('http.bind = "[::1]:9100"').http.bind == "[::1]:9100"
    assert not configure('http.bind = "127.0.0.1:9100"', ZEROPOOL_HTTP_BIND="").http.bind


def test_a_worker_does_not_bind_to_an_address_to_which_no_gateway_could_connect(refused):
    message = refused('worker.bind = "tcp://*:*"')
    assert "expected an address that gateways can connect to, not a wildcard" in message


def test_the_refusal_of_a_public_endpoint_names_the_layer_that_set_it(refused):
    message = refused('gateway.bind = "tcp://127.0.0.1:1"', flags={"gateway.bind": "tcp://*:4242"})
    assert message.startswith('--bind: gateway.bind = "tcp://*:4242": binds to a public address')


def test_a_public_endpoint_that_another_layer_replaced_does_no_harm(configure):
    config = configure('gateway.bind = "tcp://*:1"', ZEROPOOL_GATEWAY_BIND="tcp://[::1]:2")
    assert config.gateway.bind == "tcp://[::1]:2"


def test_a_public_endpoint_is_allowed_on_demand(configure):
    flags = {"gateway.insecure_public": True, "gateway.bind": "tcp://*:4242"}
    assert configure(flags=flags).gateway.bind == "tcp://*:4242"


def test_workers_may_report_to_another_host(configure):
    assert configure(ZEROPOOL_WORKER_GATEWAYS="tcp://10.0.0.1:4243").worker.gateways


def test_only_a_worker_may_leave_its_port_open(configure, refused):
    assert configure(ZEROPOOL_WORKER_BIND="tcp://127.0.0.1:*").worker.bind
    assert "expected a fixed port" in refused(ZEROPOOL_GATEWAY_BIND="tcp://127.0.0.1:*")


def test_clients_need_an_endpoint(refused):
    assert "expected tcp://HOST:PORT or ipc://PATH" in refused('gateway.bind = ""')


# Names that follow from the configuration


def test_sockets_belong_in_the_runtime_directory_of_the_session():
    assert runtime_dir({"XDG_RUNTIME_DIR": "/run/user/1000"}) == Path("/run/user/1000/zeropool")


@pytest.mark.parametrize("environ", [{}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "relative"}])
def test_without_a_session_sockets_belong_in_a_directory_per_user(environ):
    assert runtime_dir(environ).parent == Path("/tmp")  # noqa: S108
    assert runtime_dir(environ).name.startswith("zeropool-")


def test_workers_report_where_they_are_told():
    config = Config(gateway=GatewaySettings(workers_bind="ipc:///run/w.ipc"))
    assert workers_endpoint(config, Path("/run/z")) == "ipc:///run/w.ipc"


def test_workers_report_beside_the_port_of_the_gateway():
    assert workers_endpoint(Config(), Path("/run/z")) == "ipc:///run/z/gateway-4242.ipc"


def test_gateways_with_different_endpoints_do_not_share_their_workers_endpoint():
    binds = ["tcp://127.0.0.1:4242", "tcp://127.0.0.2:4242", "ipc:///a", "ipc:///b"]
    configs = [Config(gateway=GatewaySettings(bind=bind)) for bind in binds]
    assert len({workers_endpoint(config, Path("/run/z")) for config in configs}) == len(binds)


def test_a_runtime_directory_too_long_for_a_socket_is_refused():
    with pytest.raises(ConfigError, match=r"at most 107 bytes; set gateway\.workers_bind or XDG"):
        workers_endpoint(Config(), Path("/" + "d" * 100))


# Whatever comes in, only ConfigError comes out

KEYS = [
    f"{section}.{key}"
    for section, table in msgspec.to_builtins(Config()).items()
    if section != "models"
    for key in table
]
SCALARS = st.one_of(
    st.text(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.binary(),
    st.just(dt.datetime(2026, 11, 23, tzinfo=dt.UTC)),
    st.just(object()),
)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


@given(st.dictionaries(st.sampled_from(KEYS) | st.text(), JUNK))
def test_any_junk_in_options_is_a_configuration_error(flags):
    with contextlib.suppress(ConfigError):
        load(None, {}, flags, cwd=Path("/nonexistent"))


@given(st.sampled_from(KEYS), st.text())
def test_any_junk_in_the_environment_is_a_configuration_error(key, text):
    variable = "ZEROPOOL_" + key.replace(".", "_").upper()
    with contextlib.suppress(ConfigError):
        load(None, {variable: text, "APP_SETTINGS": text}, {}, cwd=Path("/nonexistent"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary() | st.tuples(st.sampled_from(KEYS), st.text()).map(" = ".join).map(str.encode))
def test_any_junk_in_the_file_is_a_configuration_error(tmp_path, raw):
    (tmp_path / "junk.toml").write_bytes(raw)
    with contextlib.suppress(ConfigError):
        load(Path("junk.toml"), {}, {}, cwd=tmp_path)
