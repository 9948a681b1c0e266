"""The one account of what the gateway holds in memory for its clients, in bytes.

Counts the arguments and results of accepted calls, calls that wait for the first workers, replies
that wait for their callers' credit, and replies that a full connection does not take. Refuses to
know what is done with whoever asks for too much. No I/O, no clock.
"""

from __future__ import annotations

from typing import Final

from zeropool.shared.wire.records import Client

#: What the gateway's own records of one open call cost: measured with 100,000 waiting calls,
#: Python 3.11, as growth of the process divided by their number; see ``docs/reliability.md``.
CALL_BYTES: Final = 2_048
#: Of all that may be held, replies that connections do not take have a half together, and replies
#: without credit a quarter: the rest is for the calls of those who take theirs.
UNREAD_PART: Final = 2
PARKED_PART: Final = 4


class Account:
    """What the calls of one client hold."""

    __slots__ = ("client", "held_bytes")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.held_bytes = 0

    def __repr__(self) -> str:
        return f"<Account held={self.held_bytes}>"


class Budget:
    """Bytes held, in all and by client. One client may hold as much as the others leave free."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        #: Arguments, results and records of calls.
        self.call_bytes = 0
        #: Replies that wait for credit or for room in a connection; whoever keeps them says so.
        self.reply_bytes = 0
        self._accounts: dict[Client, Account] = {}

    def __repr__(self) -> str:
        return f"<Budget held={self.held_bytes} of={self.max_bytes} clients={len(self._accounts)}>"

    @property
    def held_bytes(self) -> int:
        """Everything that is held."""
        return self.call_bytes + self.reply_bytes

    @property
    def is_exceeded(self) -> bool:
        """More is held than may be: results have come that nobody could foresee."""
        return self.call_bytes + self.reply_bytes > self.max_bytes

    def is_easy(self, size_bytes: int) -> bool:
        """So little is held that anybody may have so much more. Cheap, and the usual case."""
        return 2 * (self.call_bytes + self.reply_bytes + size_bytes) <= self.max_bytes

    def refusal(self, client: Client, size_bytes: int) -> str:
        """Why a client can not have so much more; empty where it can.

        Alone, a client gets up to half of everything before it is told to wait: the other half
        stays free for those who come later, so that nobody can take the service from the others.
        A first call may have all that is free.
        """
        free_bytes = self.max_bytes - self.held_bytes
        account = self._accounts.get(client)
        if size_bytes > free_bytes:
            return f"calls hold {self.held_bytes} of max_held_bytes {self.max_bytes}"
        if account is not None and account.held_bytes + size_bytes > free_bytes:
            return (
                f"this client's calls hold {account.held_bytes} bytes, as much as is free "
                f"of max_held_bytes {self.max_bytes}"
            )
        return ""

    def take(self, client: Client, size_bytes: int) -> Account:
        """A client's new call holds so much; the account is for the changes to come."""
        account = self._accounts.get(client)
        if account is None:
            account = self._accounts[client] = Account(client)
        account.held_bytes += size_bytes
        self.call_bytes += size_bytes
        return account

    def change(self, account: Account, size_bytes: int) -> None:
        """A client's calls hold so much more; a negative number is less."""
        self.call_bytes += size_bytes
        account.held_bytes += size_bytes
        if not account.held_bytes:
            del self._accounts[account.client]

    def check_invariants(self) -> None:
        """The sums fit together, and nobody holds less than nothing."""
        held = [account.held_bytes for account in self._accounts.values()]
        if self.call_bytes != sum(held):
            raise RuntimeError(f"{self!r}: the clients' bytes do not add up")
        if self.reply_bytes < 0 or any(each <= 0 for each in held):
            raise RuntimeError(f"{self!r}: negative bytes")
