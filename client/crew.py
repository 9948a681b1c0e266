"""The threads of a client: whoever waits does the work, and one thread for when nobody does.

Of the threads that wait for their calls one leads: it polls the sockets, feeds the core and tells
the others. When its own call is answered, it appoints the next. So a single caller needs no other
thread, and many need one read for all their answers. A thread that calls sends by itself. While
calls are open for which nobody waits (a stream whose reader is busy, a call for later), a standby
thread, started when first needed, leads when something is due: heartbeats, connecting, callbacks.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from zeropool.client.awaited import Awaited, Owner
from zeropool.client.bells import Bells, Connection, Relief
from zeropool.client.call import Call
from zeropool.client.core import Core
from zeropool.client.engine import Engine
from zeropool.client.guard import Guard
from zeropool.client.outcomes import Ended
from zeropool.client.seats import Seat, Seats
from zeropool.shared.errors import ClientClosed

#: Who waits for a connection while another thread leads looks for it so often.
LOOK_AGAIN_S: Final = 0.05
#: While threads are being woken, their next calls wait to be sent together; with this many the
#: servers get on before the last one is awake. Of 32 threads, 8 make 1.1 times the calls/s.
MOST_HELD_BACK: Final = 8
_NEVER: Final = -math.inf
_FOR_EVER: Final = math.inf
_monotonic: Final = time.monotonic
_getpid: Final = os.getpid


class Crew:
    """Core and sockets of one client in one process, for any number of threads."""

    def __init__(self, core: Core) -> None:
        self.pid = _getpid()
        self.core = core
        self._engine = Engine(core, self._tell)
        self._lock = Guard()
        self._is_led = False
        self._is_closed = False
        self._seats = Seats()
        #: Until when the leader polls; nothing needs to wake it for later.
        self._polls_until = _NEVER
        self._bells = Bells()
        self._forgotten: deque[Call] = deque()
        self._standby: threading.Thread | None = None
        self._standby_until = _NEVER
        self._rouse = threading.Lock()
        self._rouse.acquire()

    def __repr__(self) -> str:
        return f"<Crew {self.core!r} waiting={len(self._seats) + self._is_led}>"

    @property
    def is_here(self) -> bool:
        """This is the process that made it, and not a fork of it."""
        return bool(self.pid == _getpid())

    # For callers

    def make(self, calls: list[Call], now: float) -> None:
        """Take calls and send them; they are waited for by `wait`, or by `attend`.

        Raises:
            ClientClosed: the client is.
            Overloaded: too much waits for a server already.
        """
        core = self.core
        with self._lock:
            self._check_open()
            if not self._is_led:
                self._engine.freshen(now)
            for call in calls:
                core.submit(call, now)
            self._engine.carry_out(now, is_polled=self._is_led)
            if core.wake_at < self._polls_until:
                self._engine.wake()
            is_held_back = self._seats.is_rising and core.servers.unsent_calls < MOST_HELD_BACK
            wire = None if is_held_back else self._engine.claim()
        self._engine.deliver(wire, self._lock)
        self._lock.check()

    def wait(self, awaited: Awaited, until: float = math.inf) -> bool:
        """Wait for news until then; False if there is none. Raises what interrupts the thread."""
        has_news = self._wait(awaited, until)
        self._lock.check()
        return has_news

    def _wait(self, awaited: Awaited, until: float) -> bool:
        while True:
            with self._lock:
                if awaited.has_news:
                    return True
                seat = None
                if self._is_led:
                    seat = awaited.owner = self._seats.take(awaited.owner)
                else:
                    self._is_led = True
                    self._prepare(until)
            if seat is None or self._follow(seat, awaited, until):
                try:
                    self._lead(awaited, until)
                finally:
                    self._step_down()
                self._bells.run()
            if awaited.has_news or self._is_closed or _is_past(until):
                return awaited.has_news

    def attend(self) -> None:
        """See to it that calls get on for which nobody waits."""
        with self._lock:
            self._rouse_standby()

    def look(self) -> None:
        """Take what has come, without waiting for more."""
        with self._lock:
            if self._is_led or self._is_closed:
                return
            self._is_led = True
            self._prepare(_NEVER)
        try:
            self._round(_NEVER)
        finally:
            self._step_down()
        self._bells.run()
        self._lock.check()

    def read(self, call: Call) -> None:
        """The reader of a stream has taken an item."""
        with self._lock:
            self.core.read(call)
            wire = self._engine.claim()
        self._engine.deliver(wire, self._lock)

    def end(self, call: Call) -> None:
        """Nobody wants more of this call, also not whoever waits for it."""
        with self._lock:
            if call.outcome is None:
                self.core.give_up(call)
                call.outcome = Ended()
                self._tell([call])
                if self._is_led:
                    # It may be the leader itself that waits for it.
                    self._engine.wake()
        self._bells.run()

    def forget(self, call: Call) -> None:
        """Nobody waits for this call any more. Also for destructors, which run anywhere."""
        self._forgotten.append(call)
        if self._lock.try_once():
            try:
                self._give_up_the_forgotten()
            finally:
                self._lock.release()

    def _give_up_the_forgotten(self) -> None:
        while self._forgotten:
            self.core.give_up(self._forgotten.popleft())

    def wait_connected(self, until: float) -> bool:
        """Connect without a call; False if no server is there by then."""
        with self._lock:
            self._check_open()
            now = _monotonic()
            if not self._is_led:
                # What has ended just now is no connection.
                self._engine.freshen(now, later_s=1.0)
            self.core.connect(now)
            self._engine.carry_out(now, is_polled=self._is_led)
        while not self.core.servers.is_connected:
            if _monotonic() >= until or self._is_closed:
                return False
            self.wait(Connection(self.core), min(until, _monotonic() + LOOK_AGAIN_S))
        return True

    def add(self, endpoint: str) -> None:
        """Know one more server."""
        with self._lock:
            self.core.add(endpoint)

    def remove(self, endpoint: str) -> None:
        """Know a server no more; its calls are lost."""
        with self._lock:
            now = _monotonic()
            self._tell(self.core.remove(endpoint, now))
            self._engine.carry_out(now, is_polled=self._is_led)
        self._bells.run()

    def close(self) -> None:
        """End all calls and connections."""
        if self._is_closed:
            # Not even the lock is asked for: who closes the sockets holds it, and is a thread that
            # stands still for ever when the interpreter ends meanwhile.
            return
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._tell(self.core.close())
            self._engine.carry_out(_monotonic(), is_polled=self._is_led)
            self._rouse_standby()
            if self._is_led:
                # Whoever leads closes the sockets when it is back.
                self._engine.wake()
            else:
                self._engine.close()
        self._bells.run()
        self._lock.check()

    def abandon(self) -> None:
        """This is another process's crew, of which a fork has made a copy: let its sockets go."""
        self._is_closed = True
        self._engine.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClientClosed("the client is closed")

    # Leading

    def _follow(self, seat: Seat, awaited: Awaited, until: float) -> bool:
        """Wait to be told or to be appointed; True for the latter."""
        try:
            if until == _FOR_EVER:
                seat.lock.acquire()
            elif not seat.lock.acquire(timeout=_patience_s(until)):
                return self._leaves(seat, awaited)
        except BaseException:
            # A signal: somebody else must lead, if this thread was to.
            if self._leaves(seat, awaited):
                self._step_down()
            raise
        if seat.is_leader:
            with self._lock:
                seat.leave(awaited)
                self._prepare(until)
            return True
        self._pass_on()
        self._seats.give_back(seat)
        return False

    def _leaves(self, seat: Seat, awaited: Awaited) -> bool:
        """A thread stops waiting; True if it was appointed in the same moment."""
        with self._lock:
            was_woken = self._seats.leave(seat)
            seat.leave(awaited)
        if was_woken:
            self._pass_on()
        return seat.is_leader

    def _pass_on(self) -> None:
        """Wake the next one that has news; the last one sends what the others had to send."""
        if self._seats.pass_on():
            return
        with self._lock:
            self._seats.is_rising = False
            self._seats.wake()
            wire = self._engine.claim()
        self._engine.deliver(wire, self._lock)

    def _lead(self, awaited: Awaited, until: float) -> None:
        # Callbacks may wait for calls themselves: whoever runs them must not lead meanwhile.
        while not (awaited.has_news or self._is_closed or self._bells.rung):
            if _is_past(until):
                return
            self._round(until)

    def _prepare(self, until: float) -> None:
        """Whoever leads is about to poll until then; called with the lock."""
        self._engine.sweep()
        self._polls_until = min(until, self.core.wake_at)

    def _step_down(self) -> None:
        """Appoint another leader, if anybody waits."""
        with self._lock:
            self._polls_until = _NEVER
            if self._is_closed:
                self._is_led = False
                self._engine.close()
                return
            if self._engine.has_arrivals:
                # This thread was interrupted; others may wait for just that.
                self._engine.take([], _monotonic())
                self._engine.carry_out(_monotonic(), is_polled=False)
            if self._seats.appoint():
                return
            self._is_led = False
            self._engine.sweep()
            self._rouse_standby()

    def _round(self, until: float) -> None:
        """Wait for something, until then at the latest, and deal with it."""
        engine = self._engine
        ready = engine.poll(self._polls_until, _monotonic())
        engine.receive(ready)
        now = _monotonic()
        wire = None
        with self._lock:
            self._give_up_the_forgotten()
            if not self._is_closed:
                engine.take(ready, now)
                engine.carry_out(now, is_polled=False)
                wire = engine.claim()
                self._prepare(until)
        engine.deliver(wire, self._lock)

    # Telling

    def _tell(self, news: list[Call]) -> None:
        for call in news:
            owner: Owner | None = call.owner
            if owner is not None:
                call.owner = None
                owner.tell(call)
        self._seats.wake()

    def call_back(self, awaited: Awaited, callback: Callable[[], None]) -> bool:
        """Have this run by whoever learns of the next news; False if it is there already."""
        with self._lock:
            if awaited.has_news:
                return False
            awaited.owner = self._bells.hang(callback, awaited.owner)
            self._rouse_standby()
        return True

    # Standby

    def _rouse_standby(self) -> None:
        """Have somebody for what comes next; called with the lock."""
        self._give_up_the_forgotten()
        if self._is_led and not self._is_closed:
            return
        if self._is_closed:
            needed_at = _NEVER
        elif self.core.open_calls:
            needed_at = _NEVER if self._is_pressing else self.core.wake_at
        else:
            return
        if self._standby is None:
            if self._is_closed:
                return
            self._standby = threading.Thread(
                target=self._stand_by, name="zeropool-standby", daemon=True
            )
            self._standby.start()
        elif needed_at < self._standby_until and self._rouse.locked():
            self._rouse.release()

    @property
    def _is_pressing(self) -> bool:
        return self._engine.is_pressing or self._bells.awaiting > 0

    @property
    def is_relieved(self) -> bool:
        """The standby thread need not lead any longer."""
        with self._lock:
            return bool(self._seats) or not (self._is_pressing or self.core.wake_at <= _monotonic())

    def _stand_by(self) -> None:
        while True:
            with self._lock:
                if self._is_closed:
                    return
                until = math.inf
                leads = False
                if not self._is_led and self.core.open_calls:
                    until = self.core.wake_at
                    leads = self._is_pressing or until <= _monotonic()
                    self._is_led = leads
                    if leads:
                        self._prepare(math.inf)
                self._standby_until = _NEVER if leads else until
            if leads:
                try:
                    self._lead(Relief(self), math.inf)
                finally:
                    self._step_down()
                self._bells.run()
            elif until == math.inf:
                self._rouse.acquire()
            else:
                self._rouse.acquire(timeout=_patience_s(until))


def _is_past(until: float) -> bool:
    return until != _FOR_EVER and _monotonic() >= until


def _patience_s(until: float) -> float:
    return min(max(until - _monotonic(), 0.0), threading.TIMEOUT_MAX)
