"""The types of ZeroMQ's sockets that are spoken here, and who may talk to which.

Source: rfc.zeromq.org/spec/28 (REQ, ROUTER, …), spec/30 (PUSH and PULL), and their numbers in
spec/15 (ZMTP 2.0).
"""

from __future__ import annotations

import enum


class Kind(enum.Enum):
    """A socket's type. Its value is the name that READY tells."""

    REQ = b"REQ"
    REP = b"REP"
    DEALER = b"DEALER"
    ROUTER = b"ROUTER"
    PULL = b"PULL"
    PUSH = b"PUSH"


#: What stands for a type in the greeting of ZMTP 2.
NUMBERS = {
    Kind.REQ: 3,
    Kind.REP: 4,
    Kind.DEALER: 5,
    Kind.ROUTER: 6,
    Kind.PULL: 7,
    Kind.PUSH: 8,
}
#: Who may be at the other end.
PARTNERS = {
    Kind.DEALER: frozenset({Kind.REP, Kind.DEALER, Kind.ROUTER}),
    Kind.ROUTER: frozenset({Kind.REQ, Kind.DEALER, Kind.ROUTER}),
    Kind.PULL: frozenset({Kind.PUSH}),
    Kind.PUSH: frozenset({Kind.PULL}),
}


def may_talk(kind: Kind, other: bytes) -> bool:
    """Tell whether a peer whose type has that name may be at the other end."""
    return any(partner.value == other for partner in PARTNERS[kind])


def may_talk_2(kind: Kind, number: int) -> bool:
    """The same for a peer of ZMTP 2."""
    return any(NUMBERS[partner] == number for partner in PARTNERS[kind])
