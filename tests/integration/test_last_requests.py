"""What arrives while a gateway ends is answered as long as there is somebody to answer."""

import signal

import msgpack
import pytest
from harness import Command, free_endpoint, wait_until
from raw_dealer import RawDealer
from zmtp_peer import LAST, ZmtpPeer, frame

REQUESTS = 300


@pytest.fixture
def gateway(short_path, stopped_at_the_end):
    endpoint = free_endpoint()
    environment = {"XDG_RUNTIME_DIR": str(short_path), "ZEROPOOL_GATEWAY_BIND": endpoint}
    gateway = stopped_at_the_end(Command(["gateway"], cwd=short_path, extra_env=environment))
    gateway.wait_for_output("listening")
    gateway.endpoint = endpoint
    return gateway


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_requests_that_wait_in_the_sockets_are_answered_before_the_end(gateway, ending):
    with ZmtpPeer(gateway.endpoint) as peer:
        gateway.send(signal.SIGSTOP)
        # Neither libzmq nor the loop reads: all of it waits in the kernel.
        for number in range(REQUESTS):
            request = [{"message_id": str(number), "v": 3}, "iris_model_predict", [{}]]
            peer.send(frame(b""), frame(msgpack.packb(request), LAST))
        gateway.send(ending)
        gateway.send(signal.SIGCONT)
        answers = peer.receive_to_the_end()
    assert gateway.wait() == 0
    assert answers.count(b"Draining: ") == REQUESTS


def test_a_gateway_that_ends_takes_no_new_connection(gateway):
    with RawDealer(gateway.endpoint) as dealer:
        assert dealer.ask("_zerorpc_ping")[0] == "OK"
    gateway.send(signal.SIGTERM)
    assert gateway.wait() == 0
    with RawDealer(gateway.endpoint) as late:
        channel = late.request("_zerorpc_ping")
        with pytest.raises(TimeoutError):
            late.receive(channel, timeout_s=0.5)
    wait_until(lambda: "stopped" in gateway.output, "it says so")
