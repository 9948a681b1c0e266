"""Workers are replaced one by one, gateways told to end: what was accepted is answered.

Workers: HUP to `zeropool serve` replaces one after the other, and again when all are new, under
load; nobody must notice. Gateways: TERM to one while clients have calls open that it has accepted.
A client knows what was accepted without asking us: a gateway reads one connection in order, so an
answered ping proves that everything before it was read. What is read after the TERM may be refused
with `Draining`, and what is not read gets no answer; both are counted apart. One client does not
read at all until the gateway is gone.
"""

import itertools
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import zmq
from harness import LOOK_AGAIN_S, Service, model_tables

from chaos import program
from chaos.asker import Asker, Crowd, total
from chaos.findings import Findings, percentile, spread_ms
from chaos.pool import Pool
from chaos.status import Desk

ECHO = "fixture_models.slow.SleepyEchoModel"
WORKERS = 3
CLIENTS = 3
IN_FLIGHT = 8
SLEEP_S = 0.004
WHOLE_LIMIT_S = 60.0
PATIENCE_S = 60.0
#: Calls of the client that idles while its gateway ends; together they take the pool some time.
IDLE_CALLS = 30
IDLE_SLEEP_S = 0.03
#: One question in so many is a ping.
PING_EVERY = 10
SENDERS = 2
SENDER_IN_FLIGHT = 16
PACE_S = 0.001
#: TERM comes so long after the idle client's calls are accepted, at most.
MOST_LEAD_S = 0.1
#: How long after the gateway's end the senders listen for what is still on its way.
LISTEN_ON_S = 1.0
POLL_MS = 20
#: Longer than any client here lives.
RECONNECT_MS = 3_600_000


@dataclass(frozen=True)
class Plan:
    """How many of each."""

    rolls: int = 200
    gateway_terms: int = 50
    seed: int = program.SEED


def run(plan: Plan, folder: Path) -> Findings:
    """The whole experiment."""
    findings = Findings("rolls", vars(plan) | {"workers": WORKERS, "clients": CLIENTS})
    if plan.rolls:
        service = Service(folder, model_tables(ECHO), workers=WORKERS)
        try:
            _roll_workers(findings, service.ready(), plan)
        finally:
            service.stop()
    if plan.gateway_terms:
        with Pool(folder, model_tables(ECHO), workers=WORKERS) as pool:
            _term_gateways(findings, pool, plan)
    return findings


# Workers


def _roll_workers(findings: Findings, service: Service, plan: Plan) -> None:
    crowd = Crowd()
    askers = [
        Asker(service.endpoint, crowd, seed=plan.seed + at, sleep_s=SLEEP_S, in_flight=IN_FLIGHT)
        for at in range(CLIENTS)
    ]
    for asker in askers:
        asker.start()
    spans_s = []
    with Desk(service.endpoint) as desk:
        while WORKERS * len(spans_s) < plan.rolls:
            spans_s.append(_roll(service, desk))
        crowd.stop(PATIENCE_S)
        for asker in askers:
            asker.join()
        redispatched = desk.status()["redispatched"]
    books = total(askers)
    failures = [asker.failure for asker in askers if asker.failure]
    findings.figures |= {
        "calls during rolls": books.asked,
        "waits during rolls": spread_ms(books.waits_s),
        "HUP to all replaced": spread_ms(spans_s),
        "redispatched after a death": redispatched,
    }
    rolled = WORKERS * len(spans_s)
    findings.expect(f"{plan.rolls} workers rolled", rolled >= plan.rolls, rolled)
    findings.expect(
        "rolls: every call has its one right answer",
        books.right == books.asked > 0 and not books.unowed and not failures,
        (books.right, books.asked, books.unowed, dict(books.errors), dict(books.wrong), failures),
    )


def _roll(service: Service, desk: Desk) -> float:
    """Replace all workers; return how long it took, in seconds."""
    before = desk.ready_pids()
    started_at = time.monotonic()
    service.process.send_signal(signal.SIGHUP)
    while before & (ready := desk.ready_pids()) or len(ready) != WORKERS:
        if time.monotonic() > started_at + WHOLE_LIMIT_S:
            raise AssertionError(f"not all workers are replaced after {WHOLE_LIMIT_S} s")
        time.sleep(LOOK_AGAIN_S)
    return time.monotonic() - started_at


# Gateways


@dataclass
class Account:
    """What clients of a gateway that ended had sent it, and got."""

    #: Sent before a ping that was answered before the TERM.
    accepted: int = 0
    answered: int = 0
    #: Accepted and not answered; or refused, or read without an answer, in a way that may not be.
    broken: list[str] = field(default_factory=list)
    #: All others: by what became of them.
    later: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Account") -> None:
        self.accepted += other.accepted
        self.answered += other.answered
        self.broken += other.broken
        self.later += other.later


class Caller:
    """One connection to one gateway, and what was sent over it, in order."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        # What no gateway has taken must not go to the next one: it is this one's end that counts.
        # Without any reconnection libzmq would drop what has arrived and is not read.
        self._socket.reconnect_ivl = RECONNECT_MS
        self._socket.connect(endpoint)
        self._sent = itertools.count(1)
        self._open: dict[int, bool] = {}
        self._answers: dict[int, tuple[str, object]] = {}
        #: The last ping that was answered, in all and before the TERM.
        self._read = 0
        self._accepted = 0
        self._twice: list[str] = []

    @property
    def open(self) -> int:
        """Calls and pings without an answer."""
        return len(self._open)

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def call(self, sleep_s: float) -> bool:
        """Send one call; False where the connection takes nothing."""
        number = next(self._sent)
        data = {"value": number * 7, "sleep_s": sleep_s}
        return self._send(number, "sleepy_echo_predict", [data], is_ping=False)

    def ping(self) -> bool:
        return self._send(next(self._sent), "_zerorpc_ping", [], is_ping=True)

    def listen(self, poll_ms: float) -> None:
        """Take what has arrived."""
        if not self._socket.poll(poll_ms):
            return
        try:
            while True:
                payload = self._socket.recv_multipart(zmq.NOBLOCK)[-1]
                header, name, args = msgpack.unpackb(payload)
                if name in ("OK", "ERR"):
                    self._take(int(header["response_to"]), name, args)
        except zmq.Again:
            pass

    def wait_accepted(self) -> None:
        """Wait until it is proven that everything sent so far was read."""
        self.ping()
        give_up_at = time.monotonic() + PATIENCE_S
        wanted = max(self._open)
        while self._read < wanted:
            if time.monotonic() > give_up_at:
                raise AssertionError("the gateway does not answer a ping")
            self.listen(POLL_MS)

    def term_follows(self) -> None:
        """What is proven by now was accepted by a gateway that served."""
        self._accepted = self._read

    def account(self) -> Account:
        """What became of everything."""
        found = Account(broken=list(self._twice))
        for number, is_ping in self._open.items():
            if not is_ping:
                self._count(found, number, "no answer")
        for number, (name, args) in self._answers.items():
            is_right = (name, args) == ("OK", [{"value": number * 7}])
            self._count(found, number, "answered" if is_right else f"{name} {args[0]}")
        return found

    def _count(self, found: Account, number: int, fate: str) -> None:
        if number <= self._accepted:
            found.accepted += 1
            found.answered += fate == "answered"
        else:
            found.later[fate] += 1
        must_be = ["answered"]
        if number > self._accepted:
            must_be += ["ERR Draining"]
        if number > self._read:
            must_be += ["no answer"]
        if fate not in must_be:
            found.broken.append(f"call {number}: {fate}")

    def _take(self, number: int, name: str, args: object) -> None:
        is_ping = self._open.pop(number, None)
        if is_ping is None:
            self._twice.append(f"call {number}: answered twice")
        elif is_ping and name == "OK":
            self._read = max(self._read, number)
        elif not is_ping:
            self._answers[number] = (name, args)

    def _send(self, number: int, method: str, args: list[object], *, is_ping: bool) -> bool:
        event = [{"message_id": b"%d" % number, "v": 3}, method, args]
        try:
            self._socket.send_multipart([b"", msgpack.packb(event)], zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._open[number] = is_ping
        return True


class Sender(threading.Thread):
    """Calls without a pause until it is told to stop, then listens a little longer."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self.account = Account()
        self.failure = ""
        self.listen_until = float("inf")
        self._endpoint = endpoint
        self._caller: Caller | None = None

    def term_follows(self) -> None:
        """What is proven by now was accepted by a gateway that served."""
        if self._caller is not None:
            self._caller.term_follows()

    def run(self) -> None:
        caller = self._caller = Caller(self._endpoint)
        try:
            for number in itertools.count():
                if time.monotonic() > self.listen_until:
                    break
                if caller.open < SENDER_IN_FLIGHT:
                    caller.ping() if number % PING_EVERY == 0 else caller.call(SLEEP_S)
                    # Who is refused at once must not take the cores from those who are not.
                    caller.listen(0)
                    time.sleep(PACE_S)
                else:
                    caller.listen(POLL_MS)
        except Exception as error:  # noqa: BLE001 - reported by whoever adds the accounts up
            self.failure = repr(error)
        finally:
            self.account = caller.account()
            caller.close()


def _term_gateways(findings: Findings, pool: Pool, plan: Plan) -> None:
    chance = random.Random(plan.seed)
    idle, senders = Account(), Account()
    ends_s, failures = [], []
    for _ in range(plan.gateway_terms):
        ended = _term_gateway(pool, chance)
        idle.add(ended.idle)
        senders.add(ended.senders)
        ends_s.append(ended.after_s)
        failures += ended.failures
    findings.figures |= {
        "gateway gone after TERM": spread_ms(ends_s),
        "idle client": f"{idle.answered} of {idle.accepted} accepted calls answered",
        "senders": f"{senders.answered} of {senders.accepted} accepted calls answered",
        "sent too late": dict(senders.later),
    }
    findings.expect(f"{plan.gateway_terms} gateways ended", not failures, failures)
    for name, account in (("idle client", idle), ("senders", senders)):
        findings.expect(
            f"{name}: what was accepted is answered, what came later at most refused",
            account.answered == account.accepted > 0 and not account.broken,
            (account.answered, account.accepted, account.broken[:5]),
        )
    findings.expect_speed(
        "gateways end before their time to drain is over",
        percentile(ends_s, 1.0) < PATIENCE_S / 2,
        round(max(ends_s), 2),
    )


@dataclass
class Ended:
    """What one gateway's end cost."""

    idle: Account
    senders: Account
    after_s: float
    failures: list[str]


def _term_gateway(pool: Pool, chance: random.Random) -> Ended:
    pool.wait_whole(WHOLE_LIMIT_S)
    idle = Caller(pool.endpoint)
    senders = [Sender(pool.endpoint) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for _ in range(IDLE_CALLS):
        _until_sent(idle)
    idle.wait_accepted()
    time.sleep(chance.uniform(0.0, MOST_LEAD_S))
    for client in (idle, *senders):
        client.term_follows()
    after_s = pool.term_gateway()
    for sender in senders:
        sender.listen_until = time.monotonic() + LISTEN_ON_S
    for sender in senders:
        sender.join()
    idle.listen(LISTEN_ON_S * 1000)
    ended = Ended(idle.account(), Account(), after_s, [s.failure for s in senders if s.failure])
    for sender in senders:
        ended.senders.add(sender.account)
    idle.close()
    return ended


def _until_sent(caller: Caller) -> None:
    """Send one call; the first ones may come before the connection."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not caller.call(IDLE_SLEEP_S):
        if time.monotonic() > give_up_at:
            raise AssertionError("no connection to the gateway")
        time.sleep(LOOK_AGAIN_S)


def main() -> int:
    parser = program.options(__doc__)
    parser.add_argument("--rolls", type=int, default=Plan.rolls, help="of workers")
    parser.add_argument("--gateway-terms", type=int, default=Plan.gateway_terms)
    options = parser.parse_args()
    plan = Plan(options.rolls, options.gateway_terms, options.seed)
    limit_s = 120 + 15 * (plan.rolls + plan.gateway_terms)
    with program.private_folder() as folder:
        return program.run(lambda: run(plan, folder), options.out, limit_s=limit_s)


if __name__ == "__main__":
    sys.exit(main())
