"""Which types of sockets may talk to each other."""

import pytest

from zeropool.shared.wire.kinds import NUMBERS, PARTNERS, Kind, may_talk, may_talk_2


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        (Kind.ROUTER, {b"REQ", b"DEALER", b"ROUTER"}),
        (Kind.DEALER, {b"REP", b"DEALER", b"ROUTER"}),
        (Kind.PULL, {b"PUSH"}),
        (Kind.PUSH, {b"PULL"}),
    ],
)
def test_only_partners_may_talk_whichever_way_they_tell_their_type(kind, others):
    every = {b"PAIR": 0, b"PUB": 1, b"SUB": 2, b"REQ": 3, b"REP": 4, b"DEALER": 5, b"ROUTER": 6}
    every |= {b"PULL": 7, b"PUSH": 8, b"": 9, b"XPUB": 9, b"push": 9}

    assert {name for name in every if may_talk(kind, name)} == others
    assert {name for name, number in every.items() if may_talk_2(kind, number)} == others


def test_who_may_talk_to_one_may_be_talked_to_by_it():
    for kind, partners in PARTNERS.items():
        for partner in partners & PARTNERS.keys():
            assert kind in PARTNERS[partner]
    assert NUMBERS.keys() == set(Kind)
