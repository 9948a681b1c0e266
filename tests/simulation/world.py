"""One seed's world: who lives in it, what they ask, and how it comes to rest."""

from __future__ import annotations

import random
from functools import partial

from chronicle import Chronicle
from client_host import ClientHost
from clock import Clock
from faults import Faults
from gateway_host import GatewayHost, Link
from network import Latency
from oracle import Oracle
from request import Broken, Request, Row, Trait
from scenario import Kind, ModelPlan, Scenario, draw
from worker_host import WorkerHost

#: How often the settling world is looked at.
LOOK_S = 0.25
#: The longest thing that may still happen: a worker whose results were lost is given up after
#: twice the model's limit and ten seconds, three times over.
LONGEST_REST_S = 120.0
#: A gateway that drains gets this long.
DRAIN_S = 5.0
OWN_METHODS = ("_zerorpc_ping", "no_such_method")


class World:
    """Everything in one run."""

    drain_s = DRAIN_S

    def __init__(self, seed: int, *, check_every: int = 1) -> None:
        self.rng = random.Random(seed)
        # tenacity draws the jitter of its waits from the module's own generator.
        random.seed(seed)
        self.chronicle = Chronicle()
        self.clock = Clock()
        self.scenario: Scenario = draw(seed, self.rng)
        self.oracle = Oracle(self.scenario)
        self.is_calm = False
        self.incarnations: dict[str, WorkerHost] = {}
        self._check_every = check_every
        self._steps = 0
        self._rows = 0
        plan = self.scenario
        self.link_latency = Latency(self.rng, plan.link_latency_s, plan.link_spike_s)
        self.client_latency = Latency(self.rng, plan.client_latency_s, plan.client_spike_s)
        self.workers = [WorkerHost(self, slot) for slot in range(plan.workers)]
        self.gateway = GatewayHost(self)
        self.clients = [self._client(number) for number in range(plan.clients)]
        self._keep = self.chronicle.keep

    def _client(self, number: int) -> ClientHost:
        first_id = 0 if self.scenario.shared_ids else number << 40
        is_silent = self.chance(self.scenario.silent_rate)
        return ClientHost(self, f"c{number}", is_silent=is_silent, first_id=first_id)

    # For those who live in it

    def note(self, who: str, what: str, *facts: object) -> None:
        """Something happened."""
        self._keep((self.clock.now, who, what, facts))

    def chance(self, rate: float) -> bool:
        """Toss a coin, unless the rate leaves no doubt."""
        return rate > 0.0 and self.rng.random() < rate

    def connect_worker(self, name: str, link: Link) -> None:
        """The gateway connects to a worker."""
        self.clock.after(self.link_latency.draw(), self._reach, name, link)

    def _reach(self, name: str, link: Link) -> None:
        host = self.incarnations.get(name)
        if host is None:
            self.gateway.link_event(name, link, is_up=False)
        else:
            host.accept(name, link)

    def hung_up(self, name: str, link: Link) -> None:
        """The gateway closes its connection to a worker."""
        host = self.incarnations.get(name)
        if host is not None and host.name == name:
            host.hung_up(link)

    def gateway_stepped(self) -> None:
        """The gateway did a step: does everything still hold?"""
        core = self.gateway.core
        self.oracle.stepped(core, self.clock.now)
        self._steps += 1
        if self._steps % self._check_every == 0:
            core.check_invariants()

    def counts(self) -> dict[str, int]:
        """What there was to see."""
        return (
            {"steps": self.clock.steps, "requests": len(self.oracle.requests)}
            | (self.oracle.counts)
            | self.oracle.errors
        )

    # Requests

    def request(self, client: str, kind: Kind, plan: ModelPlan | None) -> Request:
        """A request that nobody has made yet."""
        scenario = self.scenario
        rows: list[Row] = []
        if kind is Kind.CALL:
            rows = [self._row()]
        elif kind is not Kind.OWN:
            # Each is known by its rows, so there is at least one.
            rows = [self._row() for _ in range(self.rng.randint(1, scenario.longest))]
        method = self.rng.choice(OWN_METHODS)
        if plan is not None:
            method = plan.info.qualified_name + kind.value
        timeout_s = None
        if self.chance(scenario.timeout_rate):
            timeout_s = self.rng.choice((0.0, 0.01, 0.1, 1.0, 100.0))
        return Request(
            len(self.oracle.requests),
            client,
            kind,
            method,
            plan,
            rows,
            timeout_s,
            self.clock.now,
            scenario.limits.max_attempts,
            scenario.limits.stream_idle_s,
        )

    def _row(self) -> Row:
        self._rows += 1
        scenario = self.scenario
        chance = self.rng.random()
        if chance < scenario.bad_rate:
            return f"no number {self._rows}"
        rates = (
            (Trait.POISON, scenario.poison_rate),
            (Trait.HANG, scenario.hang_rate),
            (Trait.SLOW, scenario.slow_rate),
            (Trait.RAISES, scenario.raise_rate),
        )
        for trait, rate in rates:
            if self.chance(rate):
                self.oracle.traits[self._rows] = trait
                break
        return self._rows

    def _ask(self) -> None:
        client = self.rng.choice(self.clients)
        kinds = self.scenario.kinds
        kind = self.rng.choices(list(kinds), list(kinds.values()))[0]
        plan = None if kind is Kind.OWN else self.rng.choice(self.scenario.models)
        if not client.is_alive:
            return
        request = self.request(client.name, kind, plan)
        client.ask(request)
        if self.chance(self.scenario.give_up_rate):
            self.clock.after(self.rng.uniform(0.0, 0.5), partial(client.give_up, request))

    # The play

    def run(self) -> None:
        """Play the seed.

        Raises:
            Broken: an invariant does not hold.
        """
        self._begin()
        self.clock.run(self.scenario.play_s)
        self.is_calm = True
        self.note("world", "is calm")
        for client in self.clients:
            if client.is_alive and not client.is_reading:
                self.clock.after(0.0, client.read_on, client._births)
        self._rest(lambda: self.gateway.is_up and not self.oracle.owed)
        self.note("world", "has its answers")
        for client in self.clients:
            client.leave()
        self._rest(self._is_at_rest)
        core = self.gateway.core
        self.gateway.count_unread()
        core.tick(self.clock.now)
        self.oracle.rested(core)
        core.check_invariants()
        core.drain()
        if not core.is_drained:
            raise Broken("a gateway without calls is not drained")

    def _begin(self) -> None:
        rng, clock, plan = self.rng, self.clock, self.scenario
        clock.at(rng.choice((0.0, 0.0, 0.3)), self.gateway.start)
        for worker in self.workers:
            clock.at(rng.choice((0.0, 0.01, 0.5)), worker.start)
        for client in self.clients:
            clock.at(0.0, client.start)
        at = 0.001
        for _ in range(plan.requests):
            clock.at(at, self._ask)
            if not self.chance(plan.burst_rate):
                at = rng.uniform(0.0, plan.play_s)
        Faults(self).begin()

    def _rest(self, is_done: object) -> None:
        until = self.clock.now + LONGEST_REST_S
        while not is_done() and self.clock.now < until:
            self.clock.run(self.clock.now + LOOK_S)

    def _is_at_rest(self) -> bool:
        core = self.gateway.core
        if not self.gateway.is_up or core.session.open_channels or len(core.dispatcher.ledger):
            return False
        self.gateway.count_unread()
        if core.unread_bytes:
            return False
        ready = {worker.worker_id for worker in core.fleet if worker.state.value == "ready"}
        return ready == {worker.name for worker in self.workers if worker.is_alive}
