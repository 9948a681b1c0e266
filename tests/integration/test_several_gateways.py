"""`zeropool serve --gateways 2`: one port, two gateways, workers that work for both."""

import contextlib
import re
import signal
import urllib.request

import psutil
import pytest
from harness import Service, free_endpoint, model_tables, run_zeropool, wait_until
from interop.iris_facts import SETOSA, is_a_prediction
from raw_dealer import RawDealer

EXIT_CONFIG = 78
#: The kernel deals at random: that all of these land on one gateway happens once in 10^11 runs.
CLIENTS = 40
#: `serve` tells there which process is which.
DEBUG = '[log]\nlevel = "DEBUG"\n'
SLEEPER = DEBUG + model_tables("fixture_models.slow.SleepModel")


def two_gateways(serve, toml=DEBUG, *arguments, workers=2) -> Service:
    return serve(toml, workers=workers, arguments=("--gateways", "2", *arguments)).ready()


@contextlib.contextmanager
def clients(service: Service):
    """Connections of their own, by the gateway on which each has landed."""
    with contextlib.ExitStack() as stack:
        found: dict[str, list[RawDealer]] = {}
        for _ in range(CLIENTS):
            dealer = stack.enter_context(RawDealer(service.endpoint))
            found.setdefault(gateway_of(dealer), []).append(dealer)
        yield found


def status(dealer: RawDealer) -> dict:
    name, args = dealer.receive(dealer.request("get_status"))
    assert name == "OK", args
    return args[0]


def gateway_of(dealer: RawDealer) -> str:
    return status(dealer)["gateway"]


def ready_pids(dealer: RawDealer) -> set[int]:
    return {worker["pid"] for worker in status(dealer)["workers"] if worker["state"] == "ready"}


def process_of(service: Service, gateway: str) -> psutil.Process:
    """The process of a gateway, by the connection that leads to its endpoint for workers."""
    names = re.findall(r"started child=(gateway-\d) pid=(\d+)", service.output)
    welcomed = re.findall(r"INFO (gateway-\d): listening .* gateway=(\w+)", service.output)
    (name,) = [name for name, incarnation in welcomed if incarnation == gateway]
    return psutil.Process([int(pid) for found, pid in names if found == name][-1])


def test_clients_land_on_both_gateways_and_are_answered_by_the_same_workers(serve):
    service = two_gateways(serve)
    with clients(service) as by_gateway:
        assert len(by_gateway) == 2
        assert {len(ready_pids(dealers[0])) for dealers in by_gateway.values()} == {2}
        assert len({frozenset(ready_pids(dealers[0])) for dealers in by_gateway.values()}) == 1
        for dealer in (each for dealers in by_gateway.values() for each in dealers):
            name, args = dealer.receive(dealer.request("iris_model_predict", SETOSA))
            assert name == "OK"
            assert is_a_prediction(args[0])
    assert "  gateways 2" in service.output.splitlines()


def test_the_death_of_a_gateway_harms_no_client_of_the_other(serve):
    service = two_gateways(serve, SLEEPER)
    with clients(service) as by_gateway:
        victim, survivor = by_gateway
        workers = ready_pids(by_gateway[survivor][0])
        called = [
            (dealer, dealer.request("sleeper_predict", {"sleep_s": 0.05}))
            for dealer in by_gateway[survivor]
        ]
        service.family()
        process_of(service, victim).kill()
        for dealer, channel in called:
            assert dealer.receive(channel) == ("OK", [{"slept_s": 0.05}])
        # Whoever was with the dead one is, after its own reconnection, with a living one.
        for dealer in by_gateway[victim]:
            assert gateway_of(dealer) != victim

        def has_a_successor() -> bool:
            with RawDealer(service.endpoint) as dealer:
                return gateway_of(dealer) not in by_gateway and ready_pids(dealer) == workers

        wait_until(has_a_successor, "the same workers are with the new gateway, on the same port")
        assert gateway_of(by_gateway[survivor][0]) == survivor


def test_term_answers_what_both_gateways_have_accepted(serve):
    service = two_gateways(serve, SLEEPER)
    with clients(service) as by_gateway:
        called = [
            (dealers[0], dealers[0].request("sleeper_predict", {"sleep_s": 0.5}))
            for dealers in by_gateway.values()
            for _ in range(2)
        ]
        for dealers in by_gateway.values():
            wait_until(lambda of=dealers[0]: status(of)["open_calls"] == 2, "calls are accepted")
        service.send(signal.SIGTERM)
        assert [dealer.receive(channel) for dealer, channel in called] == (
            [("OK", [{"slept_s": 0.5}])] * 4
        )
    assert service.wait() == 0
    service.assert_all_gone()


def test_a_roll_and_one_worker_more_are_known_to_both_gateways(serve):
    service = two_gateways(serve)
    with clients(service) as by_gateway:
        one, other = (dealers[0] for dealers in by_gateway.values())
        before = ready_pids(one)
        service.send(signal.SIGHUP)
        service.wait_for_output("INFO serve: rolled ")
        service.send(signal.SIGTTIN)
        wait_until(lambda: len(ready_pids(one)) == 3, "the first knows three workers")
        wait_until(lambda: ready_pids(one) == ready_pids(other), "the other knows the same")
        assert not before & ready_pids(one)
        service.send(signal.SIGTTOU)
        wait_until(lambda: len(ready_pids(one)) == 2, "the first knows two workers")
        wait_until(lambda: ready_pids(one) == ready_pids(other), "the other knows the same")
    assert "ERROR" not in service.output


def test_each_gateway_tells_of_itself_by_http(serve):
    first = int(free_endpoint(ports=2).rpartition(":")[2])
    service = two_gateways(serve, DEBUG, "--http", f"127.0.0.1:{first}")
    with clients(service) as by_gateway:
        for dealers in by_gateway.values():
            for dealer in dealers[:3]:
                dealer.receive(dealer.request("iris_model_predict", SETOSA))
        for port in (first, first + 1):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                found = answer.read().decode()
            assert 'zeropool_requests_total{model="iris_model",outcome="OK"} 3.0' in found
            assert "zeropool_ready 1.0" in found


@pytest.mark.parametrize("gateways", ["1", "2"])
def test_a_service_on_a_port_that_others_share_is_refused(serve, tmp_path, gateways):
    service = two_gateways(serve)
    done = run_zeropool(
        "serve", "--bind", service.endpoint, "--workers", "1", "--gateways", gateways, cwd=tmp_path
    )
    assert done.returncode == EXIT_CONFIG
    assert f"gateway.bind = '{service.endpoint}': cannot bind: Address already in use" in (
        done.stderr
    )
    assert is_a_prediction(service.call("iris_model_predict", SETOSA))


def test_several_gateways_on_a_port_that_is_taken_are_refused_before_anything_starts(
    serve, tmp_path
):
    service = serve(workers=1).ready()
    done = run_zeropool("serve", "--bind", service.endpoint, "--gateways", "2", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (EXIT_CONFIG, "")
    assert done.stderr == (
        f"zeropool: gateway.bind = '{service.endpoint}': cannot bind: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--bind", "ipc://z.ipc"], "several gateways can only share a tcp:// endpoint"),
        (
            ["--bind", "tcp://nowhere.invalid:4299", "--insecure-public"],
            "gateway.bind = 'tcp://nowhere.invalid:4299': cannot bind: ",
        ),
        (["--http", "127.0.0.1:65535"], "gateway 1 would need port 65536"),
        (["--gateways", "0"], "expected an integer ≥ 1 and ≤ 64"),
        (["--gateways", "65"], "expected an integer ≥ 1 and ≤ 64"),
    ],
)
def test_what_several_gateways_cannot_do_is_refused_with_the_reason(tmp_path, arguments, complaint):
    done = run_zeropool("serve", "--gateways", "2", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (EXIT_CONFIG, "")
    assert complaint in done.stderr
    assert done.stderr.startswith("zeropool: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_port_is_free_after_the_end_and_can_be_shared_again_at_once(serve):
    service = two_gateways(serve)
    service.call("iris_model_predict", SETOSA)
    assert service.stop() == 0
    again = serve(DEBUG, workers=1, arguments=("--gateways", "2", "--bind", service.endpoint))
    again.ready()
    assert again.output.count(f"listening clients={service.endpoint} ") == 2
