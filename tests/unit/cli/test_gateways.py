from pathlib import Path

import pytest

from zeropool.cli.gateways import (
    gateway_config,
    gateway_names,
    kept_as_running,
    workers_endpoints,
)
from zeropool.shared.config import (
    Config,
    GatewaySettings,
    HttpSettings,
    ServeSettings,
    WorkerSettings,
)
from zeropool.shared.errors import ConfigError

RUN = Path("/run/z")


def config(gateways=1, http="", workers_bind="", workers=0):
    return Config(
        gateway=GatewaySettings(workers_bind=workers_bind),
        serve=ServeSettings(gateways=gateways),
        http=HttpSettings(bind=http),
        worker=WorkerSettings(count=workers),
    )


def test_one_gateway_is_called_as_ever():
    assert gateway_names(1) == ["gateway"]
    assert workers_endpoints(config(), RUN) == ["ipc:///run/z/gateway.ipc"]


def test_several_gateways_have_numbers_and_endpoints_of_their_own():
    assert gateway_names(2) == ["gateway-0", "gateway-1"]
    assert workers_endpoints(config(2), RUN) == [
        "ipc:///run/z/gateway-0.ipc",
        "ipc:///run/z/gateway-1.ipc",
    ]


@pytest.mark.parametrize(
    ("configured", "found"),
    [
        ("tcp://127.0.0.1:4243", ["tcp://127.0.0.1:4243", "tcp://127.0.0.1:4244"]),
        ("tcp://[::1]:4243", ["tcp://[::1]:4243", "tcp://[::1]:4244"]),
        ("ipc:///run/w", ["ipc:///run/w", "ipc:///run/w.1"]),
    ],
)
def test_a_configured_endpoint_for_workers_is_the_first_ones(configured, found):
    assert workers_endpoints(config(2, workers_bind=configured), RUN) == found


def test_each_gateway_tells_of_itself_on_the_next_port():
    several = config(3, http="127.0.0.1:9100")
    binds = [gateway_config(several, index).http.bind for index in range(3)]
    assert binds == ["127.0.0.1:9100", "127.0.0.1:9101", "127.0.0.1:9102"]
    assert gateway_config(config(2, http="[::1]:80"), 1).http.bind == "[::1]:81"
    assert gateway_config(config(2), 1) == config(2)


def test_a_gateway_without_a_port_of_its_own_is_refused():
    with pytest.raises(ConfigError, match=r"http.bind = '127.0.0.1:65535'.* would need port 65536"):
        gateway_config(config(2, http="127.0.0.1:65535"), 1)
    with pytest.raises(ConfigError, match=r"gateway.workers_bind.* would need port 65536"):
        workers_endpoints(config(2, workers_bind="tcp://127.0.0.1:65535"), RUN)


def test_what_gateways_were_started_with_stays_through_a_reload():
    running = config(2, http="127.0.0.1:9100", workers=2)
    new = config(3, http="127.0.0.1:9200", workers_bind="tcp://127.0.0.1:1", workers=5)
    kept = kept_as_running(new, running)
    assert kept == config(2, http="127.0.0.1:9100", workers=5)
    assert kept_as_running(kept, running) == kept
