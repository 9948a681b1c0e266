"""`zeropool serve`: gateways and their workers as children of one process.

The shell around `slots`, `rolling` and `headcount`: it watches, restarts, rolls and stops its
children, and prints what the user needs to know. It handles no calls itself, so nothing that
happens to a call can take it down.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from typing import TextIO

from zeropool.cli import greeting
from zeropool.cli.exits import EXIT_CONFIG
from zeropool.cli.gateways import gateway_config, gateway_names, kept_as_running
from zeropool.cli.headcount import count_after_reload, most_workers, worker_count
from zeropool.cli.processes import Child, Spawner
from zeropool.cli.rolling import Roll
from zeropool.cli.slots import Slots
from zeropool.cli.sockets import Sockets
from zeropool.cli.stopping import ENDING, Stopping
from zeropool.shared.config import Config
from zeropool.shared.errors import ConfigError
from zeropool.shared.logs import fields
from zeropool.shared.model import ModelInfo
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.signals import Signals

log = logging.getLogger("zeropool.serve")

#: What a stopping child needs beside its drain time: to flush, to close models.
STOP_MARGIN_S = 5.0
#: How one that was told to leave does so: by itself, or by TERM where it was still starting.
LEFT_IN_ORDER = (0, -signal.SIGTERM)
CHANGING = (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)


class Serve:
    """The parent of one embedded fleet.

    ``read_config`` reads the configuration anew, and raises `ConfigError` where it is unusable.
    """

    def __init__(
        self,
        config: Config,
        read_config: Callable[[], Config],
        cores: int,
        out: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._read_config = read_config
        self._cores = cores
        self._out = out
        self._clock = clock
        self._sockets = Sockets(config)
        self._gateways = gateway_names(config.serve.gateways)
        self._workers = [_worker(index) for index in range(worker_count(config, cores))]
        self._spawner = Spawner()
        self._signals = Signals((*ENDING, *CHANGING))
        self._children: dict[str, Child] = {}
        # Each place is filled again with what its last child was started with.
        self._configs: dict[str, Config] = {}
        self._leaving: list[Child] = []
        self._roll = Roll()
        self._next_config = config
        self._successor: Child | None = None
        self._predecessor: Child | None = None
        self._awaited = set(self._workers)
        self._models: dict[str, ModelInfo] = {}
        self._exit_code: int | None = None

    def run(self) -> int:
        """Serve until a signal ends it; return the exit code."""
        self._spawner.open()
        self._signals.open()
        self._slots = Slots([*self._gateways, *self._workers], now=self._clock())
        try:
            self._sockets.open()
            while self._exit_code is None:
                self._step()
        finally:
            self._kill_all()
            self._sockets.close()
            self._signals.close()
        return self._exit_code

    # The loop

    def _step(self) -> None:
        self._start_what_is_due(self._clock())
        self._wait()
        for child in self._everybody():
            infos = child.take_ready()
            if infos is not None:
                self._take_ready(child, infos)
        for arrived in self._signals.take():
            self._obey(arrived)
            if self._exit_code is not None:
                return
        for child in self._everybody():
            if not child.is_alive:
                self._take_end(child)
        self._give_up_the_overdue(self._clock())

    def _everybody(self) -> list[Child]:
        successor = [] if self._successor is None else [self._successor]
        return [*self._children.values(), *successor, *self._leaving]

    def _start_what_is_due(self, now: float) -> None:
        for slot in self._slots.due(now):
            slot.started(now)
            child = self._spawn(slot.name, self._configs.get(slot.name, self._config))
            if child is None:
                slot.died(now)
            else:
                self._children[slot.name] = child
        place = self._roll.next_place()
        if place is not None:
            self._roll.started(ready_by=now + self._next_config.serve.ready_timeout_s)
            self._successor = self._spawn(place, self._next_config)
            if self._successor is None:
                self._abandon(place, "cannot be started")

    def _spawn(self, place: str, config: Config) -> Child | None:
        """Start a child; None where the machine has no room for one, now."""
        try:
            if place in self._gateways:
                index = self._gateways.index(place)
                child = self._spawner.gateway(
                    place, gateway_config(config, index), self._sockets.endpoints[index]
                )
            else:
                index = self._workers.index(place)
                child = self._spawner.worker(
                    place, config, index, self._sockets.endpoints, self._sockets.runtime_dir
                )
        except OSError as error:
            log.error("cannot start", extra=fields(child=place, reason=error))  # noqa: TRY400 - the system's own words
            return None
        log.debug("started", extra=fields(child=place, pid=child.pid))
        return child

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        for child in self._everybody():
            for descriptor in child.descriptors():
                poll.register(descriptor, select.POLLIN)
        deadlines = [self._roll.next_deadline(), *(child.kill_at for child in self._leaving)]
        start_at = self._slots.next_deadline()
        deadline = min(deadlines if start_at is None else [*deadlines, start_at])
        poll.poll(None if deadline == math.inf else poll_timeout_ms(deadline, self._clock()))

    def _take_ready(self, child: Child, infos: list[ModelInfo]) -> None:
        if child is self._successor:
            self._promote(child)
        if child is self._children.get(child.place):
            self._slots[child.place].ready()
            self._no_longer_await(child.place, infos)

    def _no_longer_await(self, place: str, infos: list[ModelInfo]) -> None:
        self._models |= {info.qualified_name: info for info in infos}
        if place in self._awaited:
            self._awaited.discard(place)
            if not self._awaited:
                models = list(self._models.values())
                self._say(greeting.served(self._config, models, len(self._workers), _command()))

    def _take_end(self, child: Child) -> None:
        child.forget()
        if child is self._successor:
            self._abandon(child.place, child.reason)
        elif child in self._leaving:
            self._leaving.remove(child)
            level = logging.INFO if child.exit_code in LEFT_IN_ORDER else logging.WARNING
            told = fields(child=child.place, pid=child.pid, reason=child.reason)
            log.log(level, "left", extra=told)
            if child is self._predecessor:
                self._end_step()
        else:
            self._restart(child)

    def _restart(self, child: Child) -> None:
        del self._children[child.place]
        if child.exit_code == EXIT_CONFIG and self._awaited:
            # It has said why, and nothing has worked yet: the next one would say the same.
            self._exit_code = EXIT_CONFIG
            return
        slot = self._slots[child.place]
        if child.exit_code == 0 and child.place not in self._gateways:
            level, what, wait_s = logging.INFO, "recycled", slot.recycled(self._clock())
        else:
            level, what, wait_s = logging.WARNING, "died", slot.died(self._clock())
        told = fields(
            child=child.place,
            pid=child.pid,
            reason=child.reason,
            restart_after_s=round(wait_s, 2),
        )
        log.log(level, what, extra=told)

    def _give_up_the_overdue(self, now: float) -> None:
        successor = self._successor
        if successor is not None and self._roll.is_overdue(now):
            waited_s = successor.config.serve.ready_timeout_s
            self._abandon(successor.place, f"not ready after {waited_s:g} s")
            self._retire(successor)
        for child in self._leaving:
            if now >= child.kill_at:
                log.warning("killed", extra=fields(child=child.place, pid=child.pid))
                child.send(signal.SIGKILL)
                child.kill_at = math.inf

    # Signals

    def _obey(self, arrived: signal.Signals) -> None:
        match arrived:
            case signal.SIGHUP:
                self._reload()
            case signal.SIGTTIN:
                self._start_one_more()
            case signal.SIGTTOU:
                self._stop_one()
            case _:
                self._stop(arrived)

    def _reload(self) -> None:
        try:
            config = self._read_config()
        except ConfigError as error:
            log.error("reload refused, nothing has changed", extra=fields(reason=error))  # noqa: TRY400 - the message says all
            return
        self._next_config = kept_as_running(config, self._config)
        if self._next_config != config:
            log.warning(
                "[gateway], [http] or serve.gateways has changed: "
                "takes effect when serve is started again"
            )
        places = self._workers[: self._count_after(self._next_config)]
        log.info("rolling", extra=fields(workers=len(places)))
        self._roll.begin(places)

    def _count_after(self, config: Config) -> int:
        return count_after_reload(self._config, config, len(self._workers), self._cores)

    def _start_one_more(self) -> None:
        most = most_workers(self._config, self._cores)
        if len(self._workers) >= most:
            log.warning("no more workers", extra=fields(workers=len(self._workers), most=most))
            return
        self._add_place()
        if self._roll.is_active:
            self._roll.add(self._workers[-1])

    def _add_place(self) -> None:
        place = _worker(len(self._workers))
        self._workers.append(place)
        self._slots.add(place, self._clock())
        log.info("one worker more", extra=fields(workers=len(self._workers)))

    def _stop_one(self) -> None:
        if len(self._workers) == 1:
            log.warning("the last worker stays", extra=fields(workers=1))
            return
        self._remove_place()

    def _remove_place(self) -> None:
        place = self._workers.pop()
        self._slots.remove(place)
        self._configs.pop(place, None)
        log.info("one worker less", extra=fields(workers=len(self._workers)))
        if place in self._children:
            self._retire(self._children.pop(place))
        if self._successor is not None and self._successor.place == place:
            self._retire(self._successor)
            self._successor = None
        if self._predecessor is not None and self._predecessor.place == place:
            self._predecessor = None
        self._no_longer_await(place, [])
        if self._roll.forget(place):
            self._finish_roll()

    # Rolling

    def _promote(self, successor: Child) -> None:
        place = successor.place
        self._successor = None
        self._roll.ready()
        self._predecessor = self._children.pop(place, None)
        self._children[place] = successor
        self._configs[place] = successor.config
        self._slots[place].started(self._clock())
        log.info("replaced", extra=fields(child=place, pid=successor.pid))
        if self._predecessor is None:
            # It has died meanwhile.
            self._end_step()
        else:
            self._retire(self._predecessor)

    def _retire(self, child: Child) -> None:
        child.send(signal.SIGTERM)
        child.kill_at = self._clock() + child.config.worker.drain_s + STOP_MARGIN_S
        self._leaving.append(child)

    def _end_step(self) -> None:
        self._predecessor = None
        if self._roll.ended():
            self._finish_roll()

    def _finish_roll(self) -> None:
        count = self._count_after(self._next_config)
        self._config = self._next_config
        while len(self._workers) < count:
            self._add_place()
        while len(self._workers) > count:
            self._remove_place()
        log.info("rolled", extra=fields(workers=len(self._workers)))

    def _abandon(self, place: str, reason: str) -> None:
        """The successor does not work: the others stay as they are."""
        self._successor = None
        goes_on = self._roll.failed()
        log.error(
            "replacement failed, a newer configuration is tried"
            if goes_on
            else "roll stopped, the other workers go on as they are",
            extra=fields(child=place, reason=reason),
        )

    # The end

    def _stop(self, arrived: signal.Signals) -> None:
        self._exit_code = 0
        gateways = [self._children.pop(name) for name in self._gateways if name in self._children]
        workers = self._everybody()
        self._children, self._successor, self._leaving = {}, None, []
        stopping = Stopping(self._signals, self._clock)
        if arrived is not signal.SIGTERM:
            self._say("stopping")
            stopping.quickly([*gateways, *workers])
            return
        self._say("draining, then stopping")
        # The gateways first: what they have accepted needs the workers.
        config = self._config
        stopping.drain(gateways, config.gateway.drain_s + STOP_MARGIN_S, later=workers)
        stopping.drain(workers, config.worker.drain_s + STOP_MARGIN_S, later=[])

    def _kill_all(self) -> None:
        for child in self._everybody():
            child.send(signal.SIGKILL)
        for child in self._everybody():
            child.forget()

    def _say(self, line: str) -> None:
        # A terminal may be gone while we go on.
        with contextlib.suppress(OSError):
            self._out.write(line + "\n")
            self._out.flush()


def _worker(index: int) -> str:
    return f"worker-{index}"


def _command() -> str:
    """How the user of this process calls the command: by name, or by the path that was typed."""
    return "zeropool" if shutil.which("zeropool") else shlex.quote(sys.argv[0])


def serve(config: Config, read_config: Callable[[], Config]) -> int:
    """Run the embedded fleet that a configuration describes; return the exit code."""
    cores = len(os.sched_getaffinity(0))
    return Serve(config, read_config, cores, sys.stdout).run()
