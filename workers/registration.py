"""When a worker tells a gateway of itself: until it is welcomed, and again when it is forgotten.

No I/O, no clock. Either side may start first and either may restart: a worker that has heard
nothing for `FORGOTTEN_AFTER_S` begins anew.
"""

from __future__ import annotations

import math
from typing import Final

from zeropool.shared.backoff import Backoff
from zeropool.shared.jobs import FORGOTTEN_AFTER_S

FIRST_WAIT_S: Final = 0.05
#: Only the main thread shakes hands with a gateway that has heard of us, and between two batches it
#: would not look for long: so an answer is waited for. A tenth of the time may go there, whatever
#: the gateway does.
ANSWER_WAIT_S: Final = 0.1
WAIT_AGAIN_S: Final = 1.0
LONGEST_WAIT_S: Final = 2.0


class Registration:
    """A worker's standing with one gateway. Times are monotonic seconds."""

    def __init__(self, *, now: float) -> None:
        #: Incarnation that welcomed us; empty while none has.
        self.gateway = ""
        #: How often a gateway was told of us; stands in REGISTER, and comes back in WELCOME.
        self.serial = 0
        #: The latest of them that was answered.
        self._answered_serial = 0
        #: Until when an answer is worth waiting for.
        self.answer_until = -math.inf
        self._wait_again_at = -math.inf
        self._act_at = now
        #: Of which the gateway was not told yet.
        self._has_new_connection = False
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)

    def __repr__(self) -> str:
        return f"<Registration gateway={self.gateway or None} tries={self._backoff.tries}>"

    @property
    def tries(self) -> int:
        """How often in a row the gateway was told of us without an answer."""
        return self._backoff.tries

    @property
    def is_welcomed(self) -> bool:
        """The gateway knows us."""
        return bool(self.gateway)

    @property
    def is_answered(self) -> bool:
        """The gateway knows us, and was heard since we last told it of us."""
        return self.is_welcomed and not self.tries

    def connected(self, now: float) -> None:
        """The connection came up, perhaps again: whoever is there may not know us."""
        self._backoff.reset()
        self._act_at = now
        self._has_new_connection = True
        self._wait_for_answer(now)

    def disconnected(self) -> None:
        """The connection is gone: nothing comes in answer."""
        self.answer_until = -math.inf

    def _wait_for_answer(self, now: float) -> None:
        if now >= self._wait_again_at:
            self._wait_again_at = now + WAIT_AGAIN_S
            self.answer_until = now + ANSWER_WAIT_S

    def is_late(self, serial: int) -> bool:
        """Tell whether a welcome answers less than another one that is here already.

        The last words of a gateway that ended may come behind the first of its successor. Were
        they believed, nothing that the living one says would be. But a welcome that is merely old
        counts: jobs follow it, and whoever dropped them would let their callers wait.
        """
        return serial < self._answered_serial

    def welcomed(self, gateway: str, now: float, serial: int = 0) -> str:
        """The gateway registered us. Return the incarnation that it replaces, if it is new."""
        # None can answer what was not said yet.
        self._answered_serial = max(self._answered_serial, min(serial, self.serial))
        replaced = self.gateway if self.gateway != gateway else ""
        self.gateway = gateway
        self.answer_until = -math.inf
        self._backoff.reset()
        self._act_at = now + FORGOTTEN_AFTER_S
        return replaced

    def heard(self, gateway: str, now: float) -> None:
        """The gateway said something.

        It has to be told of a new connection all the same: what went over the last one is sent
        again when it answers.
        """
        if self.is_welcomed and gateway == self.gateway and not self._has_new_connection:
            self._act_at = now + FORGOTTEN_AFTER_S

    def next_deadline(self) -> float:
        """When `must_register` may next say yes."""
        return self._act_at

    def must_register(self, now: float) -> bool:
        """Tell whether to send a REGISTER now; if so, the next one is due after a while."""
        if now < self._act_at:
            return False
        self._act_at = now + self._backoff.next_s()
        self._has_new_connection = False
        self.serial += 1
        self._wait_for_answer(now)
        return True
