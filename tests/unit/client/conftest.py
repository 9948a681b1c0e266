"""What tests of both clients share."""

import pytest
from small_server import Server


@pytest.fixture
def server():
    """A small ZeroRPC server on a thread of its own."""
    served = Server()
    served.thread.start()
    yield served
    served.stop()
