"""Clients that stop reading: they cost little, are given up in the end, and may go on before."""

import contextlib
import time

import pytest
from harness import model_tables, wait_until
from raw_dealer import RawDealer

MIB = 1024 * 1024
MODELS = model_tables("fixture_models.plain.WideModel", "fixture_models.plain.EchoModel")
REPLY_BYTES = 100_000
#: 20 MB: more than sockets and libzmq take on the way.
CALLS = 200


@pytest.fixture
def reader(serve):
    """Serves with settings, and has a client ask for much and read nothing."""

    def start(settings: str = ""):
        service = serve(settings + MODELS, workers=1).ready()
        dealer = dealers.enter_context(RawDealer(service.endpoint, receive_high_water=1))
        calls = [dealer.request("wide_predict", REPLY_BYTES) for _ in range(CALLS)]
        with RawDealer(service.endpoint) as other:
            wait_until(
                lambda: other.ask("get_status")[1][0]["models"][0]["outcomes"].get("OK") == CALLS,
                "all calls were answered",
            )
        return service, dealer, calls

    with contextlib.ExitStack() as dealers:
        yield start


def wake_ups_per_s(process, span_s: float = 2.0) -> float:
    before = process.num_ctx_switches().voluntary
    # The rate over a span of time is what is asked for.
    time.sleep(span_s)
    return (process.num_ctx_switches().voluntary - before) / span_s


def test_a_client_that_reads_nothing_costs_few_wake_ups(reader):
    service, _, _ = reader()
    assert wake_ups_per_s(service.gateway_process()) < 200


def test_a_client_that_goes_on_in_time_gets_everything_in_order(reader):
    service, dealer, calls = reader("gateway.max_unread_s = 30\n")
    assert [dealer.receive(channel)[0] for channel in calls] == ["OK"] * CALLS
    assert dealer.ask("echo_predict", 1) == ("OK", [1])
    assert "client does not read" not in service.output


def test_a_client_that_reads_nothing_for_too_long_is_given_up(reader):
    service, _, _ = reader("gateway.max_unread_s = 0.5\n")
    service.wait_for_output("client does not read its replies", timeout_s=10)
    assert service.call("get_status")["dropped"]["client_unread"] == 1
    assert service.call("echo_predict", 1) == 1


@pytest.fixture
def crowd(serve):
    """Serves with a budget of 8 MiB, and makes four clients."""

    def start(**options):
        service = serve(f"gateway.max_held_bytes = {8 * MIB}\n" + MODELS, workers=1).ready()
        made = [RawDealer(service.endpoint, **options) for _ in range(4)]
        return service, [dealers.enter_context(dealer) for dealer in made]

    with contextlib.ExitStack() as dealers:
        yield start


def test_all_clients_together_hold_no_more_than_half_the_limit_and_others_are_served(crowd):
    service, dealers = crowd(receive_high_water=1)
    for _ in range(CALLS):
        for dealer in dealers:
            dealer.request("wide_predict", REPLY_BYTES)
    give_up_at = time.monotonic() + 30
    while "client does not read its replies" not in service.output:
        assert service.call("echo_predict", 1) == 1
        assert time.monotonic() < give_up_at
    # A reply may be larger than that, which is told.
    assert "max_reply_bytes=104857600 max_held_bytes=8388608" in service.output
    # Half of it, and 2 KiB for each call that is not answered yet.
    assert service.call("get_status")["held_bytes"] <= 6 * MIB


def test_replies_without_credit_hold_no_more_than_a_quarter_and_others_are_served(crowd):
    service, dealers = crowd()
    for _ in range(CALLS):
        for dealer in dealers:
            dealer.grant(dealer.request("wide_predict", REPLY_BYTES), -1)
        assert service.call("echo_predict", 1) == 1
    wait_until(lambda: service.call("get_status")["open_calls"] == 0, "all calls were answered")
    status = service.call("get_status")
    assert REPLY_BYTES < status["held_bytes"] <= 2 * MIB
    assert status["dropped"]["reply_unclaimed"] > 0
    assert "client does not read" not in service.output
