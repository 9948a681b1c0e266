"""What a client decides: which call goes where, when to beat, to repeat, to fail over, to give up.

Many calls are in flight on one connection for each server's address; which one has the next call,
`Servers` says. No I/O, no clock, no thread: a shell owns the sockets, passes `now` (monotonic
seconds), and does as it is told. It is driven so:

- `add(endpoint)` makes a `Link`; nothing is connected before there is a call for it, or `connect`.
- `submit(call, now)` takes a `Call`. `give_up(call)` forgets it: it timed out for its owner alone,
  or a stream's reader has left.
- After anything that was called, carry out `take_commands()`: `Connect(link)`, then report
  `connected(link, now)` or `disconnected(link, now, reason)`; or `HangUp(link)`, for which
  nothing is reported. Then send `link.take_outgoing()` of each link that `has_outgoing` in order;
  whatever was taken counts as sent, so keep what the socket does not take, and take no more before
  that has left: what waits in the link is bounded, and can still go elsewhere.
- `received(link, data, now)` takes bytes from the socket, of any length. Take what lies there
  before the first request after a rest (`is_stale`): what is sent must not be lost by news of a
  connection's end that was there before. Take it before `tick`, too: a server that spoke was not
  silent.
- `wake_at` is when `tick(now)` has something to do; it only ever comes too early.

`received`, `disconnected`, `tick` and `close` return the calls that have news, in order, perhaps
more than once: `call.outcome` is set, or `call.items` has grown. Take items off with `popleft`,
then `read(call)` for the next ones. `call.owner` is the shell's own place for whom to tell.
"""

from __future__ import annotations

import math
from typing import Final

from zeropool.client.answered import Answered
from zeropool.client.call import Call
from zeropool.client.commands import Command, Connect, HangUp
from zeropool.client.link import Link, State
from zeropool.client.outcomes import Expired, Failed, Lost
from zeropool.client.servers import HANDSHAKE_S, Servers
from zeropool.client.vigil import Vigil
from zeropool.client.waiting import MAX_UNSENT_BYTES, Waiting
from zeropool.shared.errors import Draining, ProtocolError
from zeropool.shared.wire.event import MessageIds
from zeropool.shared.wire.heartbeat import BEAT_INTERVAL_S

#: A gateway restarts in a few seconds; until then the others are asked.
AVOID_DRAINING_S: Final = 2.0
#: Nothing was lost yet that came and went within this time; looking costs a system call.
FRESH_S: Final = 0.001
CLOSED: Final = Lost("the client was closed")


class Core:
    """All calls and connections of one client.

    Args:
        heartbeat_s: seconds between heartbeats, one timer for all calls; after three without any of
            the server's a call is lost. None: nothing is sent, and nothing missed.
        is_passive: heartbeats of a call begin with the server's first one.
        max_unsent_bytes: of requests that no server has taken.
    """

    def __init__(
        self,
        *,
        heartbeat_s: float | None = BEAT_INTERVAL_S,
        is_passive: bool = False,
        max_unsent_bytes: int = MAX_UNSENT_BYTES,
        ids: MessageIds | None = None,
    ) -> None:
        self.servers = Servers(ids or MessageIds())
        #: When `tick` has something to do; it may come early, never late.
        self.wake_at = math.inf
        self._vigil = Vigil(heartbeat_s, is_passive=is_passive)
        self._waiting = Waiting(max_unsent_bytes)
        # A set that keeps its order: calls that wait for their repetition.
        self._paused: dict[Call, None] = {}
        self._commands: list[Command] = []
        self._is_closed = False
        self._is_wanted = False

    def __repr__(self) -> str:
        return f"<Core {self.servers!r} open={self.open_calls}>"

    @property
    def open_calls(self) -> int:
        """Calls without an outcome."""
        return self.servers.open_calls + len(self._waiting) + len(self._paused)

    @property
    def has_commands(self) -> bool:
        """There is something for the shell to do."""
        return bool(self._commands)

    def take_commands(self) -> list[Command]:
        """What the shell is to do now, in order."""
        commands, self._commands = self._commands, []
        return commands

    # Addresses and connections

    def add(self, endpoint: str) -> Link:
        """Know one more server."""
        return self.servers.add(endpoint)

    def remove(self, endpoint: str, now: float) -> list[Call]:
        """Know a server no more; return the calls that are lost with it."""
        news: list[Call] = []
        for link in [link for link in self.servers.links if link.endpoint == endpoint]:
            if link.state is not State.DOWN:
                self._commands.append(HangUp(link))
            news += self._drop(link, now, "Lost remote: the client has disconnected from it")
            self.servers.links.remove(link)
        return news

    def connect(self, now: float) -> None:
        """Connect without a call, too, and go on trying."""
        self._is_wanted = True
        self._connect(now)

    def connected(self, link: Link, now: float) -> None:
        """The shell has done as `Connect` says: bytes can flow."""
        link.open(now)

    def is_stale(self, link: Link, now: float) -> bool:
        """The connection has rested: look for its end before the next request is sent on it."""
        return link.state is State.READY and now - link.is_used_at > FRESH_S

    def received(self, link: Link, data: bytes, now: float) -> list[Call]:
        """Bytes have come; return the calls that have news."""
        was_ready = link.state is State.READY
        try:
            news = link.receive(data, now)
        except ProtocolError as error:
            self._commands.append(HangUp(link))
            return self.disconnected(link, now, str(error))
        if not was_ready and link.state is State.READY:
            link.failures = 0
            link.failure = ""
            link.give_up_at = math.inf
            for call in self._waiting.take():
                self._place(call, now)
        return self._settled(news, now)

    def disconnected(self, link: Link, now: float, reason: str) -> list[Call]:
        """The connection has ended, or could not be made; return the calls that have news."""
        link.fail(reason, now)
        news = self._drop(link, now, "Lost remote: the connection broke")
        self._connect(now)
        return news

    def _drop(self, link: Link, now: float, reason: str) -> list[Call]:
        unsent = set(link.unsent)
        link.unsent.clear()
        lost = Lost(reason)
        news: list[Call] = []
        for call in link.drop():
            if call in unsent and not self._is_closed:
                self._place(call, now)
            else:
                call.outcome = lost
                news.append(call)
        return self._settled(news, now)

    def _connect(self, now: float) -> None:
        """Connect what is down and may be tried again, as long as somebody wants it."""
        if self._is_wanted or self.open_calls:
            self._begin(now)

    def _begin(self, now: float) -> None:
        for link in self.servers.begin(now):
            self._commands.append(Connect(link))
            self._wake_by(link.give_up_at)
        self._wake_by(self.servers.next_try_at())

    # Calls

    def submit(self, call: Call, now: float) -> bool:
        """Take a call; tell whether its connection has rested, as `is_stale` does.

        Raises:
            Overloaded: too much waits for a server already.
        """
        link = self._chosen(now)
        if link is None:
            self._waiting.check_room(call)
        elif link.unsent_bytes:
            self._waiting.check_room_behind(call, link.unsent_bytes)
        call.since = now
        self._vigil.begin(now)
        self._wake_by(call.deadline)
        self._wake_by(self._vigil.due_at)
        if link is None:
            self._wait(call, now)
            return False
        has_rested = self.is_stale(link, now)
        link.send(call, now)
        return has_rested

    def read(self, call: Call) -> None:
        """The reader of a stream wants more."""
        if call.link is not None and call.outcome is None:
            call.link.grant(call)

    def give_up(self, call: Call) -> None:
        """Nobody waits for this call any more: forget it, and do not send it."""
        if call.link is not None:
            call.link.calls.pop(call.channel_id, None)
        elif call in self._waiting:
            self._waiting.remove(call)
        self._paused.pop(call, None)

    def close(self) -> list[Call]:
        """End everything; return the calls that are lost with it."""
        self._is_closed = True
        self._is_wanted = False
        news = [*self._waiting.take(), *self._paused]
        self._paused.clear()
        for link in self.servers.links:
            if link.state is not State.DOWN:
                self._commands.append(HangUp(link))
            news += link.drop()
        for call in news:
            call.outcome = CLOSED
        self._vigil.rest()
        self.wake_at = math.inf
        return news

    def _chosen(self, now: float) -> Link | None:
        """The server that has the next call."""
        if self.servers.has_others_to_try(now):
            # For this call, which is in no count yet.
            self._begin(now)
        return self.servers.chosen(now)

    def _place(self, call: Call, now: float) -> None:
        link = self._chosen(now)
        if link is None:
            self._wait(call, now)
        else:
            link.send(call, now)

    def _wait(self, call: Call, now: float) -> None:
        call.link = None
        self._waiting.add(call)
        self._connect(now)

    def _settled(self, news: list[Call], now: float) -> list[Call]:
        """Take out what is to be repeated."""
        for call in news:
            if not isinstance(call.outcome, Answered) and type(call.outcome) in _REPEATED:
                return [call for call in news if not self._repeats(call, now)]
        return news

    def _repeats(self, call: Call, now: float) -> bool:
        outcome = call.outcome
        if isinstance(outcome, Failed) and outcome.failure.name == Draining.wire_name and call.link:
            call.link.avoid_until = now + AVOID_DRAINING_S
        if call.tries is None or call.is_stream or not isinstance(outcome, Failed | Lost):
            return False
        if isinstance(outcome, Lost):
            again_at = call.tries.after_loss(now)
        else:
            again_at = call.tries.after_failure(outcome.failure, now)
        if again_at is None:
            return False
        call.outcome = call.link = None
        # Until it is sent again, no server owes it a heartbeat.
        call.heard_at = None
        call.repeat_at = again_at
        self._paused[call] = None
        self._wake_by(again_at)
        return True

    # Time

    def tick(self, now: float) -> list[Call]:
        """Do what is due: beat, miss the server, repeat, give up; return the calls with news."""
        if now < self.wake_at:
            return []
        self.wake_at = math.inf
        news = self._hang_up_on_the_silent(now)
        news += self._settled(self._expired(now), now)
        self._beat(now)
        missed = self._missed(now)
        silent = [call.link for call in missed]
        news += self._settled(missed, now)
        news += self._hang_up_on_the_lost(silent, now)
        for call in [call for call in self._paused if call.repeat_at <= now]:
            del self._paused[call]
            call.since = now
            self._place(call, now)
        for call in self._paused:
            self._wake_by(call.repeat_at)
        self._connect(now)
        self._wake_by(self._vigil.due_at)
        return news

    def _wake_by(self, at: float) -> None:
        self.wake_at = min(self.wake_at, at)

    def _all(self) -> list[Call]:
        return [*self._waiting.calls, *self._paused, *self.servers.calls()]

    def _hang_up_on_the_silent(self, now: float) -> list[Call]:
        news: list[Call] = []
        for link in self.servers.links:
            if link.give_up_at <= now:
                self._commands.append(HangUp(link))
                reason = f"nobody answers there within {HANDSHAKE_S:g} s"
                news += self.disconnected(link, now, reason)
            else:
                self._wake_by(link.give_up_at)
        return news

    def _expired(self, now: float) -> list[Call]:
        expired = []
        for call in self._all():
            if call.deadline <= now:
                reason = self.servers.failure_of(call)
                self.give_up(call)
                call.outcome = Expired(reason)
                expired.append(call)
            else:
                self._wake_by(call.deadline)
        return expired

    def _beat(self, now: float) -> None:
        if not self.open_calls:
            self._vigil.rest()
        for call in self._vigil.due(self.servers.calls(), now):
            if call.link is not None:
                call.link.beat(call)

    def _missed(self, now: float) -> list[Call]:
        """Calls whose server has fallen silent."""
        missed = []
        for call in [*self._waiting.calls, *self.servers.calls()]:
            lost_at = self._vigil.lost_at(call)
            if lost_at > now:
                self._wake_by(lost_at)
                continue
            reason = self.servers.failure_of(call)
            self.give_up(call)
            said = f"Lost remote after {self._vigil.patience_s:g}s heartbeat"
            call.outcome = Lost(f"{said}: {reason}" if reason else said)
            missed.append(call)
        return missed

    def _hang_up_on_the_lost(self, silent: list[Link | None], now: float) -> list[Call]:
        """Where not only one call but the whole server is silent, another may answer."""
        news: list[Call] = []
        for link in self.servers.links:
            if link in silent and now - link.heard_at >= self._vigil.patience_s:
                self._commands.append(HangUp(link))
                news += self.disconnected(link, now, "the server fell silent")
        return news


_REPEATED: Final = (Failed, Lost)
